"""What a gate is judged on: rows of a run and of its comparison, and what keeps them from being judged."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from evalkit.catalogue import METRICS, OF_RUN, is_of_facts, is_of_flips
from evalkit.compare import Pair
from evalkit.count_rows import count_rows, margins_of, members_of
from evalkit.errors import listed
from evalkit.reasons import UNDEFINED_TEXTS
from evalkit.result import COUNTED, EvalResult
from evalkit.rows import MetricRow, RowKey, row_key

MAX_UNREADABLE = 0.01
# Why something is not judged: a slug and a sentence.
Problem = tuple[str, str]


@dataclass(frozen=True)
class Case:
    """A run, and the candidate beside its baseline where there is one.

    Attributes:
        result: The candidate, over all of its samples.
        compared: None where there is no baseline.
    """

    result: EvalResult
    compared: Pair | None

    @cached_property
    def _own(self) -> Mapping[RowKey, MetricRow]:
        return self.result.rows()

    def rows(self, metric: str, level: float) -> Mapping[RowKey, MetricRow]:
        """Return the rows among which a metric's are found: the run's own, its facts, or those of flips."""
        if is_of_facts(metric):
            return _fact(self.result, metric)
        if not is_of_flips(metric):
            return self._own
        return {} if self.compared is None else self.compared.flips(level)

    def row(self, key: RowKey, level: float) -> MetricRow | None:
        """Return a row; None where there is none."""
        return self.rows(key[0], level).get(key)

    def blocked(self, *, comparing: bool) -> Problem | None:
        """Return why nothing of this kind can be judged."""
        problem = _unknown_run(self.result)
        if problem is not None or not comparing:
            return problem
        if self.compared is None:
            return "no_baseline", "there is no baseline"
        if self.compared.same_model:
            return "same_model", "the baseline is the same model on the same inputs"
        if not self.compared.baseline.valid:
            return "incomparable", self.compared.differences[0]
        if self.compared.differences:
            return (
                "incomparable",
                f"the baseline answers another question: {listed(self.compared.differences)}",
            )
        return None

    def unknown(
        self, key: RowKey, row: MetricRow | None, support: int, *, comparing: bool = False
    ) -> Problem | None:
        """Return why a row cannot be judged; None where it can.

        Args:
            key: The row's.
            row: What was found.
            support: How many samples one class or slice needs.
            comparing: The row is of the samples that were compared.
        """
        if row is None:
            unpaired = is_of_flips(key[0]) and self.compared is not None and self.compared.tables is None
            if unpaired:
                return "no_samples_stored", "flips need both runs' per-sample tables"
            return "missing", "the run does not have this row"
        if row.value is None:
            return "undefined", f"the value is undefined ({_why(row)})"
        behind = self.support_of(row, comparing=comparing)
        if (row.slice is not None or row.class_name is not None) and behind < support:
            return "insufficient", f"{behind} samples are too few, {support} are needed"
        return None

    def support_of(self, row: MetricRow, *, comparing: bool = False) -> int:
        """Return how many samples a value is made of: its denominator, else its class's or slice's.

        F-scores have a denominator that counts samples twice, so that theirs is the class's, too.
        """
        if row.denominator is not None and row.metric not in ("f1", "fbeta"):
            return row.denominator
        if row.class_name is None or is_of_flips(row.metric):
            return row.n_samples
        slice_ = None if row.slice is None else dict(row.slice)
        rows = self.compared.candidate.rows() if comparing and self.compared is not None else self._own
        found = rows.get(row_key("support", class_name=row.class_name, slice_=slice_))
        whole = rows.get(row_key("support", class_name=row.class_name))
        of = found or whole
        return row.n_samples if of is None else min(int(of.value or 0), row.n_samples)

    def interval(self, row: MetricRow, level: float) -> tuple[float, float] | None:
        """Return a row's interval at a gate's own level; None where there is none.

        Rows of counts are computed again; of others the document's interval is taken if the level agrees.
        """
        if row.low is None or row.high is None or row.level is None:
            return None
        if math.isclose(row.level, level):
            return row.low, row.high
        counts = self._counts(row)
        if counts is None or row.method not in COUNTED:
            return None
        result = self.result
        measures = replace(
            result.measures,
            asked=((row.metric, row.params),),
            averages=() if row.average is None else (row.average,),
            level=level,
        )
        # Averages of a slice are over the whole run's classes.
        whole = None if result.confusion is None else margins_of(result.confusion.matrix, measures.task)
        members = None if whole is None else members_of(whole, measures)
        rows = count_rows(counts, result.class_names, measures, members=members)
        again = {found.key: found for found in rows}
        found = again.get(replace(row, slice=None).key)
        return None if found is None or found.low is None or found.high is None else (found.low, found.high)

    def _counts(self, row: MetricRow) -> Any:
        """Return the counts that a row comes from, shape (K, K) or (L, 2, 2); None where there are none."""
        if row.slice is None:
            return None if self.result.confusion is None else self.result.confusion.matrix
        found = [one for one in self.result.slices if one.slice == row.slice]
        return self.result.counts_of_slice(found[0]).matrix if found else None


def _fact(result: EvalResult, metric: str) -> Mapping[RowKey, MetricRow]:
    """Return a count of the data, or how the run went, as a row of its own; none where it was not taken."""
    once = metric in OF_RUN
    found = (result.run if once else result.data).get(metric)
    if not isinstance(found, (int, float) if once else int) or isinstance(found, bool):
        return {}
    row = MetricRow(
        metric=metric,
        params={},
        average=None,
        class_name=None,
        slice=None,
        value=found,
        numerator=None,
        denominator=None,
        undefined=None,
        low=None,
        high=None,
        level=None,
        method=None,
        no_interval="measured_once" if once else "count",
        n_samples=result.n_samples,
        n_classes=None,
        greater_is_better=METRICS[metric].greater_is_better,
    )
    return {row.key: row}


def unknown_baseline(row: MetricRow | None) -> Problem | None:
    """Return why the baseline's row cannot be compared with."""
    if row is None:
        return "missing", "the baseline does not have this row"
    if row.value is None:
        return "undefined", f"the baseline's value is undefined ({_why(row)})"
    return None


def _unknown_run(result: EvalResult) -> Problem | None:
    """Return why nothing of a run can be judged."""
    if not result.valid:
        return "invalid_run", "the run is invalid"
    if result.partial is not None:
        return "partial", f"only {result.partial.limit} of {result.partial.of} samples were evaluated"
    unreadable, found = result.data.get("n_unreadable") or 0, result.data.get("n_samples") or 0
    if unreadable > MAX_UNREADABLE * found:
        return "unreadable", f"{unreadable} of {found} samples could not be read, over 1 %"
    return None


def _why(row: MetricRow) -> str:
    return UNDEFINED_TEXTS.get(row.undefined or "", str(row.undefined))
