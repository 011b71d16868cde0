"""A run directory: found fit to be written, held by one process, and left as it was by what fails."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from evalkit import files
from evalkit.errors import OutputError, listed, os_reason
from evalkit.rundir.lock import LOCK, locked
from evalkit.rundir.names import BLESSING, is_run, temporaries
from evalkit.rundir.publishing import BEFORE, publish, restore


class RunDirectory:
    """An output folder that was found fit to be written.

    Attributes:
        path: The folder; it exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def temporary(self, name: str) -> Path:
        """Return a new name beside the document that it will become."""
        return files.temporary(self.path / name)

    def publish(self, documents: Mapping[str, bytes | Path], *, keep: tuple[str, ...] = ()) -> None:
        """Replace the run's documents by a complete new set; see ``publishing``."""
        publish(self.path, documents, keep=keep)


@contextmanager
def open_run_directory(path: Path, *, blessed: bool = False) -> Iterator[RunDirectory]:
    """Check, create and hold an output folder; remove what is left of an attempt that fails.

    Args:
        path: Absent, empty, or an evalkit run that is not blessed; anything else is an OutputError.
        blessed: A blessed baseline may be replaced, by another one.

    Raises:
        OutputError: The folder is no run's, cannot be written, or another process is writing there.
    """
    made: list[Path] = []
    try:
        try:
            made = _missing_parents(path)
            check_replaceable(path, blessed=blessed)
            path.mkdir(parents=True, exist_ok=True)
            _probe(path)
        except OSError as error:
            raise _output_error(path, error) from error
        with locked(path):
            try:
                restore(path)
            except OSError as error:
                raise _output_error(path, error) from error
            _sweep(path)
            try:
                yield RunDirectory(path)
            finally:
                _sweep(path)
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def recover(path: Path) -> None:
    """Put back the last complete set of documents, where a process was killed while it wrote new ones.

    A folder that another process is writing to, or that cannot be written, is left as it is.
    """
    with suppress(OSError, OutputError):
        if (path / BEFORE).exists():
            with locked(path):
                restore(path)


def is_blessed(path: Path) -> bool:
    """Return whether a run is a baseline that only ``bless`` may replace."""
    return (path / BLESSING).exists()


def publish_file(path: Path, content: bytes) -> None:
    """Replace one file as a whole or not at all; a link is followed, a device or pipe is written to."""
    try:
        if path.exists() and not path.is_file():  # before it is resolved: a pipe's real name is none
            path.write_bytes(content)
            return
        files.replace_file(path.resolve(), content)
    except OSError as error:
        raise _output_error(path, error) from error


def check_replaceable(path: Path, *, blessed: bool = False) -> None:
    """Raise OutputError unless a folder is absent, empty, or a run; nothing is written."""
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_dir():
        raise OutputError(f"{path}: is not a folder")
    if is_blessed(path) and not blessed:
        raise OutputError(f"{path}: is a blessed baseline", hint="Only evalkit bless replaces it")
    entries = list(path.iterdir())
    if entries and not temporaries(path) and not is_run(path):
        runs = sorted(entry.name for entry in entries if entry.is_dir() and is_run(entry))
        if runs:
            hint = f"One run is the folder itself: say -o {path / 'NAME'}, remove this one, or name another"
            raise OutputError(f"{path}: holds runs of several models ({listed(runs, limit=3)})", hint=hint)
        raise OutputError(
            f"{path}: holds files that are not evalkit's ({entries[0].name})",
            hint="Name a new or empty folder",
        )


def _probe(path: Path) -> None:
    probe = files.temporary(path / "probe")
    probe.touch()
    probe.unlink()


def _sweep(path: Path) -> None:
    """Remove what was being written; nobody else writes here."""
    for leftover in temporaries(path):
        if leftover.name in (LOCK, BEFORE):
            continue
        with suppress(OSError):
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()


def _missing_parents(path: Path) -> list[Path]:
    """Return the folders that creating the path would make, innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def _output_error(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path}: cannot be written: {os_reason(error)}")
