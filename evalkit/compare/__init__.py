"""Whether two runs answer the same question, and what the baseline's numbers are in the candidate's terms."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.catalogue import METRICS
from evalkit.compare.differences import Gap, paired_gap, unpaired_gap
from evalkit.count_rows import count_columns, margins_of, members_of
from evalkit.counts import ConfusionCounts
from evalkit.metrics.ratios import Mask
from evalkit.result import EvalResult
from evalkit.rows import Measures, MetricRow, RowKey
from evalkit.signature import question

if TYPE_CHECKING:
    from evalkit.compare.joined import Joined


@dataclass(frozen=True)
class Pair:
    """A candidate beside its baseline.

    Attributes:
        candidate, baseline: The two results.
        same_model: True where the baseline is the candidate and nobody said that this is meant.
        differences: What keeps them from being compared; empty where nothing does.
        warnings: What a reader must know although they are compared.
        tables: Their per-sample tables, where both are there.
    """

    candidate: EvalResult
    baseline: EvalResult
    same_model: bool
    differences: tuple[str, ...]
    warnings: tuple[str, ...]
    tables: "Tables | None" = None

    @cached_property
    def members(self) -> Mask:
        """The class set of averages: the union of both runs' sets."""
        measures = self._measures
        found = np.zeros(len(self.candidate.class_names), bool)
        for counts in self._both:
            if counts is not None:
                found |= members_of(margins_of(counts.matrix, measures.task), measures)
        return found

    def gap(self, key: RowKey, *, level: float) -> Gap:
        """Return the interval of candidate less baseline: paired where both runs' tables are there."""
        mine, theirs = self.rows(key)
        if mine is None or theirs is None or mine.value is None or theirs.value is None:
            return Gap(None, "none", "missing")
        if self.tables is not None:
            joined = self.tables.joined(self.candidate, self.baseline, scores=key[0] == "roc_auc")
            names, measures = self.candidate.class_names, self._measures
            return paired_gap(key, joined, measures, self.members, names, level=level)
        if self.candidate.digests.get("data") is None:
            return Gap(None, "none", "no_samples_stored")
        return unpaired_gap(_bounds(mine, level), _bounds(theirs, level), (mine.value, theirs.value))

    @cached_property
    def _measures(self) -> Measures:
        return self.candidate.measures

    @cached_property
    def _both(self) -> tuple[ConfusionCounts | None, ConfusionCounts | None]:
        """Both runs' counts, in the candidate's class order."""
        mine, theirs = self.candidate.confusion, self.baseline.confusion
        if theirs is None:
            return mine, None
        order = [self.baseline.class_names.index(name) for name in self.candidate.class_names]
        several = self.candidate.task == "multilabel"
        return mine, ConfusionCounts(theirs.matrix[order]) if several else theirs.reordered(order)

    @cached_property
    def _rows(self) -> tuple[Mapping[RowKey, MetricRow], Mapping[RowKey, MetricRow]]:
        return self.candidate.rows(), self.baseline.rows()

    def rows(self, key: RowKey) -> tuple[MetricRow | None, MetricRow | None]:
        """Return the candidate's and the baseline's row, averages over the union of both class sets."""
        found = self._rows[0].get(key), self._rows[1].get(key)
        counted = METRICS[key[0]].needs == "counts" if key[0] in METRICS else False
        if None in found or key[2] in (None, "micro", "samples") or not counted or key[4] is not None:
            return found
        mine, theirs = self._both
        if mine is None or theirs is None:
            return found
        return self._averaged(mine, key), self._averaged(theirs, key)

    def _averaged(self, counts: ConfusionCounts, key: RowKey) -> MetricRow | None:
        """Return an average over both runs' classes."""
        metric, params, average, _, _ = key
        assert average is not None
        measures = replace(self._measures, asked=((metric, dict(params)),), averages=(average,))
        columns = count_columns(counts.matrix[None], measures, members=self.members, by_class=False)
        n_samples = int(counts.n_samples.flat[0])
        rows = [
            row
            for column in columns
            for row in column.rows(0, self.candidate.class_names, n_samples=n_samples, level=measures.level)
        ]
        return next((row for row in rows if row.key == key), None)


class Tables:
    """The two runs' per-sample tables, read when they are first needed.

    Args:
        new, old: Their paths.
        slices, cluster: Of the candidate's specification.
    """

    def __init__(
        self, new: Path, old: Path, *, slices: Sequence[Any] = (), cluster: str | None = None
    ) -> None:
        self._paths = new, old
        self._slices = slices
        self._cluster = cluster
        self._found: dict[bool, Joined] = {}

    @classmethod
    def of(cls, new: Path, old: Path, candidate: EvalResult) -> "Tables | None":
        """Return both tables and what the candidate groups by; None where one is missing."""
        if not (new.exists() and old.exists()):
            return None
        metrics, data = candidate.spec.get("metrics") or {}, candidate.spec.get("data") or {}
        return cls(new, old, slices=data.get("slices") or (), cluster=metrics.get("cluster"))

    def joined(self, candidate: EvalResult, baseline: EvalResult, *, scores: bool) -> "Joined":
        """Return the joined samples; DocumentError where a table is damaged."""
        from evalkit.compare.joined import join  # noqa: PLC0415 - arrow, which floors and ceilings do not need

        if scores not in self._found:
            self._found[scores] = join(
                candidate,
                baseline,
                self._paths,
                scores=scores,
                slices=self._slices,
                cluster=self._cluster,
            )
        return self._found[scores]


def _bounds(row: MetricRow, level: float) -> tuple[float, float] | None:
    if row.low is None or row.high is None or row.level is None or not math.isclose(row.level, level):
        return None
    return row.low, row.high


def pair(
    candidate: EvalResult,
    baseline: EvalResult,
    *,
    allow_same_model: bool = False,
    tables: Tables | None = None,
) -> Pair:
    """Put two results side by side.

    Args:
        candidate, baseline: The two results.
        allow_same_model: Equal weights and inputs are meant, and no obstacle.
        tables: Their per-sample tables, where both are there.
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
        tables=tables,
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
