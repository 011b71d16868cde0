"""Reads a checkpoint as data, once, from one descriptor: recognised, hashed, checked, never executed."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import torch

from evalkit.checkpoints.containers import recognise
from evalkit.checkpoints.data import Contents, Integrity, TensorData
from evalkit.checkpoints.shards import MAX_INDEX_BYTES, digest_of, is_index, join, weight_map
from evalkit.checkpoints.tensors import tensor_of
from evalkit.display import MAX_TEXT, visible
from evalkit.errors import CheckpointError, os_reason
from evalkit.sniff import HEAD_BYTES

MAX_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file that was read, or an index and the files that it names.

    Attributes:
        path: Where it was.
        n_bytes: Its size.
        contents: Its tree and storages.
        digest: The SHA-256, computed on another core while the model is built.
        data: Its bytes; empty for several files.
    """

    path: Path
    n_bytes: int
    contents: Contents
    digest: Future[str]
    data: bytes = field(default=b"", repr=False)

    @property
    def sha256(self) -> str:
        """Of all its bytes; of several files :func:`evalkit.checkpoints.shards.digest_of`."""
        return self.digest.result()

    @property
    def integrity(self) -> Integrity:
        """Whether the container's own checksums were verified."""
        return self.contents.integrity

    def tensor(self, data: TensorData, *, name: str) -> torch.Tensor:
        """Return one tensor of the file; it shares the file's memory and must not be written to.

        Raises:
            CheckpointError: It reaches outside its storage, is an expanded view, or of a type not read.
        """
        with located(self.path, name):
            return tensor_of(data, self.contents.storage(data.storage), byteorder=self.contents.byteorder)


@dataclass(frozen=True, slots=True)
class _File:
    """One file's bytes, their digest, and what they hold; of an index nothing but the text."""

    data: bytes
    digest: Future[str]
    contents: Contents | None


def read_checkpoint(path: Path, *, sha256: str | None = None) -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: ``.pt`` or ``.pth`` (zip or legacy), ``.safetensors``, or the ``.index.json`` of several such
            files; recognised by content, not by name.
        sha256: Refuse the file unless its digest is this one.

    Raises:
        CheckpointError: For everything that can be wrong with a file.
    """
    file = _read(path, MAX_BYTES)
    if file.contents is None:
        checkpoint = _read_shards(path, file)
    else:
        checkpoint = Checkpoint(path, len(file.data), file.contents, file.digest, file.data)
    if sha256 is not None and checkpoint.sha256 != sha256.lower():
        raise CheckpointError(
            f"{path}: sha256 is {checkpoint.sha256}, the specification pins {sha256.lower()}"
        )
    return checkpoint


def _read_shards(path: Path, index: _File) -> Checkpoint:
    with located(path):
        files = weight_map(index.data)
    shards: dict[str, Contents] = {}
    digests, size = {path.name: index.digest}, len(index.data)
    for name in sorted(set(files.values())):
        shard = _read(path.with_name(name), MAX_BYTES - size)
        if shard.contents is None:
            raise CheckpointError(f"{path}: names the index {name} as a file of weights")
        shards[name], digests[name] = shard.contents, shard.digest
        size += len(shard.data)
    with located(path):
        joined = join(files, shards)
    digest = _aside(lambda: digest_of({name: one.result() for name, one in digests.items()}))
    return Checkpoint(path, size, joined, digest)


def _read(path: Path, limit: int) -> _File:
    with located(path), _open(path) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(HEAD_BYTES)
        if is_index(head, path.name):
            data = head + file.read(MAX_INDEX_BYTES)
            return _File(data, _digest(data), None)
        opener = recognise(head, size)
        if size > limit:
            raise CheckpointError(f"larger than {MAX_BYTES >> 30} GiB")
        file.seek(0)
        data = file.read(size)
        return _File(data, _digest(data), opener(data))


def _digest(data: bytes) -> Future[str]:
    return _aside(lambda: hashlib.sha256(data).hexdigest())


def _aside(compute: Callable[[], str]) -> Future[str]:
    """Compute in a thread of its own: hashing takes longer than reading, and waits for nobody."""
    pool = ThreadPoolExecutor(1)
    found = pool.submit(compute)
    pool.shutdown(wait=False)
    return found


def _open(path: Path) -> BinaryIO:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # before opening: a FIFO would wait for a writer
            raise CheckpointError("is not a file", hint=_indices(path))
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot be read: {os_reason(error)}") from error


def _indices(path: Path) -> str | None:
    found = sorted(path.glob("*.index.json")) if path.is_dir() else []
    return f"Name the index: {found[0]}" if found else None


@contextmanager
def located(path: Path, name: str = "the file") -> Iterator[None]:
    """Name the file, and a tensor of it, in every refusal; whatever else goes wrong inside is one, too."""
    where = str(path) if name == "the file" else f"{path}: {name}"
    try:
        yield
    except CheckpointError as error:
        # The words may hold names that the file chose.
        raise CheckpointError(
            f"{where}: {visible(error.message, limit=MAX_TEXT)}", hint=error.hint
        ) from error
    except OSError as error:
        raise CheckpointError(f"{where}: cannot be read: {os_reason(error)}") from error
    except Exception as error:
        # A damaged pickle can provoke any exception of the standard library.
        raise CheckpointError(f"{path}: {name} is damaged ({type(error).__name__})") from error
