"""One writer a folder: a second command that would write there is refused, not mixed in."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from evalkit.errors import OutputError, os_reason
from evalkit.files import TEMPORARY

if os.name != "nt":  # Windows has no such locks: there, nobody is refused
    import fcntl

LOCK = f"{TEMPORARY}lock"
_HELD = (errno.EAGAIN, errno.EACCES)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a folder for this process; the system lets go of it when the process ends, however it ends.

    Args:
        path: The folder; on file systems without locks nothing is held.

    Raises:
        OutputError: Another process holds it.
    """
    descriptor = _acquired(path / LOCK)
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                (path / LOCK).unlink()
            os.close(descriptor)


def _acquired(file: Path) -> int | None:
    """Lock a file that is still the one of this name; the one before may go while we open it."""
    while os.name != "nt":
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise OutputError(f"{file.parent}: cannot be written: {os_reason(error)}") from error
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno not in _HELD:
                return None
            raise OutputError(
                f"{file.parent}: another evalkit command is writing there",
                hint="Wait for it, or name another folder",
            ) from error
        if _same(descriptor, file):
            return descriptor
        os.close(descriptor)
    return None


def _same(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False
