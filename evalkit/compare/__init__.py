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
from evalkit.compare.question import (
    Remarks,
    is_same_model,
    obstacles,
    on_changed_data,
    only_data_changed,
    remarks,
)
from evalkit.count_rows import count_columns, margins_of, members_of
from evalkit.counts import ConfusionCounts
from evalkit.metrics.ratios import Mask
from evalkit.result import COUNTED, EvalResult
from evalkit.rows import Measures, MetricRow, RowKey
from evalkit.spec import CompareSpec

if TYPE_CHECKING:
    from evalkit.compare.aligned import Overlap
    from evalkit.compare.joined import Tables

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
    def _alike(self) -> bool:
        """Whether both runs have the same order of classes, costs and stated shares."""
        said = [(side.class_names, side.measures.cost, side.measures.prevalence) for side in
                (self.candidate, self.baseline)]  # fmt: skip
        return said[0] == said[1]

    @cached_property
    def _rows(self) -> tuple[Mapping[RowKey, MetricRow], Mapping[RowKey, MetricRow]]:
        return self.candidate.rows(), self.baseline.rows()

    def rows(self, key: RowKey) -> tuple[MetricRow | None, MetricRow | None]:
        """Return the candidate's and the baseline's row, asked and ordered as the candidate's.

        What counts give is computed again for both: averages over the union of both class sets, and with the
        candidate's costs, stated shares and order of classes. A slice that holds other samples in the
        baseline is no row of it.
        """
        found = self._rows[0].get(key), self._rows[1].get(key)
        metric, _, average, _, slice_ = key
        if None in found or average == "samples" or not _counted(metric):
            return found
        if average in (None, "micro") and slice_ is None and self._alike:
            return found
        mine, theirs = self._both if slice_ is None else self._both_of_slice(dict(slice_))
        if mine is None or theirs is None:
            return found
        if not np.array_equal(mine.support, theirs.support):
            return found[0], None
        return self._again(mine, found[0], key), self._again(theirs, found[1], key)

    def _again(self, counts: ConfusionCounts, row: MetricRow | None, key: RowKey) -> MetricRow | None:
        """Compute a row from counts; its interval stands where nothing but counts is needed for one."""
        assert row is not None
        metric, params, average, _, slice_ = key
        measures = replace(
            self._measures,
            asked=((metric, dict(params)),),
            averages=() if average is None else (average,),
            level=row.level or self._measures.level,
        )
        columns = count_columns(
            counts.matrix[None], measures, members=self.members, by_class=key[3] is not None
        )
        n_samples = int(counts.n_samples.flat[0])
        rows = {
            found.key: found
            for column in columns
            for found in column.rows(
                0,
                self.candidate.class_names,
                n_samples=n_samples,
                level=measures.level,
                slice_=None if slice_ is None else dict(slice_),
            )
        }
        again = rows.get(key)
        if again is None or again.value is None or row.method in COUNTED:
            return again
        # Dependent samples, and label sets: what the document says, where it says it of the same value.
        same = row.value is not None and math.isclose(row.value, again.value, rel_tol=1e-12, abs_tol=1e-15)
        kept = row if same else replace(row, low=None, high=None, level=None, method=None)
        names = ("low", "high", "level", "method", "no_interval")
        return replace(again, **{name: getattr(kept, name) for name in names})


def _counted(metric: str) -> bool:
    return metric in METRICS and METRICS[metric].needs == "counts"


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
    same = is_same_model(candidate, baseline) or (tables is not None and tables.are_one())
    found = Pair(
        candidate,
        baseline,
        same_model=same and not allow_same_model,
        differences=obstacles(candidate, baseline),
        remarks=remarks(candidate, baseline, same=same),
        tables=tables,
    )
    if compare is not None and compare.on_changed_data == "common" and only_data_changed(found.differences):
        return _on_common(found, compare.min_common)
    if tables is not None and not found.differences and tables.regroups:
        from evalkit.compare.common import regrouped  # noqa: PLC0415 - arrow

        again = regrouped(tables)
        return replace(found, baseline=again.baseline, tables=again)
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
        on_changed_data(found.candidate, found.baseline, overlap.text),
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
