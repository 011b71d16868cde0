"""A candidate beside its baseline: can they be compared, and each row's difference with its interval."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evalkit.catalogue import METRICS
from evalkit.compare.gap import Gap, unpaired_gap
from evalkit.compare.question import Remarks, is_same_model, obstacles, only_data_changed, remarks
from evalkit.count_rows import count_columns, margins_of, members_of
from evalkit.counts import ConfusionCounts
from evalkit.metrics.ratios import Mask
from evalkit.result import EvalResult
from evalkit.rows import Measures, MetricRow, RowKey
from evalkit.spec import CompareSpec

if TYPE_CHECKING:
    from evalkit.compare.joined import Overlap, Tables

__all__ = ["Pair", "Remarks", "pair", "tables_of"]


@dataclass(frozen=True)
class Pair:
    """A candidate beside its baseline.

    Attributes:
        candidate, baseline: The two results; where their data changed, over the samples that both hold.
        same_model: True where the baseline is the candidate and nobody said that this is meant.
        differences: What keeps them from being compared; empty where nothing does.
        remarks: What a reader must know although they are compared.
        tables: Their per-sample tables, where both are there.
        overlap: Which samples both hold, where their data changed.
    """

    candidate: EvalResult
    baseline: EvalResult
    same_model: bool
    differences: tuple[str, ...]
    remarks: Remarks = Remarks()  # noqa: RUF009 - frozen
    tables: "Tables | None" = None
    overlap: "Overlap | None" = None

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
            from evalkit.compare.differences import paired_gap  # noqa: PLC0415 - arrow

            joined = self.tables.joined(scores=key[0] in ("roc_auc", "average_precision"))
            names, measures = self.candidate.class_names, self._measures
            return paired_gap(key, joined, measures, self.members, names, level=level)
        if self.candidate.digests.get("data") is None:
            return Gap(None, "none", "no_samples_stored")
        return unpaired_gap(_bounds(mine, level), _bounds(theirs, level), (mine.value, theirs.value))

    def flips(self, level: float) -> Mapping[RowKey, MetricRow]:
        """Return the rows of negative flips, which only two runs have together; none without both tables."""
        if self.tables is None or self.differences:
            return {}
        from evalkit.compare.flips import flip_rows  # noqa: PLC0415 - arrow

        if level not in self._flips:
            rows = flip_rows(self.tables.joined(), self.candidate.class_names, level=level)
            self._flips[level] = {row.key: row for row in rows}
        return self._flips[level]

    @cached_property
    def _flips(self) -> dict[float, dict[RowKey, MetricRow]]:
        return {}

    @cached_property
    def _measures(self) -> Measures:
        return self.candidate.measures

    @cached_property
    def _both(self) -> tuple[ConfusionCounts | None, ConfusionCounts | None]:
        """Both runs' counts, in the candidate's class order."""
        return self.candidate.confusion, self._reordered(self.baseline.confusion)

    def _both_of_slice(
        self, slice_: Mapping[str, object]
    ) -> tuple[ConfusionCounts | None, ConfusionCounts | None]:
        """Return the same of one slice."""
        sides = [
            next((side.counts_of_slice(row) for row in side.slices if row.slice == slice_), None)
            for side in (self.candidate, self.baseline)
        ]
        return sides[0], self._reordered(sides[1])

    def _reordered(self, counts: ConfusionCounts | None) -> ConfusionCounts | None:
        """Put the baseline's counts in the candidate's class order."""
        if counts is None:
            return None
        order = [self.baseline.class_names.index(name) for name in self.candidate.class_names]
        several = self.candidate.task == "multilabel"
        return ConfusionCounts(counts.matrix[order]) if several else counts.reordered(order)

    @cached_property
    def _rows(self) -> tuple[Mapping[RowKey, MetricRow], Mapping[RowKey, MetricRow]]:
        return self.candidate.rows(), self.baseline.rows()

    def rows(self, key: RowKey) -> tuple[MetricRow | None, MetricRow | None]:
        """Return the candidate's and the baseline's row, averages over the union of both class sets."""
        found = self._rows[0].get(key), self._rows[1].get(key)
        counted = METRICS[key[0]].needs == "counts" if key[0] in METRICS else False
        if None in found or key[2] in (None, "micro", "samples") or not counted:
            return found
        mine, theirs = self._both if key[4] is None else self._both_of_slice(dict(key[4]))
        if mine is None or theirs is None:
            return found
        return self._averaged(mine, key), self._averaged(theirs, key)

    def _averaged(self, counts: ConfusionCounts, key: RowKey) -> MetricRow | None:
        """Return an average over both runs' classes."""
        metric, params, average, _, slice_ = key
        assert average is not None
        measures = replace(self._measures, asked=((metric, dict(params)),), averages=(average,))
        columns = count_columns(counts.matrix[None], measures, members=self.members, by_class=False)
        n_samples = int(counts.n_samples.flat[0])
        rows = [
            row
            for column in columns
            for row in column.rows(
                0,
                self.candidate.class_names,
                n_samples=n_samples,
                level=measures.level,
                slice_=None if slice_ is None else dict(slice_),
            )
        ]
        return next((row for row in rows if row.key == key), None)


