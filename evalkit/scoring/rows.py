"""From a batch of a table to arrays: labels, predictions, scores, ids and attributes, each checked."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalkit.decide import Decision
from evalkit.errors import DataError, listed
from evalkit.predictions import check_probabilities
from evalkit.samples import as_numpy, label_matrix
from evalkit.scoring.columns import Columns
from evalkit.scoring.labels import LabelColumn, Reading, check_present, is_list, is_text

_SHOWN = 5
_LARGEST = 2.0**53


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch of samples.

    Attributes:
        start: The row that it begins with.
        y_true, y_pred: Class indices, shape (n,), or label sets, shape (n, L).
        n_ties: Samples that the rule could have decided either way.
        outputs: Scores, shape (n, K), or None.
        ids: Text, or None.
        count: How many samples each row stands for, int64, or None.
        attributes: Columns to keep.
        written: Rows of evalkit's own table, which are taken over as they are.
        n_contradictions: Predictions that are not what their scores decide.
    """

    start: int
    y_true: NDArray[Any]
    y_pred: NDArray[Any]
    n_ties: int
    outputs: NDArray[Any] | None
    ids: pa.Array | None
    count: NDArray[np.int64] | None
    attributes: Mapping[str, pa.Array]
    written: pa.Table | None = None
    n_contradictions: int = 0

    def __len__(self) -> int:
        return len(self.y_true)


class RowReader:
    """Reads the batches of a table that somebody else wrote.

    Args:
        columns: What means what, in class order.
        class_names: In output order.
        decision: The rule from scores to classes.
        typed: Whether columns have types of their own.
        reading: What was said of the labels.
        numbers: Attributes that are binned, and therefore numbers.
    """

    def __init__(
        self,
        columns: Columns,
        class_names: Sequence[str],
        decision: Decision,
        *,
        typed: bool,
        reading: Reading | None,
        numbers: Sequence[str] = (),
    ) -> None:
        self.names = columns.all
        self._columns = columns
        self._decision = decision
        self._n_classes = len(class_names)
        self._numbers = numbers
        self._labels = {
            name: LabelColumn(name, class_names, typed=typed, reading=reading)
            for name in (*columns.label, *columns.prediction)
        }

    def read(self, batch: pa.RecordBatch, start: int) -> Rows:
        """Check a batch that begins with a row of the table.

        Raises:
            DataError: Values are missing, of another type, or not finite; the first rows are shown.
            SpecificationError: Integers that could be names or indices.
        """
        columns = self._columns
        y_true = self._classes(batch, columns.label, start)
        outputs = self._outputs(batch, start) if columns.scores else None
        n_ties = n_contradictions = 0
        if columns.prediction:
            y_pred = self._classes(batch, columns.prediction, start)
            if outputs is not None:
                n_contradictions = self._decision.contradictions(outputs, y_pred)
        else:
            assert outputs is not None
            y_pred, n_ties = self._decision.decide(outputs)
        return Rows(
            start,
            y_true,
            y_pred,
            n_ties,
            outputs,
            None if columns.id is None else ids_of(batch.column(columns.id), columns.id, start),
            None if columns.count is None else _counts(batch.column(columns.count), columns.count, start),
            {name: self._attribute(batch.column(name), name, start) for name in columns.attributes},
            n_contradictions=n_contradictions,
        )

    def _classes(self, batch: pa.RecordBatch, names: Sequence[str], start: int) -> NDArray[Any]:
        if self._decision.task != "multilabel":
            return self._labels[names[0]].read(batch.column(names[0]), start)
        if len(names) == 1:
            return label_lists(batch.column(names[0]), names[0], self._n_classes, start)
        cells = np.stack([_cells(batch.column(name), name, start) for name in names], axis=1)
        return cells.astype(bool)

    def _outputs(self, batch: pa.RecordBatch, start: int) -> NDArray[Any]:
        names = self._columns.scores
        single = all(pa.types.is_float32(batch.column(name).type) for name in names)
        found = np.empty((batch.num_rows, len(names)), np.float32 if single else np.float64)
        for k, name in enumerate(names):
            found[:, k] = numbers_of(batch.column(name), name, start)
        rows = np.flatnonzero(~np.isfinite(found).all(axis=1))
        if rows.size:
            shown = listed((rows + start).tolist(), limit=_SHOWN)
            raise DataError(f"scores: NaN or infinite in {rows.size} rows (rows {shown})")
        if self._decision.output == "probabilities":
            exclusive = self._decision.task != "multilabel"
            check_probabilities(
                found.astype(np.float64),
                exclusive=exclusive,
                start=start,
                what=listed(names, limit=_SHOWN),
                option="--output-kind ",
            )
        return self._decision.two_columns(found)

    def _attribute(self, column: pa.Array, name: str, start: int) -> pa.Array:
        if name in self._numbers and is_text(column.type):
            return pa.array(numbers_of(column, name, start, missing=True))
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
            raise DataError(f"{name}: an attribute holds text, numbers or times, got {column.type}")
        return column


