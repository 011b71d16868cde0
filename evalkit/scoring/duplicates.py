"""Ids that stand twice: 64-bit codes in buckets on disk, and a second look at the few that are equal."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evalkit.codes import Texts, text_codes
from evalkit.errors import DataError, OutputError, listed, os_reason

_BITS = 6  # of a code, which say in which of 64 buckets it lies
_SHOWN = 3
# So many equal codes are looked at again; where there are more, the first ones are shown.
_LOOKED_AT = 1000


class Duplicates:
    """Takes the codes of ids; memory does not grow with their number.

    Args:
        folder: An empty folder for the buckets.
    """

    def __init__(self, folder: Path) -> None:
        self._paths = [folder / f"ids-{bucket:02d}" for bucket in range(1 << _BITS)]
        self._open = ExitStack()
        self._files: list[BinaryIO] = []

    def add(self, codes: NDArray[np.uint64]) -> None:
        """Take codes, shape (n,).

        Raises:
            OutputError: The disk is full.
        """
        bucket = (codes >> np.uint64(64 - _BITS)).astype(np.uint8)
        ordered = codes[np.argsort(bucket, kind="stable")]
        stops = np.cumsum(np.bincount(bucket, minlength=1 << _BITS))
        try:
            if not self._files:
                self._files = [self._open.enter_context(path.open("wb")) for path in self._paths]
            for file, part in zip(self._files, np.split(ordered, stops[:-1]), strict=True):
                file.write(part.data)
        except OSError as error:
            raise self._error(error) from error

    def check(self, again: Iterator[pa.Array], *, where: str) -> None:
        """Raise DataError where an id stands twice.

        Args:
            again: The ids once more, batch by batch; read only where two codes are equal.
            where: Names the column in messages.
        """
        try:
            self._open.close()
        except OSError as error:
            raise self._error(error) from error
        n_repeated, codes = self._repeated()
        if not n_repeated:
            return
        rows = _rows_of(codes, again)
        found = {name: places for name, places in rows.items() if len(places) > 1}
        if found:
            shown = [
                f"rows {places[0]} and {places[1]}: {name!r}" for name, places in list(found.items())[:_SHOWN]
            ]
            raise DataError(
                f"{where}: ids must be unique, {max(n_repeated, len(found))} repeated "
                f"({listed(shown, limit=_SHOWN)})"
            )

    def _repeated(self) -> tuple[int, NDArray[np.uint64]]:
        """Return how many codes stand twice, and the first of them, sorted."""
        n_repeated, found = 0, [np.zeros(0, np.uint64)]
        for path in self._paths if self._files else ():
            codes = np.sort(np.fromfile(path, np.uint64))
            again = codes[1:][codes[1:] == codes[:-1]]
            n_repeated += len(again)
            found.append(np.unique(again)[:_LOOKED_AT])
        return n_repeated, np.sort(np.concatenate(found))[:_LOOKED_AT]

    def _error(self, error: OSError) -> OutputError:
        return OutputError(f"{self._paths[0].parent}: ids cannot be noted: {os_reason(error)}")


def _rows_of(codes: NDArray[np.uint64], again: Iterator[pa.Array]) -> dict[str, list[int]]:
    """Return the rows of every id whose code is one of these; equal codes of unequal ids part here."""
    rows: dict[str, list[int]] = defaultdict(list)
    start = 0
    for ids in again:
        mine = text_codes(Texts.of_arrow(ids))[0]
        place = np.minimum(np.searchsorted(codes, mine), len(codes) - 1)
        for row in np.flatnonzero(codes[place] == mine).tolist():
            rows[_name(ids[row])].append(start + row)
        start += len(ids)
    return rows


def _name(scalar: Any) -> str:
    return str(scalar.as_py())
