"""A run directory: which files are evalkit's, and how a whole set of them is replaced without a half.

New documents are written to temporary names in the same folder, flushed, synced and renamed; the page last,
so that an interrupted command leaves the last good report.
"""

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from evalkit.errors import OutputError, os_reason

# In the order of their renames.
LEDGER = "predictions.parquet"
# Of a baseline that was measured together with the run.
BASELINE_LEDGER = "baseline-predictions.parquet"
BASELINE_RESULT = "baseline-result.json"
DOCUMENTS = (
    BASELINE_LEDGER,
    BASELINE_RESULT,
    LEDGER,
    "scores.npz",
    "gallery.parquet",
    "result.json",
    "verdict.json",
    "report.html",
)
BLESSING = "bless.json"
_TEMPORARY = ".evalkit-"


class RunDirectory:
    """An output folder that was found fit to be written.

    Attributes:
        path: The folder; it exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def temporary(self, name: str) -> Path:
        """Return a new name beside the document that it will become."""
        return self.path / f"{_TEMPORARY}{secrets.token_hex(8)}-{name}"

    def publish(self, documents: Mapping[str, bytes | Path], *, keep: tuple[str, ...] = ()) -> None:
        """Replace the run's documents by a complete new set.

        Args:
            documents: Name to content, or to a temporary file that is already written.
            keep: Documents to leave as they are; all others that are not in the set are removed.
        """
        try:
            ready = {name: self._ready(name, content) for name, content in documents.items()}
            for name in (*DOCUMENTS, BLESSING):
                if name in ready:
                    ready[name].replace(self.path / name)
                elif name not in keep:
                    (self.path / name).unlink(missing_ok=True)
            _sync_folder(self.path)
        except OSError as error:
            raise _output_error(self.path, error) from error

    def _ready(self, name: str, content: bytes | Path) -> Path:
        if isinstance(content, Path):
            with content.open("rb+") as file:
                os.fsync(file.fileno())
            return content
        temporary = self.temporary(name)
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return temporary


@contextmanager
def open_run_directory(path: Path, *, blessed: bool = False) -> Iterator[RunDirectory]:
    """Check and create an output folder; remove what is left of an attempt that fails.

    Args:
        path: Absent, empty, or an evalkit run that is not blessed; anything else is an OutputError.
        blessed: A blessed baseline may be replaced, by another one.
    """
    try:
        made = _missing_parents(path)
        _check_replaceable(path, blessed=blessed)
        path.mkdir(parents=True, exist_ok=True)
        probe = RunDirectory(path).temporary("probe")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _output_error(path, error) from error
    before = set(_temporaries(path))
    try:
        yield RunDirectory(path)
    finally:
        for leftover in set(_temporaries(path)) - before:
            with suppress(OSError):
                leftover.unlink()
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def is_blessed(path: Path) -> bool:
    """Return whether a run is a baseline that only ``bless`` may replace."""
    return (path / BLESSING).exists()


def publish_file(path: Path, content: bytes) -> None:
    """Replace one file as a whole or not at all; a link is followed, a device or pipe is written to."""
    temporary = None
    try:
        path = path.resolve()
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        temporary = path.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}-{path.name}")
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
        raise _output_error(path, error) from error


def _check_replaceable(path: Path, *, blessed: bool) -> None:
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_dir():
        raise OutputError(f"{path}: is not a folder")
    if is_blessed(path) and not blessed:
        raise OutputError(f"{path}: is a blessed baseline", hint="Only evalkit bless replaces it")
    entries = list(path.iterdir())
    ours = any(entry.name.startswith(_TEMPORARY) for entry in entries) or _is_run(path)
    if entries and not ours:
        raise OutputError(
            f"{path}: holds files that are not evalkit's ({entries[0].name})",
            hint="Name a new or empty folder",
        )


def _is_run(path: Path) -> bool:
    try:
        document = json.loads((path / "result.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    schema = document.get("schema") if isinstance(document, dict) else None
    return isinstance(schema, str) and schema.startswith("evalkit.result/")


def _temporaries(path: Path) -> list[Path]:
    return [entry for entry in path.iterdir() if entry.name.startswith(_TEMPORARY)]


def _missing_parents(path: Path) -> list[Path]:
    """Return the folders that creating the path would make, innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def _sync_folder(path: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _output_error(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path}: cannot be written: {os_reason(error)}")
