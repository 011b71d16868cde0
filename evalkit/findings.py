"""From counts and per-sample values to every number of a document, the same for every door."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.count_rows import count_columns, margins_of, members_of
from evalkit.counts import ConfusionCounts, counter_of
from evalkit.curves import calibration_tables, curves, drawing
from evalkit.decide import Decision
from evalkit.grouping import Grouping, codes_of, combine
from evalkit.result import SliceRow, counts_fields
from evalkit.rows import Column, Measures, MetricRow
from evalkit.sample_rows import sample_columns
from evalkit.samples import Samples
from evalkit.score_rows import Rankings, ScoreStates, score_columns
from evalkit.slices import Sliced, slice_rows
from evalkit.stored import Counted, Stored
from evalkit.uncertainty import BySample, Sampling


@dataclass(frozen=True, slots=True)
class Asked:
    """What findings are asked for.

    Attributes:
        class_names: In output order.
        decision: The rule from scores to classes.
        measures: What to compute.
        grouping: How samples hang together.
        slice_classes: Metrics whose per-class rows every slice has.
        scored: Whether there are scores.
        binned: Classes whose ranking gates ask for, whatever the number of classes.
    """

    class_names: tuple[str, ...]
    decision: Decision
    measures: Measures
    grouping: Grouping = field(default_factory=Grouping)
    slice_classes: frozenset[str] = frozenset()
    scored: bool = True
    binned: tuple[int, ...] = ()

    @property
    def by_sample(self) -> bool:
        """Whether counts alone are not enough."""
        return self.scored or bool(self.grouping.columns) or self.measures.task == "multilabel"

    @property
    def each_sample(self) -> bool:
        """Whether samples must be held, however many: where they hang together, or are label sets."""
        grouping = self.grouping
        return bool(grouping.cluster or grouping.unit) or self.measures.task == "multilabel"


@dataclass(frozen=True, slots=True)
class Findings:
    """The numbers of a document.

    Attributes:
        counts: What was counted: samples, or units.
        columns: The numbers of the whole run with their intervals; rows are written when they are asked for.
        class_names, level: What rows need beside.
        slice_rows: Rows of slices.
        slices: The slices with their counts.
        curves, calibration: For pictures.
    """

    counts: ConfusionCounts
    columns: tuple[Column, ...]
    class_names: tuple[str, ...]
    level: float
    slice_rows: tuple[MetricRow, ...] = ()
    slices: tuple[SliceRow, ...] = ()
    curves: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)

    @property
    def n_samples(self) -> int:
        """What was counted."""
        return int(self.counts.n_samples.flat[0])

    def rows(self) -> Iterator[MetricRow]:
        """Yield all rows, those of the whole run before those of slices."""
        for column in self.columns:
            yield from column.rows(0, self.class_names, n_samples=self.n_samples, level=self.level)
        yield from self.slice_rows

    def fields(self) -> dict[str, Any]:
        """Return them as a document holds them."""
        return {
            **counts_fields(self.counts),
            "metrics": tuple(self.rows()),
            "slices": self.slices,
            "curves": self.curves,
            "calibration": self.calibration,
        }


def find(asked: Asked, counts: ConfusionCounts, read: Callable[[], Samples | Stored | Counted]) -> Findings:
    """Compute everything.

    Args:
        asked: What.
        counts: Of all samples.
        read: Gives the samples, or where they are; called only where counts are not enough.
    """
    if not asked.by_sample:
        return _of_counts(asked, counts)
    found = read()
    if isinstance(found, Counted):
        return _of_counts(asked, counts, found)
    if isinstance(found, Stored):
        if not (asked.each_sample or found.fits()):
            states = found.states(asked.decision.positive) if asked.scored else None
            return _of_counts(asked, counts, found, states)
        found = found.held()
    if asked.grouping.unit is not None:
        found = combine(found, *asked.grouping.unit, asked.decision)
        counts = _counted(found, asked)
    return _of_samples(asked, counts, found)


def _of_counts(
    asked: Asked,
    counts: ConfusionCounts,
    stored: Stored | Counted | None = None,
    states: ScoreStates | None = None,
) -> Findings:
    """Compute everything of samples that are not held: from their counts, and the sums of their scores."""
    columns = list(count_columns(counts.matrix[None], asked.measures))
    slices: Any = ((), ())
    if stored is not None:
        slices = slice_rows(_sliced(asked, counts), counts.matrix, stored.cells, asked.grouping.slices)
    return _findings(asked, counts, columns, slices, states)


def _of_samples(asked: Asked, counts: ConfusionCounts, samples: Samples) -> Findings:
    measures, positive = asked.measures, asked.decision.positive
    clusters = _clusters(asked.grouping, samples)
    sampling, sliced = _sampling(counts, samples, clusters), _sliced(asked, counts)
    columns = [
        *count_columns(counts.matrix[None], measures, members=sliced.members, sampling=sampling),
        *sample_columns(samples, measures, clusters=clusters),
    ]
    states = ScoreStates.of(samples, len(asked.class_names), positive) if samples.scored else None
    slices = slice_rows(sliced, counts.matrix, lambda _: samples, asked.grouping.slices, clusters)
    return _findings(asked, counts, columns, slices, states, clusters)


def _sliced(asked: Asked, counts: ConfusionCounts) -> Sliced:
    members = members_of(margins_of(counts.matrix, asked.measures.task), asked.measures)
    return Sliced(asked.class_names, asked.measures, members, asked.slice_classes)


def _findings(
    asked: Asked,
    counts: ConfusionCounts,
    columns: Sequence[Column],
    slices: tuple[Sequence[SliceRow], Sequence[MetricRow]],
    states: ScoreStates | None,
    clusters: NDArray[np.int64] | None = None,
) -> Findings:
    """Put the columns of counts and those of scores together."""
    measures, positive, names = asked.measures, asked.decision.positive, asked.class_names
    found = Findings(counts, tuple(columns), names, measures.level, tuple(slices[1]), tuple(slices[0]))
    if states is not None:
        draw = drawing(states, len(names), positive=positive, cost=measures.cost)
        rankings = Rankings(states, measures, len(names), clusters, positive=positive, draw=draw)
        of_scores = score_columns(states, measures, rankings, positive=positive, clusters=clusters)
        found = replace(
            found,
            columns=(*columns, *of_scores),
            curves=curves(rankings.curves(), names, positive=positive),
            calibration=calibration_tables(states),
        )
    return replace(found, columns=tuple(_ordered(found.columns)))


def _ordered(columns: Sequence[Column]) -> list[Column]:
    """Put what is of the whole run before what is of classes."""
    return sorted(columns, key=lambda column: column.by_class)


def _counted(units: Samples, asked: Asked) -> ConfusionCounts:
    counter: Any = counter_of(asked.measures.task, len(asked.class_names))
    counter.add(units.y_true, units.y_pred)
    found: ConfusionCounts = counter.result()
    return found


def _clusters(grouping: Grouping, samples: Samples) -> NDArray[np.int64] | None:
    if grouping.cluster is None:
        return None
    return codes_of(samples.attributes[grouping.cluster])[1]


def _sampling(
    counts: ConfusionCounts, samples: Samples, clusters: NDArray[np.int64] | None
) -> Sampling | None:
    if clusters is None and samples.y_true.ndim == 1:
        return None
    return BySample.of(counts.matrix[None], samples.y_true, samples.y_pred, clusters=clusters)
