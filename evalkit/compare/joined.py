"""Two per-sample tables as one: the same samples in the same order, classes in the candidate's order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evalkit.errors import DocumentError
from evalkit.grouping import Grouping, SliceBy, codes_of, slicing
from evalkit.result import EvalResult
from evalkit.samples import Samples, as_numpy, read_samples


@dataclass(frozen=True, slots=True)
class Joined:
    """The candidate's and the baseline's answers to the same samples.

    Attributes:
        new, old: What each said; row i is the same sample in both.
        ids: Of the samples, in the candidate's order.
        slices: As they were declared.
        clusters: A number for each sample's cluster, or None where samples are independent.
    """

    new: Samples
    old: Samples
    ids: pa.ChunkedArray
    slices: tuple[SliceBy, ...] = ()
    clusters: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.new)

    def of_slice(self, wanted: dict[str, Any]) -> NDArray[np.bool_]:
        """Return which samples are in a slice, shape (n,)."""
        for by in self.slices:
            if set([by] if isinstance(by, str) else by) == set(wanted):
                found = slicing(by, self.new)
                position = found.names.index(wanted) if wanted in found.names else -1
                return np.asarray(found.codes == position)
        return np.zeros(len(self), bool)


def join(
    candidate: EvalResult,
    baseline: EvalResult,
    paths: tuple[Path, Path],
    *,
    scores: bool,
    slices: Sequence[Any] = (),
    cluster: str | None = None,
) -> Joined:
    """Read both tables and put them side by side.

    Args:
        candidate, baseline: The two results, which answer the same question.
        paths: Of their tables.
        scores: Whether every score is needed.
        slices, cluster: Of the candidate's specification; their columns are in its table.

    Raises:
        DocumentError: A table is damaged, or does not hold the samples of its result.
    """
    grouping = Grouping(tuple(_declared(by) for by in slices), cluster)
    order = [baseline.class_names.index(name) for name in candidate.class_names]
    try:
        new = _read(candidate, paths[0], scores=scores, attributes=grouping.columns)
        old = _read(baseline, paths[1], scores=scores)
        ids = [_ids(path) for path in paths]
    except (OSError, pa.ArrowException, KeyError) as error:
        raise DocumentError(f"{paths[1].parent}: a per-sample table cannot be read: {error}") from error
    place = _positions(*ids, where=str(paths[1]))
    joined = _reordered(old, place, order)
    same = new.y_true == joined.y_true
    if not same.all():
        raise DocumentError(f"{paths[1]}: holds other labels than its result")
    clusters = None if grouping.cluster is None else codes_of(new.attributes[grouping.cluster])[1]
    return Joined(new, joined, ids[0], grouping.slices, clusters)


def _declared(by: Any) -> SliceBy:
    """Return an entry of the specification's slices as a document holds it."""
    if isinstance(by, dict):
        return {name: [float(str(edge)) for edge in edges] for name, edges in by.items()}
    return by if isinstance(by, str) else tuple(by)


def _read(result: EvalResult, path: Path, *, scores: bool, attributes: tuple[str, ...] = ()) -> Samples:
    return read_samples(
        path,
        task=result.task,
        n_classes=len(result.class_names),
        attributes=attributes,
        scores=scores,
    )


def _ids(path: Path) -> pa.ChunkedArray:
    with path.open("rb") as file:
        return pq.ParquetFile(file).read(columns=["sample_id"])["sample_id"]


def _positions(new: pa.ChunkedArray, old: pa.ChunkedArray, *, where: str) -> NDArray[np.int64] | None:
    """Return where each of the candidate's samples is in the baseline's table; None for the same order."""
    if len(new) == len(old) and pc.all(pc.equal(new, old)).as_py():
        return None
    found = pc.index_in(new, value_set=old.combine_chunks())
    if found.null_count or len(new) != len(old):
        raise DocumentError(f"{where}: holds other samples than its result")
    return np.asarray(as_numpy(found), np.int64)


def _reordered(samples: Samples, place: NDArray[np.int64] | None, order: list[int]) -> Samples:
    """Put rows and classes of the baseline in the candidate's order."""
    rows: Any = slice(None) if place is None else place
    position = np.argsort(np.array(order))  # the candidate's index of each of the baseline's classes
    several = samples.y_true.ndim == 2  # noqa: PLR2004 - (n, L)

    def labels(values: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(values[rows][:, order] if several else position[values[rows]])

    def column(values: NDArray[Any] | None) -> Any:
        return None if values is None else values[rows]

    return replace(
        samples,
        y_true=labels(samples.y_true),
        y_pred=labels(samples.y_pred),
        scores=None if samples.scores is None else samples.scores[rows][:, order],
        log_loss=column(samples.log_loss),
        brier=column(samples.brier),
        confidence=column(samples.confidence),
        true_rank=column(samples.true_rank),
        bins={},
    )
