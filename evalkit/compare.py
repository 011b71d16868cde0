"""Whether two runs answer the same question, and what the baseline's numbers are in the candidate's terms."""

from dataclasses import dataclass, replace

import numpy as np

from evalkit.catalogue import METRICS
from evalkit.count_rows import count_rows, margins_of, members_of
from evalkit.counts import ConfusionCounts
from evalkit.result import EvalResult
from evalkit.rows import MetricRow, RowKey
from evalkit.signature import question


@dataclass(frozen=True, slots=True)
class Pair:
    """A candidate beside its baseline.

    Attributes:
        candidate, baseline: The two results.
        same_model: True where the baseline is the candidate and nobody said that this is meant.
        differences: What keeps them from being compared; empty where nothing does.
        warnings: What a reader must know although they are compared.
    """

    candidate: EvalResult
    baseline: EvalResult
    same_model: bool
    differences: tuple[str, ...]
    warnings: tuple[str, ...]

    def rows(self, key: RowKey) -> tuple[MetricRow | None, MetricRow | None]:
        """Return the candidate's and the baseline's row, averages over the union of both class sets."""
        found = self.candidate.rows().get(key), self.baseline.rows().get(key)
        mine, theirs = self.candidate.confusion, self.baseline.confusion
        counted = METRICS[key[0]].needs == "counts" if key[0] in METRICS else False
        if None in found or mine is None or theirs is None or key[2] in (None, "micro") or not counted:
            return found
        theirs = theirs.reordered(
            [self.baseline.class_names.index(name) for name in self.candidate.class_names]
        )
        measures = self.candidate.measures
        sets = [members_of(margins_of(counts.matrix, measures.task), measures) for counts in (mine, theirs)]
        members = sets[0] | sets[1]
        return _averaged(self.candidate, mine, key, members), _averaged(self.candidate, theirs, key, members)


def pair(candidate: EvalResult, baseline: EvalResult, *, allow_same_model: bool = False) -> Pair:
    """Put two results side by side.

    Args:
        candidate, baseline: The two results.
        allow_same_model: Equal weights and inputs are meant, and no obstacle.
    """
    same, warnings = is_same_model(candidate, baseline), []
    if same:
        warnings.append("Nothing was compared: the baseline is the same model on the same inputs.")
    elif candidate.digests.get("inputs") != baseline.digests.get("inputs"):
        warnings.append(
            "The two models were fed other inputs (another preprocessing, or another data file); "
            "a forgotten scaling looks just like it."
        )
    return Pair(
        candidate,
        baseline,
        same_model=same and not allow_same_model,
        differences=_differences(candidate, baseline),
        warnings=tuple(warnings),
    )


def is_same_model(candidate: EvalResult, baseline: EvalResult) -> bool:
    """Return whether weights and inputs are the same, to the bit."""
    return all(
        candidate.digests.get(name) is not None and candidate.digests[name] == baseline.digests.get(name)
        for name in ("weights", "inputs")
    )


def _differences(candidate: EvalResult, baseline: EvalResult) -> tuple[str, ...]:
    found = [] if baseline.valid else ["the baseline is an invalid run"]
    if baseline.partial is not None:
        found.append("the baseline is a partial run")
    ours, theirs = question(candidate), question(baseline)
    found += [f"another {name}" for name in ours if ours[name] != theirs[name]]
    return tuple(found)


def _averaged(
    result: EvalResult,
    counts: ConfusionCounts,
    key: RowKey,
    members: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> MetricRow | None:
    metric, params, average, _, _ = key
    assert average is not None
    measures = replace(result.measures, asked=((metric, dict(params)),), averages=(average,))
    rows = count_rows(counts.matrix, result.class_names, measures, members=members)
    return next((row for row in rows if row.key == key), None)
