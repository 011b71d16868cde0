"""Reads a checkpoint file as data, once, from one descriptor: hashed, recognised, checked, never executed."""

import hashlib
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from evalkit.checkpoints.containers import open_container
from evalkit.checkpoints.data import Contents, Integrity, TensorData, itemsize
from evalkit.errors import CheckpointError, os_reason

MAX_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file that was read.

    Attributes:
        path: Where it was.
        sha256: Of all its bytes.
        n_bytes: Its size.
        contents: Its tree and storages.
    """

    path: Path
    sha256: str
    n_bytes: int
    contents: Contents

    @property
    def integrity(self) -> Integrity:
        """Whether the container's own checksums were verified."""
        return self.contents.integrity

    def tensor(self, data: TensorData, *, name: str) -> torch.Tensor:
        """Return one tensor of the file; it shares the file's memory and must not be written to.

        Raises:
            CheckpointError: It reaches outside its storage, or is an expanded view.
        """
        try:
            return _strided(data, self.contents.storage(data.storage))
        except CheckpointError as error:
            raise CheckpointError(f"{self.path}: {name}: {error.message}", hint=error.hint) from error


def read_checkpoint(path: Path, *, sha256: str | None = None) -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: ``.pt`` or ``.pth`` (zip or legacy) or ``.safetensors``; recognised by content, not by name.
        sha256: Refuse the file unless its digest is this one.

    Raises:
        CheckpointError: For everything that can be wrong with a file.
    """
    data = _read_bytes(path)
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise CheckpointError(f"{path}: sha256 is {digest}, the specification pins {sha256.lower()}")
    try:
        contents = open_container(data)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error.message}", hint=error.hint) from error
    except Exception as error:
        # A damaged pickle can provoke any exception of the standard library.
        raise CheckpointError(f"{path}: the file is damaged ({type(error).__name__})") from error
    return Checkpoint(path, digest, len(data), contents)


def _read_bytes(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # before opening: a FIFO would wait for a writer
            raise CheckpointError(f"{path}: is not a file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read: {os_reason(error)}") from error
    if len(data) > MAX_BYTES:
        raise CheckpointError(f"{path}: larger than {MAX_BYTES >> 30} GiB")
    return data


def _strided(data: TensorData, raw: memoryview) -> torch.Tensor:
    size, dtype = itemsize(data.dtype), getattr(torch, data.dtype)
    if data.dtype.startswith(("qint", "quint")):
        raise CheckpointError("is quantized, which is not read")
    available = len(raw) // size
    if data.storage.numel * itemsize(data.storage.dtype) > len(raw):
        raise CheckpointError("its storage is shorter than the file says")
    numel, last = 1, data.offset
    for extent, stride in zip(data.shape, data.stride, strict=True):
        numel *= extent
        last += (extent - 1) * stride
    if numel == 0:
        return torch.empty(data.shape, dtype=dtype)
    if numel > available or last >= available:
        raise CheckpointError("reaches outside its storage")
    flat = _flat(raw[: available * size], dtype)
    return flat.as_strided(data.shape, data.stride, data.offset)


def _flat(raw: memoryview, dtype: torch.dtype) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        return torch.frombuffer(raw, dtype=dtype)
