"""Writing to disk: every write, flush and rename of a run's documents goes through these three.

So that a test can make the k-th of them fail.
"""

import io
import os
import secrets
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".evalkit-"


def write(file: BinaryIO, content: bytes | memoryview) -> int:
    """Write bytes; returns how many."""
    return file.write(content)


def flush(file: BinaryIO) -> None:
    """Hand everything to the operating system, and have it on disk."""
    file.flush()
    os.fsync(file.fileno())


def rename(source: Path, target: Path) -> None:
    """Replace a file as a whole, or not at all."""
    source.replace(target)


def temporary(target: Path) -> Path:
    """Return a new name beside the file that it will become."""
    return target.with_name(f"{TEMPORARY}{secrets.token_hex(8)}-{target.name}")


def write_new(path: Path, content: bytes | memoryview) -> None:
    """Write a file that does not exist yet, until it is on disk."""
    with path.open("xb") as file:
        write(file, content)
        flush(file)


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file through a temporary one: it holds the old content or the new, never a half."""
    staged = temporary(path)
    try:
        write_new(staged, content)
        rename(staged, path)
    finally:
        staged.unlink(missing_ok=True)


class Sink(io.RawIOBase):
    """A file for writers that bring their own format, such as arrow's."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, content: object) -> int:
        """Write bytes; returns how many."""
        if self._file.closed:  # a writer that failed tries to write its end whenever it is collected
            raise ValueError("the file is closed")
        return write(self._file, memoryview(content).cast("B"))  # type: ignore[arg-type]

    def tell(self) -> int:
        """Return how many bytes are written."""
        return self._file.tell()


def sync_folder(path: Path) -> None:
    """Have the names of a folder's files on disk, too."""
    if os.name == "nt":  # a folder cannot be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
