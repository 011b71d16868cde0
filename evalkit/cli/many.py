"""Several specifications in one ``evalkit run``: each in a process of its own, one after another.

The documents are read back from the folders, so that this process needs neither torch nor what a model needs.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from evalkit.cli.children import Child, interpreter, run_child
from evalkit.cli.ci import Ended, gates_at, path_in_job, problem_of, seconds_of
from evalkit.cli.console import complain, tell
from evalkit.cli.exits import decide_exit
from evalkit.cli.flags import FLAGS, SCORED
from evalkit.cli.judging import document_code
from evalkit.cli.kinds import CiOptions
from evalkit.cli.models import INDEX, Model, check_output, read_models
from evalkit.cli.tally import SLUGS, Tally
from evalkit.display import visible
from evalkit.errors import EvalkitError, ExitCode, OutputError, SpecificationError
from evalkit.render.cases import said
from evalkit.render.judged_run import JudgedRun
from evalkit.result import FILE_NAME, EvalResult, read_result
from evalkit.spec import PREDICTIONS, Override
from evalkit.verdict import FILE_NAME as VERDICT
from evalkit.verdict import Verdict, read_verdict

# What would be the same for every model, and is one model's alone.
_OF_ONE = ("--name", "--write-spec", "--shard", "--expect")
# What this process does for all of them.
_OURS = ("--output", "--verbose", "--json", "--no-ci", "--junit", "--openmetrics", "--markdown")
# What ``score`` takes as ``run`` does, and what it has no need of.
_SCORE = ("--set", "--min", "--allow-same-model", "--strict", "--quiet", "--debug")
_NEEDLESS = ("--resume", "--force", "--trust-checkpoint")
_JUDGED = (ExitCode.OK, ExitCode.GATE_FAILED, ExitCode.INCONCLUSIVE)
# What can be read in documents.
_BY_VERDICT = (*_JUDGED, ExitCode.CANNOT_JUDGE)


@dataclass(frozen=True, slots=True)
class _Flag:
    """A flag of the command line, once for each value."""

    name: str
    value: str | None

    @property
    def word(self) -> str:
        return self.name if self.value is None else f"{self.name}={self.value}"


def run_many(
    paths: Sequence[Path],
    output: Path,
    *,
    overrides: Sequence[Override],
    gates: Sequence[dict[str, Any]],
    ci: CiOptions,
    verbose: bool,
    quiet: bool,
) -> Ended:
    """Evaluate several models, whatever becomes of each; ``output`` gets a folder a model, and an index.

    Raises:
        SpecificationError: A flag is one model's alone, or two models have one name.
        OutputError: The folder holds something else.
    """
    flags = list(_given(click.get_current_context()))
    for flag in flags:
        if flag.name in _OF_ONE:
            raise SpecificationError(f"{flag.name}: is for one specification, got {len(paths)}")
    models = read_models(paths, overrides=overrides, gates=gates)
    folders = [output / model.name for model in models]
    for kind, path in ci.named.items():
        if path.resolve() in {folder.resolve() for folder in folders}:
            text = f"--{kind} {path}: is the folder of a model"
            return Ended(ExitCode.OUTPUT, error=OutputError(text, hint="Name another file"))  # CI is not told
    check_output(output, beside=[path for path, _ in ci.files])
    runs: list[JudgedRun] = []
    try:
        for model, folder in zip(models, folders, strict=True):
            if not quiet:
                tell(f"{len(runs) + 1} of {len(models)}: {visible(model.name)}")
            runs.append(_evaluated(model, folder, flags=flags, verbose=verbose))
    except BaseException as stop:  # noqa: BLE001 - it is raised again when CI was told
        done = len(runs)
        stopped = Tally([*runs, *map(_not_run, models[done:])], folders)
        _indexed(stopped, output / INDEX)
        return stopped.stopped(stop, done=done, as_json=ci.as_json)
    tally = Tally(runs, folders)
    code = _indexed(tally, output / INDEX)
    if not quiet and code is ExitCode.OK:
        tell(f"index: {output / INDEX}")
    return Tally(runs, folders, further=[code]).ended(as_json=ci.as_json)


def _indexed(tally: Tally, path: Path) -> ExitCode:
    try:
        tally.write_index(path)
    except OutputError as error:
        complain(f"error[{error.slug}]", str(error))
        return error.exit_code
    return ExitCode.OK


def _given(context: click.Context) -> Iterator[_Flag]:
    """Yield what was said on the command line and is not done here."""
    for option in context.command.params:
        name = max(option.opts, key=len)
        said = context.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE
        if not isinstance(option, click.Option) or not said or name in _OURS:
            continue
        value = context.params[str(option.name)]
        if option.is_flag:
            yield _Flag(name, None)
        else:
            yield from (_Flag(name, str(one)) for one in (value if option.multiple else [value]))


def _evaluated(model: Model, folder: Path, *, flags: Sequence[_Flag], verbose: bool) -> JudgedRun:
    """Run one model, and read what it wrote."""
    label = visible(model.name)
    try:
        words = _words(model, folder, flags)
    except SpecificationError as error:
        tell(f"{label}: evalkit: {said(str(problem_of(error)))}")
        return JudgedRun(model.name, int(error.exit_code), problem=problem_of(error))
    before = _mark(folder)
    child = run_child([*interpreter(), *words], label=label, verbose=verbose)
    return _read_back(model, folder, child, written=_mark(folder) not in (None, before))


def _words(model: Model, folder: Path, flags: Sequence[_Flag]) -> list[str]:
    if model.error is not None:
        raise model.error
    scored = model.loaded is not None and model.loaded.spec.data.source == PREDICTIONS
    command = ["score", f"--spec={model.path}"] if scored else ["run"]
    given = [_for_score(flag) for flag in flags] if scored else [flag.word for flag in flags]
    words = [*command, f"--output={folder}", "--no-ci", *filter(None, given)]
    return words if scored else [*words, "--", str(model.path)]


def _for_score(flag: _Flag) -> str | None:
    """Write a flag of ``run`` for ``score``: as it is, or as the key that it stands for."""
    known = FLAGS.get(flag.name)
    if flag.name in _SCORE or (known is not None and SCORED.get(flag.name, ("",))[0] == known[0]):
        return flag.word
    if flag.name in _NEEDLESS or (known is not None and known[0].startswith("run.")):
        return None  # how a model is run does not matter where none is
    if known is None:
        raise SpecificationError(f"{flag.name}: cannot be said of predictions that are there already")
    key, literal, _ = known
    return f"--set={key}={json.dumps(flag.value) if literal else flag.value}"


def _mark(folder: Path) -> tuple[int, int] | None:
    """Return what differs once a verdict was written anew."""
    try:
        found = (folder / VERDICT).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _read_back(model: Model, folder: Path, child: Child, *, written: bool) -> JudgedRun:
    """Tell of a child by its documents; those of an earlier run say nothing of this one."""
    if not written:
        code, problem = child.code, child.problem
        if code in _JUDGED:
            code, problem = ExitCode.INTERNAL, "error[internal]: the process left no documents"
        return JudgedRun(model.name, int(code), problem=problem)
    try:
        result, verdict = _documents(folder)
    except (EvalkitError, OSError) as error:
        return JudgedRun(model.name, int(ExitCode.INTERNAL), problem=f"error[internal]: {error}")
    source = None if model.loaded is None else model.loaded.source
    code, problem = _settled(child, result, verdict)
    return JudgedRun(
        model.name,
        int(code),
        result,
        verdict,
        problem,
        path_in_job(folder / "report.html"),
        {} if source is None or verdict is None else gates_at(source, len(verdict.checks)),
        seconds_of(result),
    )


def _settled(child: Child, result: EvalResult, verdict: Verdict | None) -> tuple[ExitCode, str | None]:
    """Return exit code and problem of a child; its documents count where it ended as they do not say.

    A model's own code may end the process with any code, and print any line: one that looks like an error is
    none where the documents say everything. What they cannot say stays where it is worse.
    """
    told = document_code(result, verdict)
    if child.code == told:
        return told, None if result.valid else child.problem
    code = decide_exit({child.code, told}, valid=result.valid)
    if child.code in _BY_VERDICT:
        code = told or child.code
    elif code == child.code:
        return code, child.problem
    slug = "invalid-run" if code == told and not result.valid else SLUGS[code]
    return code, f"error[{slug}]: the process ended with exit code {child.code}, its documents say {told}"


def _documents(folder: Path) -> tuple[EvalResult, Verdict | None]:
    result = read_result(folder)
    digest = sha256((folder / FILE_NAME).read_bytes()).hexdigest()
    return result, read_verdict(folder, result_sha256=digest)


def _not_run(model: Model) -> JudgedRun:
    return JudgedRun(model.name, int(ExitCode.INTERNAL), problem="error[interrupted]: was not evaluated")
