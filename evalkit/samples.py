"""What every sample of a run gave, read back from the per-sample table: one path for all of its numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evalkit.errors import DataError
from evalkit.metrics.ranked import Ordered, Ranked
from evalkit.scores import ScoreBins

DEFAULT_MEMORY = 512 * 1024**2
_PIECE = 1 << 18  # rows that are held at a time, where all of them are too many
_LOSSES = ("logloss", "brier", "p_pred", "true_rank")


@dataclass(frozen=True, slots=True)
class Samples:
    """Columns of the per-sample table as arrays.

    Attributes:
        y_true, y_pred: Class indices, int64 (n,); of a multilabel task booleans (n, L).
        scores: float32 (n, K), the stored probabilities or declared scores; None where there are none, or
            they are too large to hold.
        probable: Whether the scores are probabilities.
        log_loss, brier: float64 (n,), or None.
        confidence: The predicted class's probability, float32 (n,), or None.
        true_rank: The true class's rank, 0 for the best, int32 (n,), or None.
        attributes: Further columns by name.
        bins: By class, what stands in for scores that are not held.
    """

    y_true: NDArray[Any]
    y_pred: NDArray[Any]
    scores: NDArray[np.float32] | None = None
    probable: bool = False
    log_loss: NDArray[np.float64] | None = None
    brier: NDArray[np.float64] | None = None
    confidence: NDArray[np.float32] | None = None
    true_rank: NDArray[np.int32] | None = None
    attributes: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    bins: Mapping[int, ScoreBins] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.y_true)

    @property
    def scored(self) -> bool:
        """Whether there were scores at all."""
        return self.true_rank is not None or self.scores is not None or bool(self.bins)

    def positive(self, k: int) -> NDArray[np.bool_]:
        """Return which samples are of a class, or have a label, shape (n,)."""
        return self.y_true[:, k] if self.y_true.ndim == 2 else self.y_true == k  # noqa: PLR2004 - (n, L)

    def ranked(self, k: int) -> Ordered | Ranked | None:
        """Return the samples in the order of a class's score, or the groups that stand in for them.

        None where its scores were not stored.
        """
        if self.scores is not None:
            return Ordered.of(self.positive(k), self.scores[:, k])
        return Ranked.of_bins(self.bins[k]) if k in self.bins else None


def read_samples(
    path: Path,
    *,
    task: str,
    n_classes: int,
    attributes: Sequence[str] = (),
    memory: int = DEFAULT_MEMORY,
    scores: bool = True,
    bins: Mapping[int, ScoreBins] | None = None,
) -> Samples:
    """Read a per-sample table.

    Args:
        path: The Parquet file.
        task: binary, multiclass or multilabel.
        n_classes: K.
        attributes: Which further columns to read.
        memory: How many bytes of scores may be held; more are binned, a class at a time.
        scores: Whether to read the scores at all.
        bins: Bins that were filled while the model ran, where the table does not hold every score.

    Raises:
        DataError: An attribute is not there.
    """
    with path.open("rb") as file:
        table = pq.ParquetFile(file)
        present = table.schema_arrow.names
        read = table.read(columns=_columns(present, attributes))
        found = _samples(read, task, n_classes, attributes)
        stored = _stored(present, n_classes) if scores else []
        # Of two classes all scores are held: they take less than the rest of a sample.
        if stored and (n_classes == 2 or 4 * n_classes * read.num_rows <= memory):  # noqa: PLR2004
            return replace(found, scores=_matrix(table, stored), bins=dict(bins or {}))
        if stored:
            kind = "probability" if found.probable else "score"
            return replace(found, bins=_binned(table, found.y_true, stored, kind=kind))
    return replace(found, bins=dict(bins or {}))


def read_pieces(path: Path, *, task: str, n_classes: int) -> Iterator[Samples]:
    """Read a per-sample table, so many rows at a time.

    Args:
        path: The Parquet file.
        task: binary or multiclass.
        n_classes: K.
    """
    with path.open("rb") as file:
        table = pq.ParquetFile(file, pre_buffer=False)  # which would keep all bytes that were read
        stored = _stored(table.schema_arrow.names, n_classes)
        columns = [*_columns(table.schema_arrow.names, ()), *stored]
        for batch in table.iter_batches(_PIECE, columns=columns):
            read = pa.table(batch)
            scores = np.stack([as_numpy(read[name]) for name in stored], axis=1) if stored else None
            yield replace(_samples(read, task, n_classes, ()), scores=scores)


def _columns(present: Sequence[str], attributes: Sequence[str]) -> list[str]:
    """Return what is read of every table; a slim one has labels alone."""
    missing = [name for name in attributes if name not in present]
    if missing:
        raise DataError(f"the data have no attribute {missing[0]!r}")
    return ["y_true", "y_pred", *(name for name in _LOSSES if name in present), *attributes]


def _stored(present: Sequence[str], n_classes: int) -> list[str]:
    """Return the columns of scores; none where the table does not hold those of every class."""
    names = [f"score_{k}" for k in range(n_classes)]
    return names if set(names) <= set(present) else []


def _samples(read: pa.Table, task: str, n_classes: int, attributes: Sequence[str]) -> Samples:
    """Return everything but scores."""
    y_true, y_pred = (
        label_matrix(read[name], n_classes) if task == "multilabel" else as_numpy(read[name]).astype(np.int64)
        for name in ("y_true", "y_pred")
    )
    return Samples(
        y_true,
        y_pred,
        probable="logloss" in read.column_names and read["logloss"].null_count < read.num_rows,
        log_loss=_known(read, "logloss"),
        brier=_known(read, "brier"),
        confidence=_known(read, "p_pred"),
        true_rank=_known(read, "true_rank"),
        attributes={name: attribute(read[name]) for name in attributes},
    )


def label_matrix(column: pa.ChunkedArray, n_labels: int) -> NDArray[np.bool_]:
    """Return lists of label indices as booleans, shape (n, L)."""
    combined = column.combine_chunks()
    matrix = np.zeros((len(combined), n_labels), bool)
    lengths = np.diff(as_numpy(combined.offsets))
    matrix[np.repeat(np.arange(len(combined)), lengths), as_numpy(combined.flatten())] = True
    return matrix


def _matrix(table: pq.ParquetFile, names: Sequence[str]) -> NDArray[np.float32]:
    """Read scores, a row group at a time: there is no second copy of them; a class's lie side by side."""
    matrix, start = np.empty((table.metadata.num_rows, len(names)), np.float32, order="F"), 0
    for group in range(table.num_row_groups):
        part = table.read_row_group(group, columns=list(names))
        for k, name in enumerate(names):
            matrix[start : start + part.num_rows, k] = as_numpy(part[name])
        start += part.num_rows
    return matrix