def _bounds(row: MetricRow, level: float) -> tuple[float, float] | None:
    if row.low is None or row.high is None or row.level is None or not math.isclose(row.level, level):
        return None
    return row.low, row.high


def pair(
    candidate: EvalResult,
    baseline: EvalResult,
    *,
    allow_same_model: bool = False,
    tables: "Tables | None" = None,
    compare: CompareSpec | None = None,
) -> Pair:
    """Put two results side by side.

    Args:
        candidate, baseline: The two results.
        allow_same_model: Equal weights and inputs are meant, and no obstacle.
        tables: Their per-sample tables, where both are there.
        compare: What is done where the data changed; by default they cannot be compared then.

    Raises:
        DocumentError: Tables are needed, and damaged.
    """
    found = Pair(
        candidate,
        baseline,
        same_model=is_same_model(candidate, baseline) and not allow_same_model,
        differences=obstacles(candidate, baseline),
        remarks=remarks(candidate, baseline),
        tables=tables,
    )
    if compare is not None and compare.on_changed_data == "common" and only_data_changed(found.differences):
        return _on_common(found, compare.min_common)
    return found


def _on_common(found: Pair, least: float) -> Pair:
    """Compare over the samples that both hold with the same id and label, where those are enough."""
    sides = (found.candidate, found.baseline)
    if found.tables is None:
        return replace(found, differences=(*found.differences, "no per-sample tables tell which are common"))
    if any(side.data.get("ids") != "explicit" for side in sides):
        why = "samples without ids of their own cannot be told apart"
        return replace(found, differences=(*found.differences, why))
    from evalkit.compare.common import on_common  # noqa: PLC0415 - arrow

    tables, overlap = on_common(found.tables)
    if overlap.n_common == 0 or overlap.share < least:
        few = f"{overlap.text}; {least:g} of them are needed"
        return replace(found, differences=(few,), overlap=overlap)
    return Pair(
        tables.candidate,
        tables.baseline,
        found.same_model,
        (),
        replace(found.remarks, notes=(f"The data changed: {overlap.text}.", *found.remarks.notes)),
        tables,
        overlap,
    )


def tables_of(
    candidate: EvalResult, baseline: EvalResult, new: Path | None, old: Path | None
) -> "Tables | None":
    """Return the two runs' per-sample tables; None where one is missing.

    Args:
        candidate, baseline: The two results.
        new, old: Where their tables would be; None for a result that came without.
    """
    if new is None or old is None or not (candidate.valid and baseline.valid):
        return None
    from evalkit.compare.joined import Tables  # noqa: PLC0415 - arrow, which floors and ceilings do not need

    return Tables.of(candidate, baseline, new, old)
