"""Replaces a whole set of documents: all of the new ones, or all of the old.

New documents are written under temporary names, flushed and synced. The old ones are kept under a second name
until every new one has its own; the rename that drops them is the moment at which the new set holds. Whoever
finds them still there, because a process was killed or a disk was full, puts them back.
"""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from evalkit import files
from evalkit.errors import OutputError, os_reason
from evalkit.files import TEMPORARY
from evalkit.rundir.names import BLESSING, DOCUMENTS

_ALL = (*DOCUMENTS, BLESSING)
BEFORE = f"{TEMPORARY}before"


def publish(path: Path, documents: Mapping[str, bytes | Path], *, keep: tuple[str, ...] = ()) -> None:
    """Replace a run's documents by a complete new set.

    Args:
        path: The folder.
        documents: Name to content, or to a temporary file that is already written.
        keep: Documents to leave as they are; all others that are not in the set are removed.

    Raises:
        OutputError: One of them cannot be written; the old set is as it was.
    """
    try:
        ready = {name: _ready(path / name, content) for name, content in documents.items()}
        _keep(path)
        for name in _ALL:
            if name in ready:
                files.rename(ready[name], path / name)
            elif name not in keep:
                (path / name).unlink(missing_ok=True)
        files.sync_folder(path)
        gone = files.temporary(path / "gone")
        files.rename(path / BEFORE, gone)
        files.sync_folder(path)
        shutil.rmtree(gone, ignore_errors=True)
    except BaseException as error:
        with suppress(OSError):  # what cannot be put back now is put back by whoever opens the folder next
            restore(path)
        if isinstance(error, OSError):
            raise OutputError(f"{path}: cannot be written: {os_reason(error)}") from error
        raise


def restore(path: Path) -> None:
    """Put the old set back where a new one was not completed; nothing happens where there is none."""
    before = path / BEFORE
    if not before.is_dir():
        return
    for name in _ALL:
        if (before / name).exists():
            (before / name).replace(path / name)
        else:
            (path / name).unlink(missing_ok=True)
    shutil.rmtree(before, ignore_errors=True)


def _ready(target: Path, content: bytes | Path) -> Path:
    if isinstance(content, Path):
        with content.open("rb+") as file:
            files.flush(file)
        return content
    staged = files.temporary(target)
    files.write_new(staged, content)
    return staged


def _keep(path: Path) -> None:
    """Give every old document a second name, in a folder that only has its own once it is complete."""
    staged = files.temporary(path / "before")
    staged.mkdir()
    for name in _ALL:
        if (path / name).exists():
            _link(path / name, staged / name)
    files.rename(staged, path / BEFORE)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        with suppress(FileNotFoundError):
            target.unlink()
        files.write_new(target, source.read_bytes())
