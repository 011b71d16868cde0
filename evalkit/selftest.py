"""The installation against scikit-learn and against pinned constants: do its numbers come out right here?"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from math import isclose
from typing import Any

import numpy as np

from evalkit.counts import ConfusionCounts
from evalkit.metrics import OVERALL, Margins, Policy, average, class_members
from evalkit.uncertainty import wilson

_TABLES = ((2, 40, 1), (5, 200, 2), (10, 1000, 3))
_AVERAGES = ("micro", "macro", "weighted")

# Wilson's interval at 95 %: successes, trials, low, high; from the closed form in 40 decimal digits.
_WILSON = (
    (0, 10, 0.0, 0.27753279986288925),
    (5, 10, 0.23659309051256398, 0.76340690948743602),
    (10, 10, 0.72246720013711075, 1.0),
    (443, 449, 0.97115604991168854, 0.99386159917470691),
)
# Five predictions over three classes that occur: macro precision by hand.
_MACRO_PRECISION = ([0, 0, 1, 1, 2], [0, 1, 1, 1, 0], (1 / 2 + 2 / 3 + 0) / 3)


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison."""

    check: str
    ours: float
    expected: float

    @property
    def agrees(self) -> bool:
        """True within rounding."""
        return isclose(self.ours, self.expected, rel_tol=1e-12, abs_tol=1e-12)


def self_test() -> list[Row]:
    """Compare with scikit-learn on seeded tables, and with constants that no library computed."""
    rows = list(_constants())
    for n_classes, n_samples, seed in _TABLES:
        rows += _against_scikit_learn(n_classes, n_samples, seed)
    return rows


def record(rows: list[Row], *, versions: dict[str, str], started: str) -> dict[str, Any]:
    """Return the record of a self-test as a document."""
    return {
        "schema": "evalkit.self-test/1",
        "started": started,
        "versions": versions,
        "agrees": all(row.agrees for row in rows),
        "rows": [{**asdict(row), "agrees": row.agrees} for row in rows],
    }


def _constants() -> Iterator[Row]:
    for successes, trials, low, high in _WILSON:
        found = wilson(successes, trials, level=0.95)
        yield Row(f"wilson low {successes}/{trials}", float(found[0]), low)
        yield Row(f"wilson high {successes}/{trials}", float(found[1]), high)
    y_true, y_pred, expected = _MACRO_PRECISION
    counts = Margins.of(ConfusionCounts.from_labels(y_true, y_pred, n_classes=4).matrix)
    macro = average(counts, "precision", "macro", members=class_members(counts, Policy()))
    yield Row("macro precision by hand", float(macro.value), expected)


def _against_scikit_learn(n_classes: int, n_samples: int, seed: int) -> Iterator[Row]:
    from sklearn import metrics as sk  # noqa: PLC0415 - the oracle, for this alone

    rng = np.random.default_rng(seed)
    y_true = rng.integers(0, n_classes, n_samples)
    y_pred = np.where(rng.random(n_samples) < 0.7, y_true, rng.integers(0, n_classes, n_samples))  # noqa: PLR2004
    counts = ConfusionCounts.from_labels(y_true, y_pred, n_classes=n_classes)
    margins, where = Margins.of(counts.matrix), f"K={n_classes}"
    members = class_members(margins, Policy())
    oracle: dict[str, Callable[..., float]] = {
        "precision": sk.precision_score,
        "recall": sk.recall_score,
        "f1": sk.f1_score,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        overall: dict[str, Callable[..., float]] = {
            "accuracy": sk.accuracy_score,
            "balanced_accuracy": sk.balanced_accuracy_score,
            "mcc": sk.matthews_corrcoef,
            "cohen_kappa": sk.cohen_kappa_score,
        }
        for slug, function in overall.items():
            value, _ = OVERALL[slug]
            yield Row(f"{slug} {where}", float(value(margins).value), float(function(y_true, y_pred)))
        cells = sk.confusion_matrix(y_true, y_pred, labels=range(n_classes))
        yield Row(f"confusion cells {where}", float((cells == counts.matrix).sum()), float(n_classes**2))
        for metric, function in oracle.items():
            for kind in _AVERAGES:
                ours = average(margins, metric, kind, members=members)
                theirs = function(y_true, y_pred, average=kind, zero_division=0)
                yield Row(f"{kind} {metric} {where}", float(ours.value), float(theirs))
