"""A run that is being made in a folder: run.json says so, and ``parts/`` holds what is done of it."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from evalkit import files
from evalkit.errors import ChangedError, EvalkitError, OutputError, os_reason
from evalkit.parts import PartFile, list_parts
from evalkit.rundir import PARTS, RUN
from evalkit.runfile import RunFile


@dataclass(slots=True)
class Attempt:
    """What is there of a run.

    Attributes:
        folder: Where parts are.
        done: Parts by stream that hold the same batches in each.
        n_damaged: Parts that were torn or damaged, and are made again.
        keep: Whether parts stay although the command ends in an orderly way.
        now: What run.json says.
    """

    folder: Path
    now: RunFile
    done: Mapping[str, Sequence[PartFile]] = field(default_factory=dict)
    n_damaged: int = 0
    keep: bool = False

    @property
    def n_parts(self) -> int:
        """How many part files there are now."""
        return len(list(self.folder.glob("*.arrow"))) if self.folder.is_dir() else 0

    def note(self, now: RunFile) -> None:
        """Say in run.json what the run is made of by now; OutputError where that cannot be written."""
        if now == self.now:
            return
        try:
            files.replace_file(self.folder.parent / RUN, now.to_json())
        except OSError as error:
            raise OutputError(f"{self.folder.parent}: cannot be written: {os_reason(error)}") from error
        self.now = now


@contextmanager
def attempt(path: Path, now: RunFile, *, streams: Sequence[str], resume: bool) -> Iterator[Attempt]:
    """Begin a run in a folder, or go on with the one that is there.

    What stops it leaves its parts, so that it can be continued. Where an input is refused, and before there
    are parts, the folder is as it was before.

    Args:
        path: The folder, held by this process.
        now: What the run is made of.
        streams: Whose passes it has.
        resume: Go on with the parts that are there; they must have been made of the same things.

    Raises:
        OutputError: The folder cannot be written.
        DocumentError: The run.json to go on with is damaged.
        ChangedError: Something changed since it was written.
    """
    folder, document = path / PARTS, path / RUN
    _check_own(folder)
    if resume:
        _check_same(RunFile.read_from(path), now, path)
    before = document.read_bytes() if document.exists() else None
    try:
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)
        files.replace_file(document, now.to_json())
    except OSError as error:
        _undo(folder, document, before)
        raise OutputError(f"{path}: cannot be written: {os_reason(error)}") from error
    made = _standing(folder, streams, now) if resume else Attempt(folder, now)
    try:
        yield made
    except BaseException as error:
        if not made.n_parts or not (resume or made.keep or _leaves_parts(error, made.n_parts, len(streams))):
            _undo(folder, document, before)
        raise
    if not made.keep:
        shutil.rmtree(folder, ignore_errors=True)


def _check_own(folder: Path) -> None:
    """Raise OutputError where the folder for parts is a link or a file: what is in it is not ours."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise OutputError(f"{folder}: is no folder of evalkit's", hint="Remove it, or name another folder")


def _leaves_parts(error: BaseException, n_parts: int, n_streams: int) -> bool:
    """Return whether what was done is worth going on with: not where an input was refused.

    A disk that is full keeps parts of a run that was long enough to have several.
    """
    if isinstance(error, OutputError):
        return n_parts > n_streams
    return not isinstance(error, EvalkitError)


def _check_same(then: RunFile, now: RunFile, path: Path) -> None:
    changed = then.resumed_by(now)
    if changed:
        raise ChangedError(
            f"{path}: the unfinished run there was begun with other {', '.join(changed)}",
            hint="Without --resume it is begun anew",
        )


def _standing(folder: Path, streams: Sequence[str], now: RunFile) -> Attempt:
    """Find the parts that are whole, and hold the same batches in every stream; remove all others."""
    found: dict[str, dict[tuple[int, int], PartFile]] = {}
    n_damaged, n_batches = 0, -(-now.n_samples // now.batch_size)
    for stream in streams:
        whole = {}
        for part in list_parts(folder, stream):
            if not 0 <= part.first < part.stop <= n_batches or part.content() is None:
                n_damaged += 1
            else:
                whole[part.first, part.stop] = part
        found[stream] = whole
    shared = set.intersection(*(set(whole) for whole in found.values()))
    done = {stream: [whole[key] for key in sorted(shared)] for stream, whole in found.items()}
    kept = {part.path for parts in done.values() for part in parts}
    for path in folder.iterdir():
        if path not in kept and path.is_file():
            with suppress(OSError):
                path.unlink()
    return Attempt(folder, now, done, n_damaged)


def _undo(folder: Path, document: Path, before: bytes | None) -> None:
    """Leave no trace; a disk that is full may keep us from that, but has the room for what was there."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        if before is None:
            document.unlink(missing_ok=True)
        else:
            files.replace_file(document, before)
