"""What people and programs see: data on stdout, progress on stderr."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from evalkit.errors import OutputError, SpecificationError, os_reason

PLAIN_EVERY = 10.0


def emit(text: str) -> None:
    """Write data to stdout.

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
    emit(json.dumps(document, allow_nan=False, indent=2) + "\n")


def tell(text: str) -> None:
    """Write a line for people to stderr; where nobody can read it, nothing is lost but the line."""
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
def progress_bar(label: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows (samples done, samples in all; 0 where that is not known).

    A bar with rate and time left on a terminal, a plain line every ten seconds elsewhere.
    """
    if quiet:
        yield _silent
    elif sys.stderr is not None and sys.stderr.isatty():
        with _rich_bar(label) as update:
            yield update
    else:
        yield _plain_lines(label, time.monotonic)


def _silent(done: int, total: int) -> None:
    """Show nothing."""


@contextmanager
def _rich_bar(label: str) -> Iterator[Callable[[int, int], None]]:
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
    )
    start = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, rate="")

        first: int | None = None  # a run that goes on has samples that it did not run itself

        def update(done: int, total: int) -> None:
            nonlocal first
            first = done if first is None else first
            rate = (done - first) / max(time.monotonic() - start, 1e-9)
            bar.update(task, completed=done, total=total or None, rate=f"{rate:.0f} samples/s")

        yield update


def _plain_lines(label: str, clock: Callable[[], float]) -> Callable[[int, int], None]:
    start = last = clock()
    first: int | None = None  # a run that goes on has samples that it did not run itself

    def update(done: int, total: int) -> None:
        nonlocal last, first
        first = done if first is None else first
        now = clock()
        if now - last < PLAIN_EVERY:
            return
        last = now
        rate = max(done - first, 1) / (now - start)
        left = f", {(total - done) / rate:.0f} s left" if total else ""
        tell(f"{label}: {done}{f' of {total}' if total else ''} samples, {rate:.0f} a second{left}")

    return update
