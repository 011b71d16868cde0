"""Samples from a CSV or Parquet table: paths of images, or columns of features."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit.datasets.labels import integral_labels
from evalkit.datasets.npz import NpzSource, unique_ids
from evalkit.datasets.pictures import Pictures
from evalkit.datasets.preprocess import Preprocessing
from evalkit.errors import DataError, SpecificationError, listed, nearest, os_reason

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 5
# An integer as it is written; 01 is a name.
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns mean what.

    Attributes:
        label: The true class, as a name or an index.
        image: Paths of images under ``root``.
        features: Numeric columns, in the model's order.
        id: Sample ids; the image's path, or the row, where there are none.
        attributes: Further columns to keep.
        root: What image paths are relative to, and contained in.
    """

    label: str
    image: str | None
    features: Sequence[str]
    id: str | None
    attributes: Sequence[str]
    root: Path


def read_table(path: Path, *, text: Sequence[str] = ()) -> "pd.DataFrame":
    """Read a CSV or Parquet file; DataError for anything that is neither.

    Args:
        path: The file.
        text: Columns of a CSV that are taken as they are written: ``007`` and ``NA`` are names.
    """
    import pandas as pd  # noqa: PLC0415 - a second of imports that other sources do not need

    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(
            path,
            encoding="utf-8-sig",
            dtype=dict.fromkeys(text, "str"),
            keep_default_na=False,
            na_values=[""],
        )
    except Exception as error:
        reason = os_reason(error).splitlines() or [type(error).__name__]
        raise DataError(f"{path}: cannot be read: {reason[0]}") from error


def open_table(
    path: Path, columns: Columns, class_names: tuple[str, ...], preprocessing: Preprocessing
) -> Pictures | NpzSource:
    """Read a table of samples.

    Raises:
        DataError: Columns are missing, labels unknown, values missing, paths outside the root.
    """
    frame = read_table(path, text=[name for name in (columns.label, columns.image, columns.id) if name])
    wanted = [columns.label, *columns.features, *columns.attributes]
    wanted += [name for name in (columns.image, columns.id) if name]
    missing = [name for name in wanted if name not in frame]
    if missing:
        known = [str(name) for name in frame.columns]
        raise DataError(
            f"{path}: has no column {missing[0]!r}{nearest(missing[0], known)}; it has: {listed(known)}"
        )
    if not len(frame):
        raise DataError(f"{path}: holds no samples")
    y = _labels(frame[columns.label], class_names, path)
    attributes = {name: _plain(frame[name]) for name in columns.attributes}
    ids = unique_ids(path, [str(value) for value in frame[columns.id]]) if columns.id else None
    if columns.image:
        files = _contained(frame[columns.image], columns.root, path)
        described = {"source": "table", "n_found": len(frame)}
        names = unique_ids(path, files) if ids is None else ids
        return Pictures(columns.root, files, names, y, preprocessing, attributes, described)
    features = frame[list(columns.features)]
    rows = np.flatnonzero(features.isna().any(axis=1).to_numpy())
    if rows.size:
        raise DataError(
            f"{path}: {rows.size} rows have missing features (rows {listed(rows[:_SHOWN].tolist())})"
        )
    try:
        x = features.to_numpy(dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: a feature column holds no numbers: {error}") from error
    return NpzSource(x, y, ids, attributes, kind="table")


def _labels(column: "pd.Series[Any]", class_names: tuple[str, ...], path: Path) -> NDArray[np.int64]:
    """Match labels by name where they are text, by index where they are integers."""
    rows = np.flatnonzero(column.isna().to_numpy())
    if rows.size:
        raise DataError(f"{path}: {rows.size} labels are missing (rows {listed(rows[:_SHOWN].tolist())})")
    values = column.tolist()
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return _indices(np.array(values), class_names, path)
    names = [str(value) for value in values]
    index = {name: k for k, name in enumerate(class_names)}
    numbers = all(_INTEGER.fullmatch(name) for name in names)
    if numbers and not set(names) <= set(index):
        return _indices(np.array([int(name) for name in names]), class_names, path)
    if numbers and not _in_order(class_names):
        raise _ambiguous(path)
    unknown = [(row, name) for row, name in enumerate(names) if name not in index]
    if unknown:
        shown = listed([f"row {row}: {name!r}{nearest(name, class_names)}" for row, name in unknown[:_SHOWN]])
        raise DataError(f"{path}: {len(unknown)} labels are no classes of the model ({shown})")
    return np.array([index[name] for name in names], np.int64)


def _indices(labels: NDArray[Any], class_names: tuple[str, ...], path: Path) -> NDArray[np.int64]:
    if not _in_order(class_names) and all(name.isdecimal() for name in class_names):
        raise _ambiguous(path)
    return integral_labels(labels, where=str(path))


def _in_order(class_names: tuple[str, ...]) -> bool:
    return list(class_names) == [str(k) for k in range(len(class_names))]


def _ambiguous(path: Path) -> SpecificationError:
    return SpecificationError(
        f"{path}: labels are integers and class names are numbers in another order: names or indices?",
        hint="Write names that are no numbers, or name the classes 0, 1, 2, …",
    )


def _contained(column: "pd.Series[Any]", root: Path, table: Path) -> list[str]:
    files = []
    inside = root.resolve()
    for row, value in enumerate(column):
        name = str(value)
        if Path(name).is_absolute() or not (root / name).resolve().is_relative_to(inside):
            raise DataError(f"{table}: row {row}: the path {name!r} leaves {root}")
        files.append(Path(name).as_posix())
    return files


def _plain(column: "pd.Series[Any]") -> NDArray[Any]:
    values = column.to_numpy()
    if values.dtype.kind in "fiubM":
        return np.asarray(values)
    return np.array(["" if value is None or value != value else str(value) for value in values.tolist()])  # noqa: PLR0124
