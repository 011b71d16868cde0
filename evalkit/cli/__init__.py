"""The command line: the only place that prints, reads the clock and decides an exit code.

Commands are loaded when they are called, so that ``--help`` imports nothing heavy.
"""

import errno
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import click

from evalkit import __version__
from evalkit.cli.console import abandon_stdout, complain, tell
from evalkit.cli.exits import HUNG_UP, INTERRUPTED, Terminated
from evalkit.errors import EvalkitError, ExitCode, os_reason, reason_of

COMMANDS = {
    "run": "Evaluate a model on data: documents, report and verdict.",
    "score": "Judge predictions that are there already, whoever made them.",
    "merge": "Put the shards of a run together, and judge it.",
    "report": "Render a run's report again, from its documents.",
    "gate": "Judge a run again, from its documents.",
    "compare": "Two runs on the same samples, side by side.",
    "inspect": "What a checkpoint holds, and the layers of its model.",
    "index": "One page over many runs.",
    "export": "A run for other programs: CSV, Markdown, a model card, DVC.",
    "manifest": "The prints of a training set, to be looked for among what is evaluated.",
    "plan": "What drops the samples can show, and gates to start from.",
    "bless": "Make a run the baseline that later ones are compared with.",
    "doctor": "Say what is installed, and whether it computes what it should.",
}

EXIT_CODES = """\b
Exit codes:
  0  done; all gates passed, or none were asked for
  1  internal error
  2  usage or specification
  3  a gate failed
  4  an input was refused
  5  the run is invalid, or a gate cannot be judged
  6  an output could not be written
  7  inconclusive: too few samples to decide
  129, 130, 143  stopped by SIGHUP, Control-C or SIGTERM"""


class _LazyGroup(click.Group):
    """A group whose commands are imported on use and listed from a table."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"evalkit.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_LazyGroup, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="evalkit")
def cli() -> None:
    """Evaluate trained PyTorch classifiers: how good, how sure, and may it ship?"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; the only catcher of errors."""
    words = list(sys.argv[1:] if argv is None else argv)
    previous = _on_signals()
    try:
        return _caught(words)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _complain("interrupted", "stopped by the keyboard", INTERRUPTED)
    except Terminated as stop:
        name = "SIGHUP" if stop.code == HUNG_UP else "SIGTERM"
        return _complain("terminated", f"stopped by {name}", stop.code)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _caught(words: Sequence[str]) -> int:
    debug = "--debug" in words
    try:
        code = cli.main(args=list(words), prog_name="evalkit", standalone_mode=False, obj=["evalkit", *words])
        return int(code or 0)
    except click.exceptions.Abort:
        raise
    except click.ClickException as error:
        return _usage_error(error)
    except EvalkitError as error:
        if debug:
            tell(traceback.format_exc().rstrip())
        return _complain(f"error[{error.slug}]", str(error), error.exit_code)
    except OSError as error:
        return _stdout_error(error, debug=debug)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the last resort
        return _internal_error(error, debug=debug)


def _on_signals() -> dict[int, Any]:
    """End in an orderly way on SIGTERM and SIGHUP; returns what to restore: nothing where none is ours."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    owner = os.getpid()

    def end(number: int, _: object) -> None:
        if os.getpid() != owner:  # a loader worker that was forked: it has nothing to close
            os._exit(128 + number)
        raise Terminated(128 + number)

    return {number: signal.signal(number, end) for number in _ending()}


def _ending() -> Iterator[int]:
    """Yield the signals that end a command; who starts it by nohup means SIGHUP to do nothing."""
    yield signal.SIGTERM
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        yield signal.SIGHUP


def _stdout_error(error: OSError, *, debug: bool) -> int:
    """Tell a reader that went away, or a full disk behind stdout, from a bug."""
    if error.filename is not None or error.errno not in {errno.EPIPE, errno.ENOSPC, errno.EBADF}:
        return _internal_error(error, debug=debug)
    abandon_stdout()
    if error.errno == errno.EPIPE:
        return int(ExitCode.OK)
    return _complain("error[output]", f"stdout cannot be written: {os_reason(error)}", ExitCode.OUTPUT)


def _internal_error(error: BaseException, *, debug: bool) -> int:
    if debug:
        tell(traceback.format_exc().rstrip())
    text = f"{reason_of(error)}. This is a bug in evalkit; --debug shows where"
    return _complain("error[internal]", text, ExitCode.INTERNAL)


def _usage_error(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        tell(error.format_message())
        return int(ExitCode.USAGE)
    context = getattr(error, "ctx", None)
    hint = f" Try: {context.command_path} --help" if context else ""
    return _complain("error[usage]", error.format_message() + hint, ExitCode.USAGE)


def _complain(kind: str, text: str, code: int) -> int:
    complain(kind, text)
    return int(code)
