"""A CSV: every cell is text until somebody says what it means, and only an empty one is missing."""

import codecs
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from evalkit.errors import DataError, listed
from evalkit.tables.table import check_names, reading

_BLOCK = 1 << 23
_SHOWN = 5
# A cell of more lines is taken for a quote that nobody closed: it would hide as many rows.
_MAX_LINES = 20
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_QUOTE, _LINE = 0x22, 0x0A


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
        with reading(path), path.open("rb") as file:  # quotes are looked at when the rows are read
            if file.read(2) in _UTF_16:
                raise DataError(f"{path}: is UTF-16 text, expected UTF-8", hint="Write it as UTF-8")
            file.seek(0)
            found = csv.open_csv(file, parse_options=_parsing(delimiter, [])).schema.names
        return cls(path, check_names(path, found), delimiter)

    @property
    def files(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    @property
    def positions(self) -> dict[str, int]:
        """Nothing: there are no matrices."""
        return {}

    def n_rows(self) -> None:
        """Return None: only reading would tell."""

    def largest(self, column: str) -> None:
        """Return None: only reading would tell."""

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield some columns as text, in order."""
        ragged: list[Any] = []
        with reading(self.path), self.path.open("rb") as file:
            quotes = _Quotes(file, self.path)
            blocks = csv.open_csv(
                quotes,
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
            quotes.check_closed()

    def _check(self, ragged: Sequence[Any]) -> None:
        """Raise DataError where rows have too many or too few cells; rows count from 0 below the header."""
        if ragged:
            shown = [f"row {row.number - 2}: {row.actual_columns}" for row in ragged]
            expected = ragged[0].expected_columns
            raise DataError(
                f"{self.path}: {len(ragged)} rows have other than {expected} cells "
                f"({listed(shown, limit=_SHOWN)})"
            )


class _Quotes(io.RawIOBase):
    """Passes a file's bytes on, and raises DataError where a quote swallows rows."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        super().__init__()
        self._file, self._path = file, path
        self._line, self._opened = 1, 0  # the line that is read, and that of an open quote

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        self._look(np.frombuffer(content, np.uint8))
        return len(content)

    def check_closed(self) -> None:
        """Raise DataError where the file ends inside a quote."""
        if self._opened:
            raise self._error("is never closed")

    def _look(self, content: NDArray[np.uint8]) -> None:
        lines = np.flatnonzero(content == _LINE)
        quotes = np.flatnonzero(content == _QUOTE)
        at = self._line + np.searchsorted(lines, quotes)  # the line of each quote
        opened = [self._opened] if self._opened else []
        edges = np.concatenate([np.array(opened, np.int64), at])
        last = self._line + len(lines)
        pairs = edges if len(edges) % 2 == 0 else np.append(edges, last)
        long = np.flatnonzero(pairs[1::2] - pairs[::2] > _MAX_LINES)
        if long.size:
            self._opened = int(pairs[2 * long[0]])
            raise self._error(f"holds more than {_MAX_LINES} lines: is one missing?")
        self._opened = int(edges[-1]) if len(edges) % 2 else 0
        self._line = last

    def _error(self, text: str) -> DataError:
        return DataError(f"{self._path}: the quote in line {self._opened} {text}")


def _parsing(delimiter: str, ragged: list[Any]) -> csv.ParseOptions:
    return csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=_noting(ragged))


def _noting(ragged: list[Any]) -> Callable[[Any], str]:
    def note(row: Any) -> str:
        ragged.append(row)
        return "skip"

    return note
