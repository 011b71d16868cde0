"""Every slice of a run: its counts in one pass, its rows, and its difference from the rest."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.count_rows import count_columns
from evalkit.counts import ConfusionCounts
from evalkit.grouping import SliceBy, Slicing, slicing
from evalkit.metrics.ratios import Mask
from evalkit.result import Difference, SliceRow, counts_fields
from evalkit.rows import MIN_SUPPORT, Array, Column, Measures, MetricRow
from evalkit.samples import Samples
from evalkit.stored import Cells
from evalkit.uncertainty import BySample

# Counts of slices that are held at a time: 128 MB.
_CELLS_AT_ONCE = 1 << 24


@dataclass(frozen=True, slots=True)
class Sliced:
    """What all slices of a run share.

    Attributes:
        class_names: In output order.
        measures: What to compute.
        members: The class set of the averages, that of the whole run.
        by_class: Metrics whose per-class rows every slice has.
    """

    class_names: tuple[str, ...]
    measures: Measures
    members: Mask
    by_class: frozenset[str] = frozenset()


def slice_rows(
    sliced: Sliced,
    whole: Array,
    read: Callable[[SliceBy], Samples | Cells],
    slices: Sequence[SliceBy],
    clusters: NDArray[np.int64] | None = None,
) -> tuple[tuple[SliceRow, ...], list[MetricRow]]:
    """Return the slices and their metric rows, in the order of the specification.

    Args:
        sliced: What they share.
        whole: Counts of the run, shape (K, K) or (L, 2, 2).
        read: Gives samples with the columns of an entry, or counts of those that are alike.
        slices: Entries of the specification.
        clusters: Of dependent samples, or None; these come as samples.
    """
    found: list[SliceRow] = []
    rows: list[MetricRow] = []
    for by in slices:
        samples = read(by)
        for part in _parts(slicing(by, samples), whole.size):
            matrix = _counts(part, samples, whole.shape)
            columns = _columns(sliced, matrix, _sampling(matrix, samples, part, clusters, rest=False))
            rest = _columns(
                sliced, whole - matrix, _sampling(whole - matrix, samples, part, clusters, rest=True)
            )
            for position, name in enumerate(part.names):
                found.append(_slice(name, position, matrix[position], columns, rest, sliced))
                rows += _rows(name, position, found[-1].n_samples, columns, sliced)
    return tuple(found), rows


def _parts(whole: Slicing, cells: int) -> Iterator[Slicing]:
    """Cut many slices of many classes into parts that fit in memory; a part's codes start at 0."""
    size = max(1, _CELLS_AT_ONCE // cells)
    for start in range(0, len(whole.names), size):
        names = whole.names[start : start + size]
        inside = (whole.codes >= start) & (whole.codes < start + len(names))
        yield Slicing(names, np.where(inside, whole.codes - start, -1))


def _counts(part: Slicing, samples: Samples | Cells, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Count every slice in one pass, shape (S, K, K) or (S, L, 2, 2)."""
    inside = part.codes >= 0
    codes, true, pred = part.codes[inside], samples.y_true[inside], samples.y_pred[inside]
    n_slices, size = len(part.names), shape[0]
    if isinstance(samples, Cells):
        counted = np.zeros((n_slices, size, size), np.int64)
        np.add.at(counted, (codes, true, pred), samples.n[inside])
        return counted
    if true.ndim == 1:
        cells = np.bincount((codes * size + true) * size + pred, minlength=n_slices * size * size)
        return cells.reshape(n_slices, size, size)
    cell = true.astype(np.int64) * 2 + pred
    by_label = [np.bincount(codes * 4 + cell[:, k], minlength=n_slices * 4) for k in range(size)]
    return np.stack(by_label, axis=1).reshape(n_slices, 2, 2, size).transpose(0, 3, 1, 2)


def _columns(sliced: Sliced, matrix: Array, sampling: BySample | None) -> list[Column]:
    return list(
        count_columns(
            matrix,
            sliced.measures,
            members=sliced.members,
            sampling=sampling,
            by_class=bool(sliced.by_class),
        )
    )


def _sampling(
    matrix: Array, samples: Samples | Cells, part: Slicing, clusters: NDArray[np.int64] | None, *, rest: bool
) -> BySample | None:
    if clusters is None and samples.y_true.ndim == 1:
        return None
    inside = [part.codes == position for position in range(len(part.names))]
    rows = tuple(np.flatnonzero(~one if rest else one) for one in inside)
    return BySample.of(matrix, samples.y_true, samples.y_pred, rows=rows, clusters=clusters)


def _rows(
    name: dict[str, Any], position: int, n_samples: int, columns: list[Column], sliced: Sliced
) -> Iterator[MetricRow]:
    for column in columns:
        if not column.by_class or column.metric.slug in sliced.by_class:
            yield from column.rows(
                position,
                sliced.class_names,
                n_samples=n_samples,
                level=sliced.measures.level,
                slice_=name,
            )


def _slice(
    name: dict[str, Any],
    position: int,
    matrix: Array,
    columns: list[Column],
    rest: list[Column],
    sliced: Sliced,
) -> SliceRow:
    multilabel = sliced.measures.task == "multilabel"
    n_samples = int(matrix[0].sum() if multilabel else matrix.sum())
    return SliceRow(
        slice=name,
        n_samples=n_samples,
        insufficient=n_samples < MIN_SUPPORT,
        differences=tuple(
            found
            for mine, other in zip(columns, rest, strict=True)
            if not mine.by_class and (found := _difference(mine, other, position)) is not None
        ),
        **counts_fields(ConfusionCounts(matrix)),
    )


def _difference(mine: Column, other: Column, position: int) -> Difference | None:
    """Subtract the rest, with the interval of a difference of independent estimates.

    G. Y. Zou and A. Donner, "Construction of confidence limits about effect measures", Statistics in
    Medicine 27 (2008): each side's distance is the root of the two estimates' squared distances.
    """
    if mine.undefined[position] or other.undefined[position]:
        return None
    value = float(mine.value[position] - other.value[position])
    low = high = None
    if mine.interval is not None and other.interval is not None:
        down = (
            mine.value[position] - mine.interval[0][position],
            other.interval[1][position] - other.value[position],
        )
        up = (
            mine.interval[1][position] - mine.value[position],
            other.value[position] - other.interval[0][position],
        )
        if np.isfinite([*down, *up]).all():
            low, high = value - float(np.hypot(*down)), value + float(np.hypot(*up))
    return Difference(
        metric=mine.metric.slug,
        params=dict(mine.params),
        average=mine.average,
        value=value,
        low=low,
        high=high,
    )
