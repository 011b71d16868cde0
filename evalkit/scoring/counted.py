"""Rows that stand for many samples: what ``GROUP BY`` gives in any SQL engine."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from evalkit.counts import ConfusionCounts
from evalkit.errors import DataError
from evalkit.ledger import Conforming
from evalkit.scoring.rows import Rows
from evalkit.stored import Counted

_MAX_ROWS = 1 << 20
_LARGEST = 1 << 62


class CountedRows:
    """Adds up rows of counts.

    Args:
        n_classes: K.
        attributes: Columns that slice.
    """

    def __init__(self, n_classes: int, attributes: Sequence[str]) -> None:
        self._matrix = np.zeros((n_classes, n_classes), np.int64)
        self._attributes = tuple(attributes)
        self._keys = ["y_true", "y_pred", *(f"by {k}" for k in range(len(attributes)))]
        self._conforming = Conforming()
        self._tables: list[pa.Table] = []
        self._n_samples = 0

    def add(self, rows: Rows) -> None:
        """Take a batch; DataError where the counts are more than anybody counts."""
        assert rows.count is not None
        self._n_samples += sum(rows.count.tolist())
        if self._n_samples > _LARGEST:
            raise DataError(f"the counts sum to {self._n_samples}")
        true, pred = rows.y_true.astype(np.int64), rows.y_pred.astype(np.int64)
        np.add.at(self._matrix, (true, pred), rows.count)
        columns = [true, pred, *(rows.attributes[name] for name in self._attributes), rows.count]
        table = self._conforming(pa.table(columns, names=[*self._keys, "n"]))
        self._tables.append(table.filter(pa.array(rows.count > 0)))
        if sum(table.num_rows for table in self._tables) > _MAX_ROWS:
            self._tables = [self._merged()]

    def counts(self) -> ConfusionCounts:
        """Return what was counted."""
        return ConfusionCounts(self._matrix)

    def result(self) -> Counted:
        """Return the rows, each combination once."""
        return Counted(self._merged(), self._attributes)

    def _merged(self) -> pa.Table:
        table = pa.concat_tables(self._tables)
        merged = table.group_by(self._keys).aggregate([("n", "sum")])
        return merged.rename_columns([*self._keys, "n"])
