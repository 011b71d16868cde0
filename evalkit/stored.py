"""The samples of a run where they lie: read as a whole where they fit in memory, else summed in pieces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evalkit.errors import DataError
from evalkit.grouping import SliceBy, columns_of
from evalkit.samples import DEFAULT_MEMORY, Samples, as_numpy, attribute, read_pieces, read_samples
from evalkit.score_rows import ScoreStates
from evalkit.scores import ScoreBins

_ROWS = 1 << 18
_MAX_CELLS = 1 << 20
_LABELS = ("y_true", "y_pred")
# What a held sample takes beside its scores, and what its scores take each.
_BYTES, _SCORE_BYTES = 48, 4


@dataclass(frozen=True, slots=True)
class Cells:
    """Samples of equal class, prediction and attributes, as one row each.

    Attributes:
        y_true, y_pred: Class indices, int64, shape (c,).
        n: How many samples each row stands for, int64, shape (c,).
        attributes: Further columns by name.
    """

    y_true: NDArray[np.int64]
    y_pred: NDArray[np.int64]
    n: NDArray[np.int64]
    attributes: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.n)

    @classmethod
    def of(cls, table: pa.Table, names: Sequence[str]) -> "Cells":
        """Take a table with classes, predictions, attributes and counts, in this order."""
        y_true, y_pred, *others, n = table.columns
        true, pred, count = (as_numpy(column).astype(np.int64) for column in (y_true, y_pred, n))
        return cls(true, pred, count, {name: attribute(one) for name, one in zip(names, others, strict=True)})


@dataclass(frozen=True, slots=True)
class Stored:
    """The per-sample table of a run.

    Attributes:
        path: The Parquet file.
        task, n_classes: Of the run.
        attributes: Columns that numbers need.
        memory: How many bytes of samples may be held.
        bins: Of classes whose scores the table does not hold.
    """

    path: Path
    task: str
    n_classes: int
    attributes: Sequence[str] = ()
    memory: int = DEFAULT_MEMORY
    bins: Mapping[int, ScoreBins] = field(default_factory=dict)

    def fits(self) -> bool:
        """Return whether all samples may be held at once."""
        with self.path.open("rb") as file:
            metadata = pq.ParquetFile(file).metadata
        return bool(metadata.num_rows * (_BYTES + _SCORE_BYTES * self.n_classes) <= self.memory)

    def held(self) -> Samples:
        """Read all samples; scores that are too many are binned."""
        return read_samples(
            self.path,
            task=self.task,
            n_classes=self.n_classes,
            attributes=self.attributes,
            memory=self.memory,
            bins=self.bins,
        )

    def states(self, positive: int | None) -> ScoreStates:
        """Sum what scores say, so many samples at a time."""
        pieces = read_pieces(self.path, task=self.task, n_classes=self.n_classes)
        return ScoreStates.of_pieces(pieces, self.n_classes, positive, self.bins)

    def cells(self, by: SliceBy) -> Cells:
        """Count the samples that are alike in the columns of one entry of the specification's slices.

        Raises:
            DataError: There are far too many different ones.
        """
        columns, edges = columns_of(by), by if isinstance(by, Mapping) else {}
        read = [*_LABELS, *columns]
        keys, found = _keys(columns), []  # a column may have any name, those of counts too
        with self.path.open("rb") as file:
            for batch in pq.ParquetFile(file, pre_buffer=False).iter_batches(_ROWS, columns=read):
                table = _binned(pa.table(batch), edges).rename_columns(keys)
                found.append(table.group_by(keys).aggregate([([], "count_all")]))
                if sum(one.num_rows for one in found) > _MAX_CELLS:
                    found = [_merged(found, keys, by)]
        return Cells.of(_merged(found, keys, by), columns)


@dataclass(frozen=True, slots=True)
class Counted:
    """Samples that came as counts already.

    Attributes:
        table: Classes, predictions, attributes and counts, in this order.
        names: Of the attributes.
    """

    table: pa.Table
    names: Sequence[str]

    def cells(self, by: SliceBy) -> Cells:
        """Return the rows with the columns of one entry of the specification's slices."""
        columns = columns_of(by)
        places = [0, 1, *(2 + self.names.index(name) for name in columns), 2 + len(self.names)]
        return Cells.of(self.table.select(places), columns)


def _keys(columns: Sequence[str]) -> list[str]:
    return [*_LABELS, *(f"by {k}" for k in range(len(columns)))]


def _merged(found: Sequence[pa.Table], keys: Sequence[str], by: SliceBy) -> pa.Table:
    table = pa.concat_tables(found)
    merged = table.group_by(list(keys)).aggregate([("count_all", "sum")])
    if merged.num_rows > _MAX_CELLS:
        raise DataError(f"slices by {' and '.join(columns_of(by))} are too many; bin a column of numbers")
    return merged.rename_columns([*keys, "count_all"])


def _binned(table: pa.Table, edges: Mapping[str, Sequence[float]]) -> pa.Table:
    """Replace numbers by the lower edge of their bin, so that few different ones are left."""
    for name, bounds in edges.items():
        column = table[name]
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise DataError(f"the attribute {name!r} holds no numbers that could be binned")
        values = as_numpy(column).astype(np.float64)
        lower = np.array([-np.inf, *bounds, np.nan])
        place = np.where(np.isnan(values), len(lower) - 1, np.searchsorted(bounds, values, side="right"))
        table = table.set_column(table.column_names.index(name), name, pa.array(lower[place]))
    return table
