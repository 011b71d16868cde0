"""One model in a process of its own: whatever it does to itself, the command goes on with the next."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import IO

from evalkit.cli.console import tell
from evalkit.cli.exits import HUNG_UP, INTERRUPTED, TERMINATED, Terminated
from evalkit.display import visible
from evalkit.errors import ExitCode

# For a child to close its files after a signal.
GRACE = 30.0
_LISTENING = 5.0
_ERROR = re.compile(r"evalkit: (error\[([a-z-]+)\]: .*)")
# These follow from a verdict, which says more than the line.
_OF_VERDICTS = ("gate-failed", "cannot-judge", "inconclusive")
_STOPS = {HUNG_UP: "SIGHUP", INTERRUPTED: "SIGINT", TERMINATED: "SIGTERM"}


@dataclass(slots=True)
class _Heard:
    """What a child said."""

    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Child:
    """How a child ended.

    Attributes:
        code: 0 to 7; 1 for whatever else it ended with.
        problem: ``error[slug]: …``; None where its documents say everything.
    """

    code: ExitCode
    problem: str | None = field(default=None)


def interpreter() -> list[str]:
    """Return the words that start evalkit again; the current folder is searched where it is searched here."""
    here = {"", str(Path.cwd())} & set(sys.path)
    return [sys.executable, *([] if here else ["-P"]), "-m", "evalkit"]


def run_child(words: Sequence[str], *, label: str, verbose: bool) -> Child:
    """Run a command line and pass on what it tells people, a line each, with the label in front.

    Args:
        words: The whole command line.
        label: Whose lines they are.
        verbose: Pass on its data, too.

    Raises:
        KeyboardInterrupt, Terminated: This process was stopped; the child has ended before.
    """
    process = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
        list(words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if verbose else subprocess.DEVNULL,
        stderr=subprocess.STDOUT if verbose else subprocess.PIPE,
        encoding="utf-8",
        errors="backslashreplace",
        # A terminal's Control-C comes to us alone, and is passed on once.
        process_group=0 if os.name != "nt" else None,
    )
    heard, stream = _Heard(), process.stdout or process.stderr
    listener = Thread(target=_listen, args=(stream, label, heard), daemon=True)
    listener.start()
    try:
        code = process.wait()
    except BaseException as stop:
        _stop(process, signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)
        raise
    finally:
        # Not for ever: what a killed child leaves behind may hold the pipe open.
        listener.join(_LISTENING)
    return _ended(code, heard.problem)


def _listen(stream: IO[str], label: str, heard: _Heard) -> None:
    for line in _lines(stream):
        found = _ERROR.fullmatch(line)
        if found and found[2] not in _OF_VERDICTS:
            heard.problem = found[1]
        tell(f"{label}: {line}")


def _lines(stream: IO[str]) -> Iterator[str]:
    with suppress(ValueError, OSError), stream:
        for line in stream:
            text = line.rstrip("\n")
            if text.strip():
                yield text


def _stop(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """End a child in an orderly way; at once where it takes too long, or where it is asked for again."""
    try:
        if os.name == "nt":
            process.terminate()
        else:
            process.send_signal(number)
        process.wait(GRACE)
    except (subprocess.TimeoutExpired, KeyboardInterrupt, Terminated):
        process.kill()
        process.wait()


def _ended(code: int, problem: str | None) -> Child:
    if code in list(ExitCode):
        return Child(ExitCode(code), problem)
    how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
    after = f", as {_STOPS[code]} does it" if code in _STOPS else ""
    return Child(ExitCode.INTERNAL, f"error[internal]: the process {how}{after}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return visible(f"signal {number}")
