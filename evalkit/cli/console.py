"""What people and programs see: data on stdout, progress on stderr."""

import json
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from evalkit.display import MAX_TEXT, visible
from evalkit.errors import OutputError, SpecificationError, os_reason

PLAIN_EVERY = 10.0
Spent = Mapping[str, float]
NOTHING: Spent = {}
# What a CI runner takes for a command: GitHub `::` at the start of a line, however far it is indented;
# GitHub, Azure and TeamCity `##[`, `##vso[` and the like, anywhere in it.
_COMMAND = re.compile(r"(?:^|(?<=[\r\n]))([^\S\r\n]*):(?=:)|#(?=#\w*\[)")

# What tells of a runner that takes lines for commands: GitHub's, Azure's, TeamCity's.
_RUNNERS = ("GITHUB_ACTIONS", "TF_BUILD", "TEAMCITY_VERSION")


class Shown(Protocol):
    """Shows how far something is."""

    def __call__(self, done: int, total: int, spent: Spent = NOTHING, /) -> None:
        """Show samples done, samples in all, and seconds by what they were spent on."""


def harmless(text: str) -> str:
    r"""Return text of which no line is a command to a CI runner.

    >>> print(harmless("  ::add-mask::cat is ##[error]"))
      \x3a:add-mask::cat is \x23#[error]
    """
    return _COMMAND.sub(lambda found: "\\x23" if found[0] == "#" else f"{found[1]}\\x3a", text)


def emit(text: str) -> None:
    """Write data to stdout, where no name may become a command to a CI runner."""
    _write(harmless(text))


def emit_data(text: str) -> None:
    """Write what another program reads to stdout: as it is, unless a CI runner reads it."""
    _write(harmless(text) if _runner_reads() else text)


def _runner_reads() -> bool:
    """Return whether stdout may be a CI job's log; a file never is."""
    if not any(os.environ.get(name) for name in _RUNNERS):
        return False
    try:
        return not stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):  # there is no stdout, or it is no file of the system's
        return True


def emit_commands(lines: Sequence[str]) -> None:
    """Write commands to a CI runner to stdout, as they are."""
    _write("".join(f"{line}\n" for line in lines))


def tell_commands(lines: Sequence[str]) -> None:
    """Write the same to stderr: a runner reads both."""
    for line in lines:
        _tell(line)


def _write(text: str) -> None:
    """Write to stdout.

    A reader that went away, or a stdout that was closed from the start, does not change the exit code; a full
    disk is an OutputError.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
        sys.stdout.flush()
    except BrokenPipeError:
        abandon_stdout()
    except OSError as error:
        abandon_stdout()
        raise OutputError(f"stdout cannot be written: {os_reason(error)}") from error


def abandon_stdout() -> None:
    """Send the rest nowhere: the interpreter would try, and complain, again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def emit_json(document: dict[str, Any]) -> None:
    """Write one JSON document to stdout."""
    text = json.dumps(document, allow_nan=False, indent=2)
    # Inside of JSON's strings its own escape says the same.
    emit(re.sub(r"#(?=#\w*\[)", r"\\u0023", text) + "\n")


def tell(text: str) -> None:
    """Write a line for people to stderr; where nobody can read it, nothing is lost but the line."""
    _tell(harmless(text))


def complain(kind: str, text: str) -> None:
    """Say on stderr, in one line, what went wrong: ``evalkit: error[slug]: what, where, what to do``."""
    line = " ".join(text.split())
    tell(f"evalkit: {kind}: {visible(line, limit=MAX_TEXT)}")


def _tell(text: str) -> None:
    with suppress(OSError, AttributeError, ValueError):
        sys.stderr.write(text.encode("utf-8", "backslashreplace").decode() + "\n")
        sys.stderr.flush()


def check_current_folder() -> None:
    """Raise SpecificationError where the current folder was removed: torch would end the process."""
    try:
        Path.cwd()
    except OSError as error:
        raise SpecificationError("the current folder is gone", hint="Change to one that exists") from error


@contextmanager
def progress_bar(label: str, *, quiet: bool) -> Iterator[Shown]:
    """Give a function that shows (samples done, samples in all; 0 where that is not known).

    It also takes seconds by what they were spent on, where that is known, and shows their shares. A bar with
    rate and time left on a terminal, a plain line every ten seconds elsewhere.
    """
    if quiet:
        yield _silent
    elif sys.stderr is not None and sys.stderr.isatty():
        with _rich_bar(label) as update:
            yield update
    else:
        yield _plain_lines(label, time.monotonic)


def _silent(done: int, total: int, spent: Spent = NOTHING, /) -> None:
    """Show nothing."""


def _shares(spent: Spent) -> str:
    """Write where the time goes, as ``load 5 %, forward 93 %, account 2 %``; nothing before there is any."""
    whole = sum(spent.values())
    return ", ".join(f"{name} {seconds / whole:.0%}" for name, seconds in spent.items()) if whole else ""


@contextmanager
def _rich_bar(label: str) -> Iterator[Shown]:
    # Only a terminal needs rich.
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    name = TextColumn(escape(label))
    columns = (
        name,
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[shares]}"),
    )
    start = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, rate="", shares="")

        first: int | None = None  # a run that goes on has samples that it did not run itself

        def update(done: int, total: int, spent: Spent = NOTHING, /) -> None:
            nonlocal first
            first = done if first is None else first
            rate = (done - first) / max(time.monotonic() - start, 1e-9)
            text = f"{rate:.0f} samples/s"
            bar.update(task, completed=done, total=total or None, rate=text, shares=_shares(spent))

        yield update


def _plain_lines(label: str, clock: Callable[[], float]) -> Shown:
    start = last = clock()
    first: int | None = None  # a run that goes on has samples that it did not run itself

    def update(done: int, total: int, spent: Spent = NOTHING, /) -> None:
        nonlocal last, first
        first = done if first is None else first
        now = clock()
        if now - last < PLAIN_EVERY:
            return
        last = now
        rate = max(done - first, 1) / (now - start)
        left = f", {(total - done) / rate:.0f} s left" if total else ""
        shares = f" ({_shares(spent)})" if spent else ""
        tell(f"{label}: {done}{f' of {total}' if total else ''} samples, {rate:.0f} a second{left}{shares}")

    return update
