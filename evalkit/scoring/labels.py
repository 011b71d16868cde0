"""One column of labels, read the same way in every batch: names, or indices."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalkit.errors import DataError, SpecificationError, listed, nearest
from evalkit.labels import INTEGER, all_below, is_renumbered
from evalkit.samples import as_numpy

Reading = Literal["names", "indices"]
Ints = NDArray[Any]
MAX_CLASSES = 10_000
_SHOWN = 5
_NUMBER = re.compile(INTEGER)


class LabelColumn:
    """Turns a column of labels into class indices.

    Text holds names and integers are indices. What a CSV holds may be either; there it depends on the class
    names, and where these are numbers in another order it has to be said.

    Args:
        name: The column, for messages.
        class_names: In output order.
        typed: Whether columns have types of their own.
        reading: What was said of the labels.
    """

    def __init__(
        self, name: str, class_names: Sequence[str], *, typed: bool, reading: Reading | None
    ) -> None:
        self._name = name
        self._class_names = class_names
        self._typed = typed
        self._reading = reading
        self._by_name = {text: k for k, text in enumerate(class_names)}
        self._by_index = {str(k): k for k in range(len(class_names))}
        self._kinds: set[str] = set()

    def read(self, column: pa.Array, start: int) -> Ints:
        """Return class indices, shape (n,), in the smallest type that holds them or in that of the column.

        Args:
            column: Of one batch.
            start: The row of the table that it begins with.

        Raises:
            DataError: Labels are missing, of another type, or no classes; the first rows are shown.
            SpecificationError: Integers that could be names or indices.
        """
        check_present(column, self._name, start)
        if pa.types.is_integer(column.type) and self._reading != "names":
            return self._indices(as_numpy(column), start)
        if pa.types.is_boolean(column.type) and len(self._class_names) == 2:  # noqa: PLR2004 - two values
            return as_numpy(column).astype(np.uint8)
        if not (is_text(column.type) or pa.types.is_integer(column.type)):
            raise DataError(f"{self._name}: expected class names or indices, got {column.type}")
        return self._texts(column, start)

    def _indices(self, labels: Ints, start: int) -> Ints:
        if not all_below(labels, len(self._class_names)):
            rows = np.flatnonzero((labels < 0) | (labels >= len(self._class_names)))
            self._refuse(rows, [str(labels[row]) for row in rows[:_SHOWN].tolist()], start)
        return labels

    def _texts(self, column: pa.Array, start: int) -> Ints:
        encoded = (column.cast(pa.string()) if not is_text(column.type) else column).dictionary_encode()
        distinct = [str(text) for text in encoded.dictionary.to_pylist()]
        found = [self._index_of(text) for text in distinct]
        place = as_numpy(encoded.indices)
        if None in found:
            rows = np.flatnonzero(np.array([index is None for index in found])[place])
            self._refuse(rows, [distinct[place[row]] for row in rows[:_SHOWN].tolist()], start)
        kind = np.min_scalar_type(max(len(self._class_names) - 1, 0))
        labels: Ints = np.array(found, kind)[place]
        return labels

    def _index_of(self, text: str) -> int | None:
        """Return the class of a text; None where it is none."""
        if self._reading == "indices":
            return self._by_index.get(text)
        number = self._reading is None and not self._typed and _NUMBER.fullmatch(text) is not None
        if number and is_renumbered(self._class_names):
            raise SpecificationError(
                f"{self._name}: labels are integers and class names are numbers in another order: "
                "names or indices?",
                hint="Say --labels-are names or --labels-are indices",
            )
        known = self._by_name.get(text)
        if not number or self._by_index.get(text) == known:
            self._kinds |= set() if number else {"names"}
            return known
        self._kinds.add("indices")
        if self._kinds == {"names", "indices"}:
            raise DataError(
                f"{self._name}: holds names and indices of classes", hint="Say --labels-are names"
            )
        return self._by_index.get(text)

    def _refuse(self, rows: NDArray[np.intp], texts: Sequence[str], start: int) -> None:
        near = ["" if _NUMBER.fullmatch(text) else nearest(text, self._class_names) for text in texts]
        shown = [
            f"row {row + start}: {text!r}{guess}"
            for row, text, guess in zip(rows[:_SHOWN].tolist(), texts, near, strict=True)
        ]
        raise DataError(f"{self._name}: {len(rows)} labels are no classes ({listed(shown)})")


def check_present(column: pa.Array, name: str, start: int) -> None:
    """Raise DataError with the rows where a column has no value."""
    if column.null_count:
        rows = np.flatnonzero(as_numpy(pc.is_null(column, nan_is_null=False))) + start
        shown = listed(rows.tolist(), limit=_SHOWN)
        raise DataError(f"{name}: {len(rows)} values are missing (rows {shown})")


def is_text(kind: pa.DataType) -> bool:
    """Return whether a column holds text, encoded or not."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_list(kind: pa.DataType) -> bool:
    """Return whether a column holds lists, of whatever kind."""
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view)
    return any(check(kind) for check in (*kinds, pa.types.is_large_list_view))


def names_found(
    columns: Iterator[tuple[str, pa.Array]], *, typed: bool, reading: Reading | None
) -> list[str]:
    """Return the class names where nobody says them: the sorted names that occur, or 0 to the largest index.

    Args:
        columns: Labels and predictions, each with its column's name.
        typed: Whether columns have types of their own.
        reading: What was said of the labels.

    Raises:
        DataError: There are more than 10,000.
    """
    names: dict[str, set[str]] = {}
    largest = -1
    for name, column in columns:
        if pa.types.is_integer(column.type) and reading != "names":
            largest = max(largest, pc.max(column).as_py() or 0)
            continue
        text = column if is_text(column.type) else column.cast(pa.string())
        found = names.setdefault(name, set())
        found |= {str(label) for label in pc.unique(text).to_pylist() if label is not None}
        if max(len(found), largest) > MAX_CLASSES:
            break
    may_be_numbers = (not typed or reading == "indices") and reading != "names"
    for name, found in list(names.items()):
        if may_be_numbers and found and all(_NUMBER.fullmatch(label) for label in found):
            largest = max(largest, *(int(label) for label in names.pop(name)))
    together = set().union(*names.values())
    if max(len(together), largest) > MAX_CLASSES:
        raise DataError(f"more than {MAX_CLASSES} classes are named", hint="Say --classes in output order")
    if together and largest >= 0:
        raise DataError("labels and predictions mix names and indices", hint="Say --classes in output order")
    return sorted(together) if together else [str(k) for k in range(max(largest + 1, 2))]
