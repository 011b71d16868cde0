"""What every sample of a run gave, read back from the per-sample table: one path for all of its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evalkit.errors import DataError
from evalkit.metrics.ranking import Ranked
from evalkit.scores import ScoreBins

DEFAULT_MEMORY = 512 * 1024**2
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

    def ranked(self, k: int) -> Ranked | None:
        """Return the samples in the order of a class's score; None where its scores were not stored."""
        if self.scores is not None:
            return Ranked.of(self.positive(k), self.scores[:, k])
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
        missing = [name for name in attributes if name not in present]
        if missing:
            raise DataError(f"the data have no attribute {missing[0]!r}")
        kept = [name for name in _LOSSES if name in present]  # a slim table has labels alone
        read = table.read(columns=["y_true", "y_pred", *kept, *attributes])
        stored = [f"score_{k}" for k in range(n_classes) if f"score_{k}" in present]
        probable = "logloss" in kept and read["logloss"].null_count < read.num_rows
        labels = {
            name: label_matrix(read[name], n_classes)
            if task == "multilabel"
            else as_numpy(read[name]).astype(np.int64)
            for name in ("y_true", "y_pred")
        }
        held, found = None, dict(bins or {})
        if not scores:
            stored = []
        if len(stored) == n_classes and 4 * n_classes * read.num_rows <= memory:
            held = _matrix(table, stored)
        elif len(stored) == n_classes:
            found = _binned(table, labels["y_true"], stored, kind="probability" if probable else "score")
    return Samples(
        labels["y_true"],
        labels["y_pred"],
        held,
        probable,
        log_loss=_known(read, "logloss"),
        brier=_known(read, "brier"),
        confidence=_known(read, "p_pred"),
        true_rank=_known(read, "true_rank"),
        attributes={name: _attribute(read[name]) for name in attributes},
        bins=found,
    )


def label_matrix(column: pa.ChunkedArray, n_labels: int) -> NDArray[np.bool_]:
    """Return lists of label indices as booleans, shape (n, L)."""
    combined = column.combine_chunks()
    matrix = np.zeros((len(combined), n_labels), bool)
    lengths = np.diff(as_numpy(combined.offsets))
    matrix[np.repeat(np.arange(len(combined)), lengths), as_numpy(combined.flatten())] = True
    return matrix


def _matrix(table: pq.ParquetFile, names: Sequence[str]) -> NDArray[np.float32]:
    """Read scores, a row group at a time: there is no second copy of them."""
    matrix, start = np.empty((table.metadata.num_rows, len(names)), np.float32), 0
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


def _attribute(column: pa.ChunkedArray) -> NDArray[Any]:
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
