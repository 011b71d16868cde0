"""Why a number is not the one that somebody's own loop printed: known mistakes, tried on the same answers."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from evalkit.catalogue import find_metric
from evalkit.checkpoints.contract import natural_order
from evalkit.checkpoints.loading import load_weights
from evalkit.checkpoints.matching import fitting_weights
from evalkit.checkpoints.reader import Checkpoint
from evalkit.count_rows import margins_of, members_of
from evalkit.counts import ConfusionCounts
from evalkit.display import quoted
from evalkit.errors import CheckpointError, EvalkitError, SpecificationError
from evalkit.inference import batch_list, iterate_batches
from evalkit.metrics.estimands import Scope, summary_estimands
from evalkit.parts import Observed
from evalkit.rows import asked_metric
from evalkit.setup import Setup, predictor_of

BATCH_SIZES = (8, 10, 16, 20, 25, 32, 50, 64, 100, 128, 200, 250, 256, 500, 512, 1000, 1024)
MAX_CELLS = 50_000_000
MAX_BATCHES = 4_000
MAX_ASKED_AGAIN = 2_048

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Expectation:
    """A number that was seen elsewhere.

    Attributes:
        metric: A metric of counts.
        average: Over classes, where it has one value a class.
        value: As it was typed.
        decimals: How many it was typed with: the number agrees if it rounds to it.
    """

    metric: str
    average: str | None
    value: float
    decimals: int

    def agrees(self, value: float) -> bool:
        """Return whether a value rounds to the expected one."""
        return abs(value - self.value) <= 0.5 * 10.0**-self.decimals * (1 + 1e-9)

    @property
    def name(self) -> str:
        """The metric in words."""
        return self.metric if self.average is None else f"{self.average} {self.metric}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A way to another number.

    Attributes:
        what: Which mistake.
        value: What it gives.
        exact: Whether over all samples; otherwise over the first ones.
    """

    what: str
    value: float
    exact: bool = True


def parse_expectation(text: str) -> Expectation:
    """Read ``accuracy=0.9134`` or ``f1:macro=0.91``.

    Raises:
        SpecificationError: It is no metric of counts with one value, or no number between its bounds.
    """
    name, equals, number = text.partition("=")
    slug, _, average = name.strip().partition(":")
    metric = find_metric(slug)
    if metric.needs != "counts" or not (metric.overall or average in metric.averages):
        averages = ", ".join(f"{slug}:{kind}" for kind in metric.averages if kind != "samples")
        hint = f"One of {averages}" if averages and metric.needs == "counts" else None
        raise SpecificationError(f"--expect {text}: not one number of counts", hint=hint)
    try:
        value = float(number)
    except ValueError as error:
        raise SpecificationError(f"--expect {text}: expected METRIC=NUMBER") from error
    if not equals or not (metric.lower or 0) <= value <= (np.inf if metric.upper is None else metric.upper):
        percent = f" (did you mean {value / 100:g}?)" if 1 < value <= 100 else ""  # noqa: PLR2004
        raise SpecificationError(f"--expect {text}: out of the metric's range{percent}")
    decimals = 15 if "e" in number.lower() else max(2, len(number.strip().partition(".")[2]))
    return Expectation(slug, average or None, value, decimals)


def compare_with(
    expected: Expectation, setup: Setup, ledger: Path, *, checkpoint: Checkpoint | None, taken: str | None
) -> dict[str, Any]:
    """Say whether a number agrees, and else which known mistake gives the expected one.

    Args:
        expected: The number.
        setup: What was evaluated.
        ledger: What was answered.
        checkpoint: The file, for its other weights; None where there is none.
        taken: The name of the weights that were taken.

    Returns:
        ``metric, expected, value, agrees, text`` and ``attempts``, each ``what, value, exact, agrees``; those
        that agree stand first.
    """
    y_true, y_pred = _labels(ledger)
    measure = _measure(expected, setup)
    value = float(measure(_counts(y_true, y_pred, setup))[0])
    agrees = expected.agrees(value)
    found = {"metric": expected.name, "expected": expected.value, "value": value, "agrees": agrees}
    if agrees:
        text = f"{expected.name} is {value:.6g}: it agrees with the expected {expected.value:g}"
        return {**found, "text": text, "attempts": []}
    attempts = [
        *_of_batches(y_true, y_pred, measure, setup),
        *_of_class_order(y_true, y_pred, measure, setup),
        *_of_other_answers(measure, setup, checkpoint, taken),
    ]
    attempts.sort(key=lambda one: (not expected.agrees(one.value), abs(one.value - expected.value)))
    text = f"{expected.name} is {value:.6g}, not {expected.value:g}"
    if expected.metric == "accuracy":
        text += f": {abs(expected.value - value) * len(y_true):.4g} of {len(y_true):,} samples apart"
    return {**found, "text": text, "attempts": [_attempt(one, expected) for one in attempts]}


