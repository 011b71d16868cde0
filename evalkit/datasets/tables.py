"""Samples from a CSV or Parquet table: paths of images, or columns of features."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from evalkit.datasets.npz import NpzSource, unique_ids
from evalkit.datasets.pictures import Pictures
from evalkit.datasets.preprocess import Preprocessing
from evalkit.errors import DataError, listed, nearest, os_reason
from evalkit.labels import is_missing, label_sets, match_labels
from evalkit.ledger import check_attributes

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 5
_MAX_BLOCK = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns mean what.

    Attributes:
        label: The true class, as a name or an index; of a multilabel task a column of 0 and 1 for each label,
            named as it.
        image: Paths of images under ``root``.
        features: Numeric columns, in the model's order.
        id: Sample ids; the image's path, or the row, where there are none.
        attributes: Further columns to keep.
        root: What image paths are relative to, and contained in.
    """

    label: str | Sequence[str]
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
    try:
        table = pq.read_table(path) if path.suffix == ".parquet" else _read_csv(path, text)
    except Exception as error:
        reason = os_reason(error).splitlines() or [type(error).__name__]
        raise DataError(f"{path}: cannot be read: {reason[0]}") from error
    repeated = [name for name, count in Counter(table.column_names).items() if count > 1]
    if repeated:
        raise DataError(f"{path}: the column {listed(map(repr, repeated))} stands twice")
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _read_csv(path: Path, text: Sequence[str]) -> pa.Table:
    """Read a CSV in which every row has a cell for every column, and only an empty cell is missing."""
    return csv.read_csv(
        path,
        # One block, because types are settled on the first; one thread, because an error then names its row.
        csv.ReadOptions(use_threads=False, block_size=min(max(path.stat().st_size, 1), _MAX_BLOCK)),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(
            column_types=dict.fromkeys(text, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )


def open_table(
    path: Path, columns: Columns, class_names: tuple[str, ...], preprocessing: Preprocessing
) -> Pictures | NpzSource:
    """Read a table of samples.

    Raises:
        DataError: Columns are missing, labels unknown, values missing, paths outside the root.
    """
    several = not isinstance(columns.label, str)
    named = [] if several else [str(columns.label)]
    frame = read_table(path, text=[name for name in (*named, columns.image, columns.id) if name])
    wanted = [*(columns.label if several else named), *columns.features, *columns.attributes]
    wanted += [name for name in (columns.image, columns.id) if name]
    missing = [name for name in wanted if name not in frame]
    if missing:
        known = [str(name) for name in frame.columns]
        raise DataError(
            f"{path}: has no column {missing[0]!r}{nearest(missing[0], known)}; it has: {listed(known)}"
        )
    if not len(frame):
        raise DataError(f"{path}: holds no samples")
    y: NDArray[Any]
    if several:
        y = _label_columns(frame, columns.label, class_names, path)
    else:
        labels = frame[columns.label].to_numpy(dtype=object)
        y = match_labels(labels, class_names, where=str(path), typed=path.suffix == ".parquet")
    check_attributes(columns.attributes, where=str(path))
    attributes = {name: plain_column(frame[name]) for name in columns.attributes}
    ids = unique_ids(path, _named(frame, columns.id, path)) if columns.id else None
    if columns.image:
        files = _contained(_named(frame, columns.image, path), columns.root, path)
        described = {"source": "table", "n_found": len(frame)}
        names = unique_ids(path, files) if ids is None else ids
        return Pictures(columns.root, files, names, y, preprocessing, attributes, described)
    features = frame[list(columns.features)]
    texts = [name for name in columns.features if features[name].dtype.kind not in "fiub"]
    if texts:
        raise DataError(f"{path}: the feature {texts[0]!r} holds no numbers, but {features[texts[0]].dtype}")
    rows = np.flatnonzero(features.isna().any(axis=1).to_numpy())
    if rows.size:
        raise DataError(
            f"{path}: {rows.size} rows have missing features (rows {listed(rows[:_SHOWN].tolist())})"
        )
    with np.errstate(over="ignore"):
        x = features.to_numpy(dtype=np.float32, copy=True)  # torch wants memory that it may write
    return NpzSource(x, y, ids, attributes, kind="table")


def _label_columns(
    frame: "pd.DataFrame", columns: Sequence[str], class_names: Sequence[str], path: Path
) -> NDArray[np.bool_]:
    """Return one column a label in the order of the class names: columns are matched by name."""
    if set(columns) != set(class_names):
        odd = sorted(set(columns) ^ set(class_names))
        raise DataError(f"{path}: label columns and class names differ: {listed(map(repr, odd), limit=5)}")
    return label_sets(frame[list(class_names)].to_numpy(), class_names, where=str(path))


def _named(frame: "pd.DataFrame", column: str, table: Path) -> list[str]:
    """Return a column of ids or paths as text; DataError where a cell is empty."""
    values = frame[column].tolist()
    rows = [row for row, value in enumerate(values) if is_missing(value)]
    if rows:
        raise DataError(f"{table}: {column!r} is missing in {len(rows)} rows ({listed(rows, limit=_SHOWN)})")
    return [str(value) for value in values]


def _contained(column: Sequence[str], root: Path, table: Path) -> list[str]:
    files = []
    inside = root.resolve()
    for row, name in enumerate(column):
        if "\0" in name:
            raise DataError(f"{table}: row {row}: {name!r} is no path")
        if not (root / name).resolve().is_relative_to(inside):
            raise DataError(f"{table}: row {row}: the path {name!r} leaves {root}")
        spelled = os.path.relpath(name, inside) if Path(name).is_absolute() else os.path.normpath(name)
        files.append(Path(spelled).as_posix())
    return files


def plain_column(column: "pd.Series[Any]") -> NDArray[Any]:
    """Return an attribute as numbers or text; an empty cell of text is empty."""
    values = column.to_numpy()
    if values.dtype.kind in "fiubM":
        return np.asarray(values)
    return np.array(["" if is_missing(value) else str(value) for value in values.tolist()])