def numbers_of(column: pa.Array, name: str, start: int, *, missing: bool = False) -> NDArray[Any]:
    """Return a column of numbers as floats; DataError with the rows of what is none.

    Args:
        column: Numbers, or text that is one.
        name: Of the column.
        start: The row that it begins with.
        missing: Whether a missing value is NaN, rather than refused.
    """
    if not missing:
        check_present(column, name, start)
    kind = column.type
    if not (is_text(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise DataError(f"{name}: expected numbers, got {kind}")
    if is_text(kind):
        try:
            column = pc.utf8_trim_whitespace(column.cast(pa.string())).cast(pa.float64())
        except pa.ArrowInvalid as error:
            raise _no_numbers(column, name, start) from error
    return as_numpy(column.cast(pa.float64()) if column.null_count else column)


def _no_numbers(column: pa.Array, name: str, start: int) -> DataError:
    found = []
    for row, text in enumerate(column):
        try:
            pc.utf8_trim_whitespace(text).cast(pa.float64())
        except pa.ArrowInvalid:
            found.append(f"row {row + start}: {text.as_py()!r}")
    return DataError(f"{name}: {len(found)} cells are no numbers ({listed(found, limit=_SHOWN)})")


def _cells(column: pa.Array, name: str, start: int) -> NDArray[Any]:
    """Return a column of 0 and 1."""
    column = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
    found = numbers_of(column, name, start)
    rows = np.flatnonzero((found != 0) & (found != 1))
    if rows.size:
        shown = listed([f"row {row + start}: {found[row]:g}" for row in rows[:_SHOWN].tolist()])
        raise DataError(f"{name}: expected 0 and 1 for each label ({shown})")
    return found


def label_lists(column: pa.Array, name: str, n_labels: int, start: int) -> NDArray[np.bool_]:
    """Return lists of label indices as booleans; DataError with the rows of what is none."""
    check_present(column, name, start)
    if not (is_list(column.type) and pa.types.is_integer(column.type.value_type)):
        raise DataError(f"{name}: expected lists of label indices, or a column a label, got {column.type}")
    column = column.cast(pa.list_(column.type.value_type))
    inside, lengths = column.flatten(), np.asarray(pc.list_value_length(column))
    cells = np.asarray(pc.fill_null(inside.cast(pa.int64()), -1))
    rows = np.repeat(np.arange(len(column)), lengths)
    wrong = np.flatnonzero((cells < 0) | (cells >= n_labels))
    if wrong.size:
        shown = listed([f"row {rows[k] + start}: {inside[k].as_py()}" for k in wrong[:_SHOWN].tolist()])
        raise DataError(f"{name}: {wrong.size} labels are none of 0 to {n_labels - 1} ({shown})")
    return label_matrix(pa.chunked_array([column]), n_labels)


def ids_of(column: pa.Array, name: str, start: int) -> pa.Array:
    """Return a column of ids as text; DataError with the rows where one is missing."""
    check_present(column, name, start)
    if pa.types.is_integer(column.type):
        return column.cast(pa.string())
    if not is_text(column.type):
        raise DataError(f"{name}: ids are text or integers, got {column.type}")
    return column.cast(pa.string())


def _counts(column: pa.Array, name: str, start: int) -> NDArray[np.int64]:
    """Return whole numbers from 0 up."""
    check_present(column, name, start)
    kind = column.type
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if not (numeric or is_text(kind)):
        raise DataError(f"{name}: expected counts, got {kind}")
    if is_text(kind):
        column = pa.array(numbers_of(column, name, start))
    with suppress(pa.ArrowInvalid):  # where one is no whole number, or too large
        whole = as_numpy(
            (column.cast(pa.float64()) if pa.types.is_float16(kind) else column).cast(pa.int64())
        )
        if whole.min(initial=0) >= 0:
            return np.asarray(whole, np.int64)
    found = np.asarray(column.cast(pa.float64()))
    rows = np.flatnonzero(~((found >= 0) & (found == np.floor(found)) & (found < _LARGEST)))
    shown = listed([f"row {row + start}: {found[row]:g}" for row in rows[:_SHOWN].tolist()])
    raise DataError(f"{name}: {len(rows) or 'some'} cells are no counts ({shown})")
