"""The files that a command writes for CI: fit to be written before anything runs, or refused."""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.cli.kinds import is_of_kind
from evalkit.cli.models import INDEX
from evalkit.errors import EvalkitError, OutputError, SpecificationError, os_reason
from evalkit.rundir import BLESSING, DOCUMENTS, PARTS, is_run, publish_file

_DOCUMENTS = {*DOCUMENTS, BLESSING, INDEX, PARTS}


def refusals(files: Mapping[str, Path], words: Mapping[str, Any]) -> dict[str, EvalkitError]:
    """Return why files cannot be written, of those that cannot.

    Args:
        files: Kind (junit, openmetrics or markdown) to path.
        words: What else the command was given, by parameter.
    """
    found: dict[str, EvalkitError] = {}
    for kind, path in files.items():
        try:
            others = {other: taken for other, taken in files.items() if other != kind}
            _check(kind, path, others=others, words=words)
        except EvalkitError as error:
            found[kind] = error
        except OSError as error:
            found[kind] = OutputError(f"{path}: cannot be written: {os_reason(error)}")
    return found


def write_target(path: Path, content: bytes) -> None:
    """Replace a file as a whole; what is our own stdout or stderr, a device or a pipe is written to.

    Raises:
        OutputError: It cannot be written.
    """
    stream = _own_stream(path)
    if stream is None:
        publish_file(path, content)
        return
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
        with os.fdopen(os.dup(stream), "wb") as file:
            file.write(content)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {os_reason(error)}") from error


def _check(kind: str, path: Path, *, others: Mapping[str, Path], words: Mapping[str, Any]) -> None:
    if (path.exists() and not path.is_file() and not path.is_dir()) or _own_stream(path) is not None:
        return
    whole = path.resolve()
    for other, taken in others.items():
        if taken.resolve() == whole:
            hint = "Each needs a file of its own"
            raise SpecificationError(f"--{kind} {path}: is what --{other} names, too", hint=hint)
    if whole.is_dir():
        raise OutputError(f"--{kind} {path}: is a folder", hint="Name a file")
    if _is_the_commands(whole, words):
        message = f"--{kind} {path}: is what the command itself reads or writes"
        raise OutputError(message, hint="Name another file")
    if not (whole.parent.is_dir() or _output(words).is_relative_to(whole.parent)):
        raise OutputError(f"--{kind} {path}: there is no folder {path.parent}", hint="Make it first")
    if whole.exists() and whole.stat().st_size and not is_of_kind(kind, whole):
        hint = "Remove it, or name another file"
        raise OutputError(f"--{kind} {path}: holds something else than --{kind} writes", hint=hint)


def _own_stream(path: Path) -> int | None:
    """Return the number of stdout or stderr, where a path is that: to rename over it would lose it."""
    try:
        found = path.stat()
        return next((number for number in (1, 2) if os.path.samestat(found, os.fstat(number))), None)
    except OSError:
        return None


def _is_the_commands(whole: Path, words: Mapping[str, Any]) -> bool:
    if whole in {named.resolve() for named in _paths(words)}:
        return True
    output = _output(words)
    written = output in (whole.parent, whole.parent.parent)
    return whole.name in _DOCUMENTS and (written or is_run(whole.parent))


def _output(words: Mapping[str, Any]) -> Path:
    """Return the output folder; of a command without one, what no file lies in."""
    output = words.get("output")
    return output.resolve() if isinstance(output, Path) else Path()


def _paths(words: Mapping[str, Any]) -> Iterator[Path]:
    for value in words.values():
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, Path):
                yield one
