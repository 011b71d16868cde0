"""Samples from one NumPy archive: ``x``, ``y``, optional ``id``; every other array is an attribute."""

import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.datasets.source import Batch, Identity
from evalkit.digests import content_digest
from evalkit.errors import DataError, listed, os_reason
from evalkit.labels import class_indices, label_sets
from evalkit.ledger import check_attributes
from evalkit.sniff import HEAD_BYTES, foreign

_OWN = ("x", "y", "id")


@dataclass(frozen=True, slots=True)
class NpzSource:
    """Arrays in memory; a batch is a slice, never collated from samples.

    Attributes:
        x: Inputs, shape (n, ...).
        y: Class indices, int64, shape (n,), or label sets as booleans, shape (n, L).
        ids: Unique sample ids, or None where samples are known by position.
        attributes: Further columns by name, each of shape (n,).
        kind: The source that the arrays come from.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    ids: Sequence[str] | None
    attributes: Mapping[str, NDArray[Any]]
    kind: str = "npz"

    def __len__(self) -> int:
        return len(self.y)

    def batch(self, index: NDArray[np.int64]) -> Batch:
        """Return the samples at some positions; neighbours are sliced without a copy."""
        first, last = int(index[0]), int(index[-1])
        contiguous = last - first == len(index) - 1 and bool((np.diff(index) == 1).all())
        where = slice(first, last + 1) if contiguous else index
        return Batch(
            index,
            (torch.from_numpy(self.x[where]),),
            self.y[where],
            ids=None if self.ids is None else [self.ids[i] for i in index.tolist()],
            attributes={name: values[where] for name, values in self.attributes.items()},
        )

    def labels(self) -> NDArray[Any]:
        """Return all class indices."""
        return self.y

    def identity(self) -> Identity:
        """Return the digest of the arrays."""
        found = content_digest(self.y, self.ids, self.attributes, self.x)
        return Identity(found, self.stamp())

    def stamp(self) -> str:
        """Return a constant: what is in memory does not change."""
        return ""

    def facts(self) -> dict[str, Any]:
        """Return what the document says about the data."""
        return {
            "source": self.kind,
            "n_samples": len(self),
            "ids": "positional" if self.ids is None else "explicit",
            "input_shape": list(self.x.shape[1:]),
            "input_dtype": str(self.x.dtype),
            "attributes": sorted(self.attributes),
        }


def open_npz(path: Path, class_names: Sequence[str] = (), *, multilabel: bool = False) -> NpzSource:
    """Read and check an archive.

    Args:
        path: The file; pickled objects inside are refused.
        class_names: In output order; without them labels are indices.
        multilabel: Whether y holds label sets, shape (n, L).

    Raises:
        DataError: Arrays are missing, damaged, of other lengths or types; ids repeat.
    """
    arrays = _read_arrays(path)
    missing = [name for name in ("x", "y") if name not in arrays]
    if missing:
        raise DataError(f"{path}: expected arrays x and y, it holds: {listed(sorted(arrays)) or 'none'}")
    x, n_samples = _inputs(path, arrays["x"]), len(np.atleast_1d(arrays["y"]))
    if x.ndim == 0 or len(x) != n_samples:
        raise DataError(f"{path}: x has shape {x.shape}, but y has {n_samples} rows")
    if n_samples == 0:
        raise DataError(f"{path}: holds no samples")
    return NpzSource(
        x=x,
        y=(label_sets if multilabel else class_indices)(arrays["y"], class_names, where=str(path)),
        ids=_ids(path, arrays["id"], n_samples) if "id" in arrays else None,
        attributes=_attributes(path, arrays, n_samples),
    )


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # before opening: a FIFO would wait for a writer
            return _arrays_of(None, path, ("is not a file", None))
        with path.open("rb") as file:
            known = foreign(file.read(HEAD_BYTES))
            file.seek(0)
            archive = None if known else np.load(file, allow_pickle=False)
            return _arrays_of(archive, path, known)
    except DataError:
        raise
    except Exception as error:
        # A damaged archive can provoke any exception of zipfile, zlib, numpy or the parser of headers.
        pickled = "allow_pickle" in str(error)
        reason = (
            "holds Python objects, which are not read" if pickled else f"cannot be read: {os_reason(error)}"
        )
        raise DataError(f"{path}: {reason.splitlines()[0]}") from error


def _arrays_of(archive: Any, path: Path, known: tuple[str, str | None] | None) -> dict[str, NDArray[Any]]:
    if known is not None:
        raise DataError(f"{path}: {known[0]}, not an npz archive", hint=known[1])
    if isinstance(archive, np.ndarray):
        raise DataError(f"{path}: a single array (npy); expected an npz archive with x and y")
    repeated = [name for name, count in Counter(archive.zip.namelist()).items() if count > 1]
    if repeated:
        raise DataError(f"{path}: {listed(repeated)} stands twice in the archive")
    arrays = {name: archive[name] for name in archive.files}
    others = [name for name, value in arrays.items() if not isinstance(value, np.ndarray)]
    if others:
        raise DataError(f"{path}: {listed(others)} is no array")
    return arrays


def _inputs(path: Path, x: NDArray[Any]) -> NDArray[Any]:
    if x.dtype.kind not in "fiub" or x.dtype.itemsize > 8:  # noqa: PLR2004 - no long double in torch
        raise DataError(f"{path}: x has type {x.dtype}, which no tensor has")
    native = x.dtype.newbyteorder("=")
    return np.ascontiguousarray(x, dtype=native)


def unique_ids(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Return sample ids; DataError with the rows where one stands twice."""
    rows: dict[str, int] = {}
    repeated = [
        f"rows {rows[name]} and {row}: {name!r}"
        for row, name in enumerate(names)
        if rows.setdefault(name, row) != row
    ]
    if repeated:
        raise DataError(f"{path}: ids must be unique, {len(repeated)} repeated ({listed(repeated, limit=3)})")
    return tuple(names)


def _ids(path: Path, ids: NDArray[Any], n_samples: int) -> tuple[str, ...]:
    if ids.shape != (n_samples,) or ids.dtype.kind not in "iuUS":
        raise DataError(
            f"{path}: id must be text or integers of shape ({n_samples},), got {ids.dtype} {ids.shape}"
        )
    names = [_text(name) for name in ids.tolist()]
    return unique_ids(path, names)


def _attributes(path: Path, arrays: dict[str, NDArray[Any]], n_samples: int) -> dict[str, NDArray[Any]]:
    found = {name: values for name, values in arrays.items() if name not in _OWN}
    check_attributes(found, where=str(path))
    for name, values in found.items():
        if values.shape != (n_samples,):
            raise DataError(
                f"{path}: the attribute {name!r} has shape {values.shape}, expected ({n_samples},)"
            )
    return {name: _column(path, name, values) for name, values in found.items()}


def _column(path: Path, name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return an attribute as a column that a table can hold: text, numbers, or times to the microsecond."""
    if values.dtype.kind in "US":
        return np.array([_text(value) for value in values.tolist()])
    if values.dtype.kind == "M" and np.datetime_data(values.dtype)[0] != "generic":
        return values.astype("datetime64[us]")
    if values.dtype.kind in "fiub" and values.dtype.itemsize <= 8:  # noqa: PLR2004 - no long double
        return values.astype(values.dtype.newbyteorder("="))
    raise DataError(f"{path}: the attribute {name!r} has type {values.dtype}, which no table has")


def _text(value: Any) -> str:
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    return text.encode("utf-8", "backslashreplace").decode()  # lone surrogates have no place in a table
