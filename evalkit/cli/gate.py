"""``evalkit gate``: judge a run again."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Literal

import click

from evalkit.baselines import NO_BASELINE, read_baseline
from evalkit.cli.ci import CiOptions, Ended, judged_run, name_run, with_ci
from evalkit.cli.judging import announce, judged, rendered
from evalkit.cli.stored import stored_baseline, stored_compare, stored_gates
from evalkit.errors import EvalkitError, InvalidRunError, OutputError
from evalkit.gallery import read_gallery
from evalkit.gates import Terms, plan_gates, stored_slices
from evalkit.result import FILE_NAME, read_result
from evalkit.rundir import DOCUMENTS, LEDGER, RunDirectory, is_blessed, open_run_directory
from evalkit.spec import SourceMap, check_comparable, load_gate_file


@click.command("gate")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--gates", "gate_file", type=click.Path(path_type=Path), help="YAML with gates: and baseline:.")
@click.option("--baseline", help="Run directory to compare with, or git:REF:PATH.")
@click.option("--allow-same-model", is_flag=True, help="The baseline may be the candidate itself.")
@click.option(
    "--on-changed-data", type=click.Choice(["refuse", "common"]), help="Compare the samples that both hold."
)
@click.option("--strict", is_flag=True, help="A warning is a failure.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON summary instead of the table.")
@click.option("--quiet", is_flag=True, help="Print only the outcome.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@with_ci
def command(
    *,
    directory: Path,
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
    """Judge the run in DIRECTORY from its documents; needs neither model nor torch."""
    with ExitStack() as stack:
        # Held from before the documents are read until the verdict is written: they belong together.
        target, failure = _target(directory, stack)
        result = read_result(directory)
        name_run(result.name)
        document = (directory / FILE_NAME).read_bytes()
        file, source = (None, SourceMap(str(directory / FILE_NAME)))
        if gate_file is not None:
            file, source = load_gate_file(gate_file)
        gates = stored_gates(result, directory, source) if file is None else file.gates
        slices = stored_slices(result)
        planned = plan_gates(gates, result.class_names, source, task=result.task, slices=slices)
        compare = stored_compare(result) if file is None or file.compare is None else file.compare
        if on_changed_data is not None:
            compare = compare.model_copy(update={"on_changed_data": on_changed_data})
        if baseline is not None:
            found = read_baseline(baseline, base=Path())
        elif file is not None and gate_file is not None and file.baseline is not None:
            found = read_baseline(file.baseline, base=gate_file.parent)
        else:
            found = stored_baseline(result, directory)
            if found is None and result.valid and result.spec.get("baseline") != NO_BASELINE:
                check_comparable(gates, source, hint="Say --baseline DIR")
        terms = Terms(planned, compare, allow_same_model=allow_same_model, strict=strict)
        verdict = judged(result, document, terms, found, ledger=directory / LEDGER)
        judgement = rendered(result, verdict, read_gallery(directory))
        if target is not None:
            try:
                target.publish(judgement.documents(), keep=DOCUMENTS)
            except OutputError as error:
                failure = error
    code = announce(result, judgement, directory, as_json=as_json, quiet=quiet, written=failure is None)
    refused: EvalkitError | None = judgement.error
    if failure is not None and not is_blessed(directory):
        refused = failure
    elif not result.valid:
        refused = InvalidRunError(f"{directory}: the run is invalid", check="run")
    ended = Ended(code, error=refused)
    page = directory if failure is None else None
    run = judged_run(result, judgement, ended=ended, directory=page, source=source)
    return replace(ended, runs=[run])


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
