"""A NumPy archive: arrays are read a piece at a time, from their member of the zip file."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy
from numpy.typing import NDArray

from evalkit.errors import DataError
from evalkit.tables.table import ROWS, check_names, reading

_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_KINDS = "biufUS"
_MATRIX = 2


@dataclass(frozen=True, slots=True)
class _Member:
    """An array of the archive: its name, shape and type, and whether its columns lie one after another."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    by_column: bool

    def part(self, k: int | None) -> tuple[str, int | None]:
        """Return what is read together with a column: the whole array, or that column alone."""
        return self.name, k if self.by_column else None


@dataclass(frozen=True, slots=True)
class NpzFile:
    """Arrays of one length; see :class:`~evalkit.tables.table.Table`.

    A matrix ``y_score`` of shape (n, K) is K columns, ``y_score_0`` to ``y_score_<K-1>``.

    Attributes:
        path: The file.
        members: By column: the array, and which of its columns; None where it has no columns.
    """

    path: Path
    members: Mapping[str, tuple[_Member, int | None]]
    typed: bool = True

    @classmethod
    def of(cls, path: Path) -> "NpzFile":
        """Read the headers; DataError for arrays of other lengths, or of objects."""
        with reading(path), zipfile.ZipFile(path) as archive:
            found = [_header(archive, name, path) for name in archive.namelist()]
        lengths = {member.shape[0] for member in found}
        if len(lengths) != 1:
            shapes = ", ".join(f"{member.name} {member.shape}" for member in found)
            raise DataError(f"{path}: expected arrays of one length, it holds: {shapes or 'none'}")
        columns = [column for member in found for column in _columns(member)]
        check_names(path, [name for name, _, _ in columns])
        return cls(path, {name: (member, position) for name, member, position in columns})

    @property
    def names(self) -> tuple[str, ...]:
        """Its columns."""
        return tuple(self.members)

    @property
    def files(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    @property
    def positions(self) -> dict[str, int]:
        """Of the columns of matrices: which of them."""
        return {name: k for name, (_, k) in self.members.items() if k is not None}

    def n_rows(self) -> int:
        """Return the arrays' length."""
        return next(iter(self.members.values()))[0].shape[0]

    def largest(self, column: str) -> None:
        """Return None: only reading would tell."""

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield some columns, all arrays side by side."""
        wanted = [self.members[name] for name in columns]
        parts = {member.part(k): member for member, k in wanted}
        with reading(self.path), zipfile.ZipFile(self.path) as archive, ExitStack() as stack:
            opened = [
                _data(stack.enter_context(archive.open(f"{name}.npy")), member, k)
                for (name, k), member in parts.items()
            ]
            for rows in zip(*opened, strict=True):
                found = dict(zip(parts, rows, strict=True))
                arrays = [
                    _column(found[member.part(k)], None if member.by_column else k) for member, k in wanted
                ]
                yield pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _header(archive: zipfile.ZipFile, name: str, path: Path) -> _Member:
    with archive.open(name) as file:
        version = npy.read_magic(file)
        shape, fortran, dtype = _READERS.get(version, npy.read_array_header_2_0)(file)
    short = name.removesuffix(".npy")
    if dtype.kind not in _KINDS or (dtype.itemsize > 8 and dtype.kind in "iuf"):  # noqa: PLR2004 - no long double
        raise DataError(f"{path}: {short} holds {dtype}, expected numbers or text")
    if len(shape) not in (1, _MATRIX):
        raise DataError(f"{path}: {short} has shape {shape}, expected (n,) or (n, K)")
    return _Member(short, tuple(shape), dtype, bool(fortran) and len(shape) == _MATRIX)


def _columns(member: _Member) -> list[tuple[str, _Member, int | None]]:
    if len(member.shape) == 1:
        return [(member.name, member, None)]
    return [(f"{member.name}_{k}", member, k) for k in range(member.shape[1])]


def _data(file: IO[bytes], member: _Member, k: int | None) -> Iterator[NDArray[Any]]:
    """Yield the rows of an array, or of one of its columns, so many at a time."""
    version = npy.read_magic(file)
    _READERS.get(version, npy.read_array_header_2_0)(file)
    n, inner = member.shape[0], () if k is not None else member.shape[1:]
    if k is not None:
        file.seek(k * n * member.dtype.itemsize, 1)
    for start in range(0, n, ROWS):
        n_rows = min(ROWS, n - start)
        content = file.read(n_rows * prod(inner) * member.dtype.itemsize)
        yield np.frombuffer(content, member.dtype).reshape(n_rows, *inner)


def _column(rows: NDArray[Any], position: int | None) -> pa.Array:
    values = rows if position is None else rows[:, position]
    if values.dtype.kind == "S":
        return pa.array([value.decode("utf-8", "backslashreplace") for value in values.tolist()], pa.string())
    if values.dtype.kind == "U":
        return pa.array(values.tolist(), pa.string())
    return pa.array(np.ascontiguousarray(values, values.dtype.newbyteorder("=")))