def _binned(
    table: pq.ParquetFile, y_true: NDArray[Any], names: Sequence[str], *, kind: Any
) -> dict[int, ScoreBins]:
    """Bin all classes, a row group at a time."""
    found = {k: ScoreBins.empty(kind) for k in range(len(names))}
    start = 0
    for group in range(table.num_row_groups):
        part = table.read_row_group(group, columns=list(names))
        rows = slice(start, start + part.num_rows)
        start += part.num_rows
        for k, name in enumerate(names):
            true = y_true[rows, k] if y_true.ndim == 2 else y_true[rows] == k  # noqa: PLR2004 - (n, L)
            found[k] += ScoreBins.from_scores(true, as_numpy(part[name]), kind=kind)
    return found


def _known(table: pa.Table, name: str) -> Any:
    if name not in table.column_names or table[name].null_count:
        return None
    return as_numpy(table[name])


def attribute(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column as numbers, or as objects with None for what is missing."""
    if (
        pa.types.is_integer(column.type)
        or pa.types.is_floating(column.type)
        or pa.types.is_boolean(column.type)
    ):
        return as_numpy(column)
    return np.array(
        [None if value is None or value == "" else str(value) for value in column.to_pylist()], object
    )


def as_numpy(column: Any) -> NDArray[Any]:
    """Return an arrow column as an array; not by arrow's own way where that can be, which loads pandas."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    plain = pa.types.is_integer(array.type) or pa.types.is_floating(array.type)
    if plain and not array.null_count and len(array):
        return np.from_dlpack(array)
    return np.asarray(array.to_numpy(zero_copy_only=False))
