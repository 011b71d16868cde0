"""gallery.parquet: some samples that a reader wants to see, with a small picture or their values."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evalkit.errors import DocumentError

FILE_NAME = "gallery.parquet"
MAX_ROWS = 512
_WHY = re.compile(r"confident|label|margin|flip|conflict|pair:[0-9]{1,9}:[0-9]{1,9}")
Kind = Literal["webp", "values", ""]
_COLUMNS = ("sample_id", "why", "y_true", "y_pred", "p_pred", "p_true", "kind", "content")


@dataclass(frozen=True, slots=True)
class GalleryRow:
    """One sample.

    Attributes:
        sample_id: Whose.
        why: Reasons: confident, margin, label, flip, conflict, or pair:TRUE:PREDICTED by index.
        y_true, y_pred: Class indices; of label sets several or none.
        p_pred, p_true: Probabilities, or None.
        kind, content: A WebP picture, float32 values, or nothing.
    """

    sample_id: str
    why: tuple[str, ...]
    y_true: tuple[int, ...]
    y_pred: tuple[int, ...]
    p_pred: float | None
    p_true: float | None
    kind: Kind = ""
    content: bytes = b""


def write_gallery(path: Path, rows: Sequence[GalleryRow]) -> None:
    """Write the document."""
    import pyarrow as pa  # noqa: PLC0415 - most pages are rendered without
    import pyarrow.parquet as pq  # noqa: PLC0415

    columns = {name: [getattr(row, name) for row in rows] for name in _COLUMNS}
    with path.open("wb") as file:
        pq.write_table(pa.table(columns, schema=_schema()), file, compression="zstd")


def read_gallery(directory: Path) -> tuple[GalleryRow, ...]:
    """Read a run's gallery; empty where it has none.

    Raises:
        DocumentError: Damaged, or larger than any that evalkit writes.
    """
    path = directory / FILE_NAME
    if not path.exists():
        return ()
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with path.open("rb") as file:
            table = pq.ParquetFile(file)
            if table.metadata.num_rows > MAX_ROWS or table.schema_arrow.names != list(_COLUMNS):
                raise DocumentError(f"{path}: is no gallery")
            found = table.read().cast(_schema()).to_pylist()
    except (OSError, pa.ArrowException, ValueError) as error:
        raise DocumentError(f"{path}: cannot be read: {error}") from error
    if not all(_is_row(row) for row in found):
        raise DocumentError(f"{path}: holds a row that evalkit does not write")
    return tuple(
        GalleryRow(**{**row, **{name: tuple(row[name] or ()) for name in ("why", "y_true", "y_pred")}})
        for row in found
    )


def _is_row(row: dict[str, Any]) -> bool:
    """Return whether a row is one that can be shown."""
    content = row["content"] or b""
    known = {"webp": content.startswith(b"RIFF"), "values": len(content) % 4 == 0, "": not content}
    numbers = [row[name] for name in ("p_pred", "p_true")]
    return (
        isinstance(row["sample_id"], str)
        and all(isinstance(why, str) and _WHY.fullmatch(why) for why in row["why"] or ())
        and all(number is None or 0 <= number <= 1 for number in numbers)
        and known.get(row["kind"], False)
    )


def _schema() -> Any:
    import pyarrow as pa  # noqa: PLC0415

    texts, labels = pa.list_(pa.string()), pa.list_(pa.int32())
    kinds = (pa.string(), texts, labels, labels, pa.float32(), pa.float32(), pa.string(), pa.binary())
    return pa.schema(list(zip(_COLUMNS, kinds, strict=True)))
