"""A Parquet file, or a folder of them, one after another by name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from evalkit.errors import DataError
from evalkit.tables.table import ROWS, check_names, reading

SUFFIXES = (".parquet", ".pq")
_MISSING = "__HIVE_DEFAULT_PARTITION__"
_HIDDEN = ("_", ".")  # what Spark and others leave beside the data


@dataclass(frozen=True, slots=True)
class ParquetFiles:
    """Files of the same columns; see :class:`~evalkit.tables.table.Table`.

    Attributes:
        path: The file, or the folder.
        files: In order.
        names: Columns of the files, then those that folders name, as in ``camera=night/part-0.parquet``.
        partitions: What the folders of each file say.
    """

    path: Path
    files: tuple[Path, ...]
    names: tuple[str, ...]
    partitions: Mapping[Path, Mapping[str, str | None]] = field(default_factory=dict)
    typed: bool = True

    @property
    def positions(self) -> dict[str, int]:
        """Nothing: there are no matrices."""
        return {}

    @classmethod
    def of_file(cls, path: Path) -> "ParquetFiles":
        """Read the schema of one file."""
        return cls(path, (path,), _names(path))

    @classmethod
    def of_folder(cls, path: Path) -> "ParquetFiles":
        """List a folder's files, those of its subfolders too."""
        found = (file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        files = tuple(sorted(file for file in found if not _is_hidden(file, path)))
        if not files:
            raise DataError(f"{path}: holds no .parquet files")
        partitions = {file: _partition(file, path) for file in files}
        names, said = _names(files[0]), tuple(partitions[files[0]])
        for file in files[1:]:
            if set(_names(file)) != set(names) or tuple(partitions[file]) != said:
                raise DataError(f"{file}: has other columns than {files[0]}")
        return cls(path, files, check_names(path, [*names, *said]), partitions)

    def n_rows(self) -> int:
        """Return the rows of all files, by their footers."""
        return sum(_n_rows(path) for path in self.files)

    def largest(self, column: str) -> int | None:
        """Return the largest of a column's integers, by the footers; None where one does not say."""
        found = [value for path in self.files for value in _largest(path, column)]
        return max(found) if found and None not in found else None  # type: ignore[type-var]

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield some columns of all files."""
        for path in self.files:
            said = self.partitions.get(path, {})
            own = [name for name in columns if name not in said]
            with reading(path), path.open("rb") as file:
                table = pq.ParquetFile(file, pre_buffer=False)
                for batch in table.iter_batches(ROWS, columns=own):
                    yield _with(batch, said, columns)


def _names(path: Path) -> tuple[str, ...]:
    with reading(path), path.open("rb") as file:
        return check_names(path, pq.ParquetFile(file).schema_arrow.names)


def _largest(path: Path, column: str) -> Iterator[int | None]:
    """Yield the largest value of each row group; None where it is not said, or no integer."""
    with reading(path), path.open("rb") as file:
        metadata = pq.ParquetFile(file).metadata
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        columns = [row_group.column(k) for k in range(row_group.num_columns)]
        stated = [one.statistics for one in columns if one.path_in_schema == column]
        known = stated[0] if stated and stated[0] is not None and stated[0].has_min_max else None
        yield known.max if known is not None and type(known.max) is int else None


def _n_rows(path: Path) -> int:
    with reading(path), path.open("rb") as file:
        return int(pq.ParquetFile(file).metadata.num_rows)


def _is_hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(_HIDDEN) for part in file.relative_to(folder).parts)


def _partition(file: Path, folder: Path) -> dict[str, str | None]:
    """Return what the folders above a file say, as Hive writes it: ``{"camera": "night"}``."""
    pairs = (part.partition("=") for part in file.relative_to(folder).parts[:-1])
    said = {unquote(name): unquote(value) for name, equals, value in pairs if equals}
    return {name: None if value == _MISSING else value for name, value in said.items()}


def _with(batch: pa.RecordBatch, said: Mapping[str, str | None], columns: Sequence[str]) -> pa.RecordBatch:
    """Return columns in their order, with those that the folder's name holds for all rows."""
    arrays = [
        pa.repeat(pa.scalar(said[name], pa.string()), batch.num_rows) if name in said else batch.column(name)
        for name in columns
    ]
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))
