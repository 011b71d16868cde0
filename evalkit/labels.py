"""From labels as people write them to class indices: names or integers, never a guess between the two."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import DataError, SpecificationError, listed, nearest

Ints = NDArray[np.int64]

_SHOWN = 5
# An integer as it is written; 01 is a name.
INTEGER = r"-?(0|[1-9][0-9]*)"
_INTEGER = re.compile(INTEGER)
_MISSING = ("NAType", "NaTType")


def match_labels(values: NDArray[Any], class_names: Sequence[str], *, where: str, typed: bool = True) -> Ints:
    """Return the class index of each label.

    Text is matched by name and integers are indices. Where class names are themselves integers at another
    position ("1", "2", "3" for outputs 0, 1, 2), integers are names if they can be nothing else, and refused
    if they could be either.

    Args:
        values: Integers, text, or objects that are all one of these; shape (n,).
        class_names: In output order.
        where: Names the labels in messages.
        typed: Whether text was written as text; False for a CSV, where 1 may be either.

    Raises:
        DataError: Labels are missing, of another type, or no classes; the first rows are shown.
        SpecificationError: Integers that could be names or indices.
    """
    if values.ndim != 1:
        raise DataError(f"{where}: expected shape (n,), got {values.shape}")
    if not values.size:
        return np.array([], np.int64)
    if values.dtype.kind in "iu":
        return _from_integers(integral_labels(values, where=where), class_names, where)
    if values.dtype.kind == "b" and len(class_names) == 2 and class_names[0].lower() != "true":  # noqa: PLR2004
        return values.astype(np.int64)
    if values.dtype.kind not in "UO":
        rows = np.flatnonzero(np.isnan(values)) if values.dtype.kind == "f" else np.array([], int)
        if rows.size:
            raise _missing(rows.tolist(), where)
        raise DataError(f"{where}: expected class indices or names, got {values.dtype}")
    return _from_objects(values.tolist(), class_names, where, typed=typed)


def class_indices(values: NDArray[Any], class_names: Sequence[str], *, where: str) -> Ints:
    """Return the class index of each label where the data hold arrays: indices stay, whatever their range.

    Text, and integers that may be names, are matched as in :func:`match_labels`.
    """
    names = class_names if values.dtype.kind in "UO" or is_renumbered(class_names) else ()
    return match_labels(values, names, where=where) if names else integral_labels(values, where=where)


def label_sets(values: NDArray[Any], class_names: Sequence[str], *, where: str) -> NDArray[np.bool_]:
    """Return label sets as booleans, shape (n, L); DataError unless every cell is 0 or 1."""
    if values.ndim != 2 or values.shape[1] != len(class_names):  # noqa: PLR2004 - (n, L)
        raise DataError(
            f"{where}: expected label sets of shape (n, {len(class_names)}), got {values.shape}",
            hint="One column a label, in the order of the class names",
        )
    if values.dtype.kind not in "biuf":
        raise DataError(f"{where}: expected 0 and 1 for each label, got {values.dtype}")
    wrong = np.flatnonzero(((values != 0) & (values != 1)).any(axis=1))
    if wrong.size:
        shown = listed([f"row {row}: {values[row].tolist()}" for row in wrong[:2].tolist()])
        raise DataError(f"{where}: {wrong.size} rows hold other values than 0 and 1 ({shown})")
    return values.astype(bool)


def is_missing(value: object) -> bool:
    """Return whether a cell holds nothing: None, NaN, or what pandas writes for it."""
    return value is None or type(value).__name__ in _MISSING or (isinstance(value, float) and value != value)  # noqa: PLR0124


def integral_labels(y: NDArray[Any], *, where: str) -> Ints:
    """Return labels as int64; DataError unless they are integers, shape (n,)."""
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise DataError(
            f"{where}: y must hold integers of shape (n,), got {y.dtype} of shape {y.shape}",
            hint="Class indices are never rounded or parsed",
        )
    if y.dtype == np.uint64:
        y = np.minimum(y, np.uint64(np.iinfo(np.int64).max))  # a huge label must not wrap to a negative one
    return y.astype(np.int64, copy=False)


def check_range(y: Ints, *, n_classes: int, where: str, index: Ints | None = None) -> None:
    """Raise DataError with the first rows whose label is outside 0 to n_classes - 1.

    Args:
        y: Class indices, shape (n,).
        n_classes: K.
        where: Names the data.
        index: The rows' positions in the data; by default 0 to n - 1.
    """
    if all_below(y, n_classes):
        return
    rows = np.arange(len(y)) if index is None else index
    wrong = np.flatnonzero((y < 0) | (y >= n_classes))
    shown = listed([f"row {rows[i]}: {y[i]}" for i in wrong[:_SHOWN].tolist()])
    raise DataError(f"{where}: {wrong.size} labels outside 0 to {n_classes - 1} ({shown})")


def all_below(labels: NDArray[Any], n_classes: int) -> bool:
    """Return whether integers are all from 0 to n_classes - 1."""
    if not labels.size:
        return True
    if labels.dtype.kind == "i":  # in one pass: as unsigned numbers, negative ones are the largest
        labels = labels.view(f"u{labels.dtype.itemsize}")
    return int(labels.max()) < n_classes


def _from_objects(labels: list[Any], class_names: Sequence[str], where: str, *, typed: bool) -> Ints:
    missing = [row for row, label in enumerate(labels) if is_missing(label)]
    if missing:
        raise _missing(missing, where)
    if all(isinstance(label, (int, np.integer)) and not isinstance(label, bool) for label in labels):
        return _from_integers(_bounded(labels, where), class_names, where)
    if not all(isinstance(label, str) for label in labels):
        kinds = sorted({type(label).__name__ for label in labels})
        raise DataError(f"{where}: expected class indices or names, got {' and '.join(kinds)}")
    if not typed and all(_INTEGER.fullmatch(label) for label in labels):
        return _from_integers(_bounded([int(label) for label in labels], where), class_names, where)
    index = {name: k for k, name in enumerate(class_names)}
    unknown = [(row, label) for row, label in enumerate(labels) if label not in index]
    if unknown:
        shown = [f"row {row}: {label!r}{nearest(label, class_names)}" for row, label in unknown[:_SHOWN]]
        raise DataError(f"{where}: {len(unknown)} labels are no classes of the model ({listed(shown)})")
    return np.array([index[label] for label in labels], np.int64)


def _from_integers(labels: Ints, class_names: Sequence[str], where: str) -> Ints:
    """Take integers as indices, unless names are integers at other positions.

    The reading depends on the names first, so that two batches of one run are never read differently.
    """
    n_classes = len(class_names)
    index = {int(name): k for k, name in enumerate(class_names) if _INTEGER.fullmatch(name)}
    if not is_renumbered(class_names):
        check_range(labels, n_classes=n_classes, where=where)
        return labels
    found = np.unique(labels)
    if len(index) == n_classes:
        if all(label in index for label in found.tolist()) and not (found[0] >= 0 and found[-1] < n_classes):
            return np.array([index[label] for label in found.tolist()])[np.searchsorted(found, labels)]
        raise _ambiguous(where)
    if any(index.get(label, label) != label for label in found.tolist()):
        raise _ambiguous(where)
    check_range(labels, n_classes=n_classes, where=where)
    return labels


def is_renumbered(class_names: Sequence[str]) -> bool:
    """Return whether a name is an integer that is not its own position."""
    return any(_INTEGER.fullmatch(name) and name != str(k) for k, name in enumerate(class_names))


def _ambiguous(where: str) -> SpecificationError:
    return SpecificationError(
        f"{where}: labels are integers and class names are numbers in another order: names or indices?",
        hint="Pass the names as text, or name the classes 0, 1, 2, …",
    )


def _bounded(labels: Sequence[int], where: str) -> Ints:
    largest = np.iinfo(np.int64).max
    wrong = [(row, label) for row, label in enumerate(labels) if abs(label) > largest]
    if wrong:
        shown = listed([f"row {row}: {label}" for row, label in wrong[:_SHOWN]])
        raise DataError(f"{where}: {len(wrong)} labels are no class indices ({shown})")
    return np.array(labels, np.int64)


def _missing(rows: Sequence[int], where: str) -> DataError:
    return DataError(f"{where}: {len(rows)} labels are missing (rows {listed(rows, limit=_SHOWN)})")
