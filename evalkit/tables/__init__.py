"""Tables that somebody else wrote, as record batches: memory does not grow with their rows."""

from pathlib import Path

from evalkit.errors import DataError
from evalkit.tables.csv_file import CsvFile
from evalkit.tables.npz_file import NpzFile
from evalkit.tables.parquet_files import SUFFIXES, ParquetFiles
from evalkit.tables.table import ROWS, Table

__all__ = ["ROWS", "Table", "open_table"]

_CSV = (".csv", ".tsv")
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")


def open_table(path: Path) -> Table:
    """Open a CSV, a Parquet file, a folder of Parquet files, or an NPZ archive, by its name.

    Raises:
        DataError: There is no such file, or it is none of these.
    """
    suffix = path.suffix.lower()
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_dir():
        return ParquetFiles.of_folder(path)
    if not path.is_file():
        raise DataError(f"{path}: is not a file")
    if suffix in _CSV:
        return CsvFile.of(path, delimiter="\t" if suffix == ".tsv" else ",")
    if suffix == ".npz":
        return NpzFile.of(path)
    if suffix in SUFFIXES:
        return ParquetFiles.of_file(path)
    if suffix in _PACKED:
        raise DataError(f"{path}: is packed", hint="Unpack it first, to a .csv, .tsv, .parquet or .npz")
    raise DataError(f"{path}: cannot tell what this is", hint="Name it .csv, .tsv, .parquet or .npz")
