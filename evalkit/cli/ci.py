"""What commands that judge tell CI: files in its formats, and a GitHub Actions job its annotations."""

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from evalkit.cli.console import complain, emit_commands, tell_commands
from evalkit.cli.exits import decide_exit, stop_code
from evalkit.cli.judging import Judgement, finish
from evalkit.cli.kinds import CiOptions
from evalkit.cli.ranks import leads_not
from evalkit.cli.targets import refusals, write_target
from evalkit.errors import EvalkitError, ExitCode, OutputError, os_reason
from evalkit.render.github import annotations, outputs, step_summary
from evalkit.render.judged_run import JudgedRun
from evalkit.result import EvalResult
from evalkit.spec import SourceMap

_NAME = "evalkit.ci.name"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Attributes:
        code: What follows from the verdicts.
        runs: What CI is told of; empty for nothing.
        error: What the command ends with, and that goes before the code.
        stop: What stopped the command, and goes before both: it is raised again when CI was told.
    """

    code: ExitCode
    runs: Sequence[JudgedRun] = ()
    error: EvalkitError | None = None
    stop: BaseException | None = None

    @property
    def exit_code(self) -> int:
        """What the process ends with."""
        if self.stop is not None:
            return stop_code(self.stop)
        return int(self.code if self.error is None else self.error.exit_code)


def with_ci(function: Callable[..., Ended]) -> Callable[..., int]:
    """Add the flags of :class:`CiOptions` to a command, and tell CI how it ended.

    The command gets them as ``ci``. An error before there is a verdict is told, too, and raised again.
    """

    @wraps(function)
    def command(
        *args: Any,
        junit: Path | None,
        openmetrics: Path | None,
        markdown: Path | None,
        no_ci: bool,
        **rest: Any,
    ) -> int:
        ci = CiOptions(junit, openmetrics, markdown, quiet=no_ci, as_json=bool(rest.get("as_json")))
        refused = refusals(ci.named, rest)
        ci = ci.without(refused)
        try:
            for error in refused.values():
                raise error
            ended = function(*args, ci=ci, **rest)
        except EvalkitError as error:
            run = JudgedRun(_known_name(rest), int(error.exit_code), problem=problem_of(error))
            ended = Ended(error.exit_code, [run], error)
        code = tell_ci(ended.runs, ci, ended.exit_code)
        if ended.stop is not None:
            raise ended.stop
        return _concluded(ended, code)

    path = click.Path(path_type=Path)
    for option in (
        click.option("--no-ci", is_flag=True, help="Write no annotations and no summary of a GitHub job."),
        click.option("--markdown", type=path, help="Write the summary as a pull request's comment."),
        click.option("--openmetrics", type=path, help="Write metrics for GitLab or Prometheus."),
        click.option("--junit", type=path, help="Write each gate as a test case."),
    ):
        command = option(command)
    return command


def name_run(name: str) -> None:
    """Say what the run is called, for an error that comes before its result."""
    click.get_current_context().meta[_NAME] = name


def _known_name(words: Mapping[str, Any]) -> str:
    """Name a run by what it said, else by what the command was given."""
    named = click.get_current_context().meta.get(_NAME)
    several: Sequence[Path] = words.get("specifications") or words.get("directories") or ()
    alone = several[0] if len(several) == 1 else None
    given = alone or words.get("specification") or words.get("output") or "several"
    return str(named or Path(str(given)).stem or "run")


def tell_ci(runs: Sequence[JudgedRun], options: CiOptions, exit_code: int) -> int:
    """Write what was asked for, and tell a GitHub Actions job.

    Args:
        runs: All of the command; nothing is told where there are none.
        options: What was asked for.
        exit_code: Of the command so far.

    Returns:
        The exit code: 6 where something could not be written and that goes first.
    """
    if not runs or leads_not():
        return exit_code
    failed = [_written(path, write(runs)) for path, write in options.files]
    code = _decided(exit_code, failed)
    if options.quiet or os.environ.get("GITHUB_ACTIONS") != "true":
        return code
    (tell_commands if options.as_json else emit_commands)(annotations(runs))
    code = _decided(code, [_appended("GITHUB_STEP_SUMMARY", step_summary(runs))])
    delimiter = f"evalkit-{secrets.token_hex(16)}"
    found = outputs(runs, code, delimiter=delimiter)
    return _decided(code, [_appended("GITHUB_OUTPUT", found)])


def _decided(code: int, failed: Sequence[bool]) -> int:
    """Let a file that could not be written decide, unless the command was stopped."""
    if not any(failed) or code not in list(ExitCode):
        return code
    return int(decide_exit({ExitCode(code), ExitCode.OUTPUT}))


def _written(path: Path, content: bytes) -> bool:
    """Write a file; returns whether that failed, which was said then."""
    try:
        write_target(path, content)
    except OutputError as error:
        complain(f"error[{error.slug}]", str(error))
        return True
    return False


def _appended(variable: str, text: str) -> bool:
    """Append to the file that a variable names, where it does; returns whether that failed."""
    path = os.environ.get(variable)
    if not path:
        return False
    try:
        with Path(path).open("ab") as file:
            file.write(text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        complain("error[output]", f"{variable}: {path} cannot be written: {os_reason(error)}")
        return True
    return False


def _concluded(ended: Ended, code: int) -> int:
    """End as the command would have, unless a file for CI decides."""
    if code == ended.exit_code:
        return finish(ended.code, ended.error)
    if ended.error is not None:
        complain(f"error[{ended.error.slug}]", str(ended.error))
    else:
        finish(ended.code, None)
    return code


def problem_of(error: EvalkitError | None) -> str | None:
    """Write an error as the command line does."""
    return None if error is None else f"error[{error.slug}]: {error}"


def judged_run(
    result: EvalResult,
    judgement: Judgement,
    *,
    ended: Ended,
    directory: Path | None,
    source: SourceMap | None = None,
) -> JudgedRun:
    """Return one run as CI is told of it.

    Args:
        result, judgement: What was found.
        ended: How the command ends.
        directory: Of the page; None where none was written.
        source: Where the gates were written, if that is known.
    """
    return JudgedRun(
        result.name,
        int(ended.exit_code),
        result,
        judgement.verdict,
        problem_of(ended.error),
        None if directory is None else path_in_job(directory / "report.html"),
        {} if source is None else gates_at(source, len(judgement.verdict.checks)),
        seconds_of(result),
    )


def seconds_of(result: EvalResult) -> float | None:
    """Return how long a run took; None where its document does not say."""
    seconds = [one for one in (result.run.get("seconds") or {}).values() if isinstance(one, (int, float))]
    return float(sum(seconds)) if seconds else None


def gates_at(source: SourceMap, n_gates: int) -> dict[int, tuple[str, int]]:
    """Return the file and line of each gate, of those that a file holds and no flag replaced."""
    if ("gates",) in source.flags:
        return {}
    keys = [("gates", index) for index in range(n_gates)]
    known = {key: source.lines.get(key) for key in keys if key not in source.flags}
    files = {key: path_in_job(Path(source.files.get(key, source.name))) for key in known}
    return {key[1]: (files[key], line) for key, line in known.items() if line is not None}


def path_in_job(path: Path) -> str:
    """Return a path as a CI job names it: relative to the checkout, where it lies in it."""
    workspace = os.environ.get("GITHUB_WORKSPACE")
    whole = path.resolve()
    if workspace and whole.is_relative_to(Path(workspace).resolve()):
        return whole.relative_to(Path(workspace).resolve()).as_posix()
    return path.as_posix()
