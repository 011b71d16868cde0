"""``evalkit gate``: judge a run again."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import click

from evalkit.baselines import NO_BASELINE, read_baseline
from evalkit.cli.ci import Ended, judged_run, name_run, problem_of, with_ci
from evalkit.cli.console import complain, tell
from evalkit.cli.flags import with_verdict
from evalkit.cli.judging import Judgement, announce, code_of, judged, rendered
from evalkit.cli.kinds import CiOptions
from evalkit.cli.models import check_patterns, is_index
from evalkit.cli.stored import stored_baseline, stored_compare, stored_gates
from evalkit.cli.tally import Tally
from evalkit.errors import (
    EvalkitError,
    ExitCode,
    InvalidRunError,
    OutputError,
    SpecificationError,
    reason_of,
)
from evalkit.gallery import read_gallery
from evalkit.gates import Terms, plan_gates, stored_slices
from evalkit.render.judged_run import JudgedRun
from evalkit.result import FILE_NAME, EvalResult, read_result
from evalkit.rundir import DOCUMENTS, LEDGER, RunDirectory, is_blessed, open_run_directory
from evalkit.runfile import check_finished
from evalkit.spec import SourceMap, check_comparable, load_gate_file


@dataclass(frozen=True, slots=True)
class _Asked:
    """How runs are judged: the flags."""

    gate_file: Path | None
    baseline: str | None
    allow_same_model: bool
    on_changed_data: Literal["refuse", "common"] | None
    strict: bool


@dataclass(frozen=True, slots=True)
class _Found:
    """A run that was judged.

    Attributes:
        result, judgement: What was found.
        source: Where the gates were written.
        failure: Why nothing could be written.
    """

    result: EvalResult
    judgement: Judgement
    source: SourceMap
    failure: OutputError | None

    def ended(self, directory: Path, code: ExitCode) -> Ended:
        """Return how a command ends that judges this run alone."""
        refused: EvalkitError | None = self.judgement.error
        if self.failure is not None and not is_blessed(directory):
            refused = self.failure
        elif not self.result.valid:
            refused = InvalidRunError(f"{directory}: the run is invalid", check="run")
        ended = Ended(code, error=refused)
        page = directory if self.failure is None else None
        run = judged_run(self.result, self.judgement, ended=ended, directory=page, source=self.source)
        return replace(ended, runs=[run])


@click.command("gate")
@click.argument(
    "directories", metavar="DIRECTORY...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--gates", "gate_file", type=click.Path(path_type=Path), help="YAML with gates: and baseline:.")
@click.option("--baseline", help="Run directory to compare with, or git:REF:PATH.")
@click.option(
    "--on-changed-data", type=click.Choice(["refuse", "common"]), help="Compare the samples that both hold."
)
@with_verdict
@with_ci
def command(
    *,
    directories: tuple[Path, ...],
    gate_file: Path | None,
    baseline: str | None,
    allow_same_model: bool,
    on_changed_data: Literal["refuse", "common"] | None,
    strict: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,  # noqa: ARG001 - read by the catcher
    ci: CiOptions,  # noqa: ARG001 - read by its decorator
) -> Ended:
    """Judge the run in DIRECTORY from its documents, or several; needs neither model nor torch."""
    asked = _Asked(gate_file, baseline, allow_same_model, on_changed_data, strict)
    check_patterns(directories)
    if len(directories) > 1:
        return _several(directories, asked, as_json=as_json)
    (directory,) = directories
    found = _judged(directory, asked)
    code = announce(
        found.result,
        found.judgement,
        directory,
        as_json=as_json,
        quiet=quiet,
        written=found.failure is None,
    )
    return found.ended(directory, code)


def _several(directories: Sequence[Path], asked: _Asked, *, as_json: bool) -> Ended:
    """Judge one run after another, whatever becomes of each; files that lie beside them are no runs."""
    folders = [path for path in directories if not _is_file(path)]
    for path in directories:
        if path not in folders and not is_index(path):
            tell(f"{path}: is a file, and no run: not judged")
    if not folders:
        raise SpecificationError("DIRECTORY: none of them is a folder", hint="Name folders of runs")
    if len({path.resolve() for path in folders}) < len(folders):
        raise SpecificationError("DIRECTORY: one of the folders is named twice")
    plain = [path.resolve().name for path in folders]
    names = plain if len(set(plain)) == len(plain) else [str(path) for path in folders]
    runs = [_one_of_several(folder, name, asked) for folder, name in zip(folders, names, strict=True)]
    return Tally(runs, folders).ended(as_json=as_json)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _one_of_several(directory: Path, name: str, asked: _Asked) -> JudgedRun:
    try:
        found = _judged(directory, asked)
        (run,) = found.ended(directory, code_of(found.result, found.judgement)).runs
        return replace(run, name=name)
    except EvalkitError as error:
        complain(f"error[{error.slug}]", str(error))
        return JudgedRun(name, int(error.exit_code), problem=problem_of(error))
    except Exception as error:  # noqa: BLE001 - a bug that one run meets is no reason not to judge the others
        complain("error[internal]", f"{directory}: {reason_of(error)}")
        return JudgedRun(name, int(ExitCode.INTERNAL), problem=f"error[internal]: {reason_of(error)}")


def _judged(directory: Path, asked: _Asked) -> _Found:
    """Judge a run and write the verdict, where its folder can be written."""
    with ExitStack() as stack:
        # Held from before the documents are read until the verdict is written: they belong together.
        target, failure = _target(directory, stack)
        result = read_result(directory)
        name_run(result.name)
        if result.valid:  # an invalid one may be what the unfinished run has said so far
            check_finished(directory)
        document = (directory / FILE_NAME).read_bytes()
        file, source = (None, SourceMap(str(directory / FILE_NAME)))
        if asked.gate_file is not None:
            file, source = load_gate_file(asked.gate_file)
        gates = stored_gates(result, directory, source) if file is None else file.gates
        slices = stored_slices(result)
        planned = plan_gates(gates, result.class_names, source, task=result.task, slices=slices)
        compare = stored_compare(result) if file is None or file.compare is None else file.compare
        if asked.on_changed_data is not None:
            compare = compare.model_copy(update={"on_changed_data": asked.on_changed_data})
        if asked.baseline is not None:
            found = read_baseline(asked.baseline, base=Path())
        elif file is not None and asked.gate_file is not None and file.baseline is not None:
            found = read_baseline(file.baseline, base=asked.gate_file.parent)
        else:
            found = stored_baseline(result, directory)
            if found is None and result.valid and result.spec.get("baseline") != NO_BASELINE:
                check_comparable(gates, source, hint="Say --baseline DIR")
        terms = Terms(planned, compare, allow_same_model=asked.allow_same_model, strict=asked.strict)
        verdict = judged(result, document, terms, found, ledger=directory / LEDGER)
        judgement = rendered(result, verdict, read_gallery(directory))
        if target is not None:
            try:
                target.publish(judgement.documents(), keep=DOCUMENTS)
            except OutputError as error:
                failure = error
    return _Found(result, judgement, source, failure)


def _target(directory: Path, stack: ExitStack) -> tuple[RunDirectory | None, OutputError | None]:
    """Hold the folder, where it can be written; a blessed run is judged and left as it is."""
    if is_blessed(directory):
        return None, OutputError(f"{directory}: is a blessed baseline")
    if not (directory / FILE_NAME).exists():
        return None, None  # reading it says why
    try:
        return stack.enter_context(open_run_directory(directory)), None
    except OutputError as error:
        return None, error
