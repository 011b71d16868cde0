"""``evalkit gate``: judge a run again."""

from pathlib import Path
from typing import Any

import click

from evalkit.cli.judging import announce, finish, judge_and_render, read_baseline
from evalkit.errors import InvalidRunError, OutputError, SpecificationError
from evalkit.gates import plan_gates
from evalkit.result import FILE_NAME, EvalResult, read_result
from evalkit.rundir import DOCUMENTS, LEDGER, is_blessed, open_run_directory
from evalkit.spec import GateSpec, SourceMap, check_comparable, load_gate_file, validate_gates


@click.command("gate")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--gates", "gate_file", type=click.Path(path_type=Path), help="YAML with gates: and baseline:.")
@click.option("--baseline", help="Run directory to compare with, or git:REF:PATH.")
@click.option("--allow-same-model", is_flag=True, help="The baseline may be the candidate itself.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON summary instead of the table.")
@click.option("--quiet", is_flag=True, help="Print only the outcome.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(
    *,
    directory: Path,
    gate_file: Path | None,
    baseline: str | None,
    allow_same_model: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,  # noqa: ARG001 - read by the catcher
) -> int:
    """Judge the run in DIRECTORY from its documents; needs neither model nor torch."""
    result = read_result(directory)
    document = (directory / FILE_NAME).read_bytes()
    named, base = _stored_baseline(result, directory)
    if gate_file is not None:
        found, source = load_gate_file(gate_file)
        gates = found.gates
        if found.baseline is not None:
            named, base = found.baseline, gate_file.parent
    else:
        gates, source = _stored_gates(result, directory)
    if baseline is not None:
        named, base = baseline, Path()
    planned = plan_gates(gates, result.class_names, source, task=result.task, slices=_stored_slices(result))
    if named is None:
        check_comparable(gates, source, hint="Say --baseline DIR")
    wanted = baseline is not None or any(gate.compares for gate in gates)
    judgement = judge_and_render(
        result,
        document,
        planned,
        read_baseline(named if wanted else None, base=base),
        ledger=directory / LEDGER,
        allow_same_model=allow_same_model,
    )
    failure = _write(directory, judgement.documents())
    code = announce(result, judgement, directory, as_json=as_json, quiet=quiet, written=failure is None)
    if failure is not None and not is_blessed(directory):
        raise failure
    if not result.valid:
        raise InvalidRunError(f"{directory}: the run is invalid", check="run")
    return finish(code, judgement.error)


def _write(directory: Path, documents: dict[str, bytes | Path]) -> OutputError | None:
    """Replace verdict and page together; a blessed run is judged and left as it is."""
    if is_blessed(directory):
        return OutputError(f"{directory}: is a blessed baseline")
    try:
        with open_run_directory(directory) as target:
            target.publish(documents, keep=DOCUMENTS)
    except OutputError as error:
        return error
    return None


def _stored_slices(result: EvalResult) -> list[Any]:
    """Return the run's slices as in its specification."""
    data = result.spec.get("data")
    found = data.get("slices") if isinstance(data, dict) else None
    return found if isinstance(found, list) else []


def _stored_gates(result: EvalResult, directory: Path) -> tuple[tuple[GateSpec, ...], SourceMap]:
    source = SourceMap(str(directory / FILE_NAME))
    if not result.spec.get("gates"):
        raise SpecificationError(f"{directory}: the run has no gates", hint="Name a file with --gates")
    return validate_gates({"gates": result.spec["gates"]}, source).gates, source


def _stored_baseline(result: EvalResult, directory: Path) -> tuple[str | None, Path]:
    """Find the specification's baseline, and its folder, which is relative to the run."""
    stored, base = result.spec.get("baseline"), result.provenance.get("base")
    if not isinstance(stored, str) or not isinstance(base, str):
        return None, directory
    return stored, directory / Path(base).expanduser()
