"""A CSV: every cell is text until somebody says what it means, and only an empty one is missing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv

from evalkit.errors import DataError, listed
from evalkit.tables.table import check_names, reading

_BLOCK = 1 << 23
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A file of text; see :class:`~evalkit.tables.table.Table`."""

    path: Path
    names: tuple[str, ...]
    delimiter: str
    typed: bool = False

    @classmethod
    def of(cls, path: Path, *, delimiter: str) -> "CsvFile":
        """Read the header."""
        with reading(path), path.open("rb") as file:
            found = csv.open_csv(file, parse_options=_parsing(delimiter, [])).schema.names
        return cls(path, check_names(path, found), delimiter)

    def n_rows(self) -> None:
        """Return None: only reading would tell."""

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield some columns as text, in order."""
        ragged: list[Any] = []
        with reading(self.path), self.path.open("rb") as file:
            blocks = csv.open_csv(
                file,
                csv.ReadOptions(use_threads=False, block_size=_BLOCK),  # only one thread knows its row
                _parsing(self.delimiter, ragged),
                csv.ConvertOptions(
                    include_columns=list(columns),
                    column_types=dict.fromkeys(columns, pa.string()),
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
            for block in blocks:
                self._check(ragged)
                yield block
            self._check(ragged)

    def _check(self, ragged: Sequence[Any]) -> None:
        """Raise DataError where rows have too many or too few cells; rows count from 0 below the header."""
        if ragged:
            shown = [f"row {row.number - 2}: {row.actual_columns}" for row in ragged]
            expected = ragged[0].expected_columns
            raise DataError(
                f"{self.path}: {len(ragged)} rows have other than {expected} cells "
                f"({listed(shown, limit=_SHOWN)})"
            )


def _parsing(delimiter: str, ragged: list[Any]) -> csv.ParseOptions:
    return csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=_noting(ragged))


def _noting(ragged: list[Any]) -> Callable[[Any], str]:
    def note(row: Any) -> str:
        ragged.append(row)
        return "skip"

    return note