def _attempt(one: Attempt, expected: Expectation) -> dict[str, Any]:
    return {
        "what": one.what,
        "value": one.value,
        "exact": one.exact,
        "agrees": expected.agrees(one.value) and one.exact,
    }


def _labels(ledger: Path) -> tuple[Labels, Labels]:
    with ledger.open("rb") as file:
        table = pq.ParquetFile(file).read(columns=["y_true", "y_pred"])
    y_true, y_pred = (np.asarray(table[name].to_numpy(), np.int64) for name in ("y_true", "y_pred"))
    return y_true, y_pred


def _counts(y_true: Labels, y_pred: Labels, setup: Setup) -> NDArray[np.int64]:
    size = len(setup.question.asked.class_names)
    return ConfusionCounts.from_labels(y_true, y_pred, n_classes=size).matrix[None]


def _measure(expected: Expectation, setup: Setup) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
    """Return the function from counts, shape (S, K, K), to the metric's values, shape (S,)."""
    measures = setup.question.asked.measures
    if expected.average is not None:
        measures = replace(measures, averages=(expected.average,))

    def measure(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
        margins = margins_of(matrix, measures.task)
        cost = None if measures.cost is None else np.array(measures.cost, float)
        scope = Scope(measures.task, members_of(margins, measures), measures.policy, measures.averages, cost)
        slug, params = asked_metric(expected.metric)
        estimand = next(
            one for one in summary_estimands(slug, params, scope) if one.average == expected.average
        )
        value = estimand.value(margins)
        return np.where(value.undefined, 0.0, value.value)

    return measure


def _of_batches(y_true: Labels, y_pred: Labels, measure: Any, setup: Setup) -> Iterator[Attempt]:
    """Mean of the batches' own values, and the last, smaller batch dropped."""
    n, size = len(y_true), len(setup.question.asked.class_names)
    for batch in sorted({*BATCH_SIZES, setup.batch_size}):
        n_batches = -(-n // batch)
        if batch >= n or n_batches > MAX_BATCHES or n_batches * size * size > MAX_CELLS:
            continue
        cells = (np.arange(n) // batch) * size * size + y_true * size + y_pred
        counts = np.bincount(cells, minlength=n_batches * size * size).reshape(n_batches, size, size)
        # One by one: a loop's average runs over the classes of each batch.
        means = [float(measure(one[None])[0]) for one in counts]
        yield Attempt(f"mean of batch means, batches of {batch}", float(np.mean(means)))
        if n % batch:
            whole = n - n % batch
            value = measure(_counts(y_true[:whole], y_pred[:whole], setup))[0]
            yield Attempt(f"the last batch dropped, batches of {batch}", float(value))


def _of_class_order(y_true: Labels, y_pred: Labels, measure: Any, setup: Setup) -> Iterator[Attempt]:
    """Outputs read in the other of the two orders in which libraries sort names."""
    names = list(setup.question.asked.class_names)
    for what, order in (
        ("lexicographic (torchvision)", sorted(names)),
        ("natural (timm)", natural_order(names)),
    ):
        if order != names:
            moved = np.array([order.index(name) for name in names])
            value = measure(_counts(moved[y_true], y_pred, setup))[0]
            yield Attempt(f"labels numbered in {what} order", float(value))


def _of_other_answers(
    measure: Any, setup: Setup, checkpoint: Checkpoint | None, taken: str | None
) -> Iterator[Attempt]:
    """Train mode, and the file's other weights, asked about all samples or the first ones."""
    exact = len(setup.source) <= MAX_ASKED_AGAIN
    where = "" if exact else f" (first {MAX_ASKED_AGAIN:,} samples)"
    model = copy.deepcopy(setup.model)
    value = _asked_again(model.train(), setup, measure)
    if value is not None:
        yield Attempt(f"train mode, batches of {setup.batch_size}{where}", value, exact)
    if checkpoint is None:
        return
    shapes = {key: tuple(value.shape) for key, value in setup.model.state_dict().items()}
    for weights in fitting_weights(checkpoint.contents.tree, shapes):
        if (weights.name or None) == taken:
            continue
        other = copy.deepcopy(setup.model)
        try:
            load_weights(other, checkpoint, weights=weights.label)
        except CheckpointError:
            continue
        value = _asked_again(other.eval(), setup, measure)
        if value is not None:
            yield Attempt(f"--weights {quoted(weights.label)}{where}", value, exact)


def _asked_again(model: torch.nn.Module, setup: Setup, measure: Any) -> float | None:
    """Return the metric of another model over the first samples; None where it cannot answer."""
    n = min(len(setup.source), MAX_ASKED_AGAIN)
    predictor = predictor_of(setup, Observed(), model)
    true, predicted = [], []
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            for batch in iterate_batches(setup.source, batch_list(n, setup.batch_size), workers=0):
                if len(batch.index):
                    predicted.append(predictor.decision.decide(predictor.ask(batch.inputs))[0])
                    true.append(predictor.labels(batch))
    except EvalkitError:
        return None
    return float(measure(_counts(np.concatenate(true), np.concatenate(predicted), setup))[0])
