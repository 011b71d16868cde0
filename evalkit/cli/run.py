"""``evalkit run``: evaluate a model on data."""

import sys
import time
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import click

from evalkit.checkpoints.contract import class_names, positive_index
from evalkit.cli.console import progress_bar
from evalkit.cli.judging import announce, finish, judge_and_render, read_baseline
from evalkit.gates import plan_gates
from evalkit.provenance import collect_provenance
from evalkit.rundir import open_run_directory
from evalkit.spec import load_specification

_FLAGS = {
    "device": "run.device",
    "batch_size": "run.batch_size",
    "weights": "model.weights",
    "baseline": "baseline",
}


@click.command("run")
@click.argument("specification", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set a key of the specification.")
@click.option("--device", help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--batch-size", help="Samples a batch.")
@click.option("--weights", help="Which set of weights, where the checkpoint holds several.")
@click.option("--baseline", help="Run directory to compare with.")
@click.option(
    "--limit", type=click.IntRange(min=1), help="Evaluate only the first N samples; judges nothing."
)
@click.option("--allow-same-model", is_flag=True, help="The baseline may be the candidate itself.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON summary instead of the table.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_obj
def command(
    words: list[str],
    /,
    *,
    specification: Path,
    output: Path,
    settings: tuple[str, ...],
    limit: int | None,
    allow_same_model: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,  # noqa: ARG001 - read by the catcher
    **flags: str | None,
) -> int:
    """Evaluate the model of SPECIFICATION and judge its gates."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    loaded = load_specification(specification, overrides=_overrides(settings, flags))
    spec, names = loaded.spec, class_names(loaded)
    positive_index(loaded, names)
    planned = plan_gates(spec.gates, names, loaded.source)
    baseline = read_baseline(loaded.resolve(spec.baseline) if isinstance(spec.baseline, str) else None)
    with open_run_directory(output) as directory:
        from evalkit.evaluate import evaluate_specification  # noqa: PLC0415 - torch, not for --help

        ledger = directory.temporary("predictions.parquet")
        # What the model prints is no data of ours.
        with redirect_stdout(sys.stderr), progress_bar(spec.name, quiet=quiet) as progress:
            evaluation = evaluate_specification(
                loaded,
                names,
                ledger=ledger,
                provenance=collect_provenance(
                    command=words, specification=specification, directory=output, started=started
                ),
                clock=time.perf_counter,
                progress=progress,
                limit=limit,
            )
        document = evaluation.result.to_json()
        judgement = judge_and_render(
            evaluation.result, document, planned, baseline, allow_same_model=allow_same_model
        )
        parts: dict[str, bytes | Path] = {"predictions.parquet": ledger} if evaluation.failure is None else {}
        directory.publish({**parts, "result.json": document, **judgement.documents()})
    code = announce(evaluation.result, judgement, output, as_json=as_json, quiet=quiet)
    return finish(code, evaluation.failure or judgement.error)


def _overrides(settings: tuple[str, ...], flags: dict[str, str | None]) -> list[tuple[str, str, str]]:
    overrides = []
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (key and equals):
            raise click.UsageError(f"--set {setting}: expected KEY=VALUE")
        overrides.append((key, value, f"--set {setting}"))
    for name, given in flags.items():
        if given is not None:
            overrides.append((_FLAGS[name], given, f"--{name.replace('_', '-')}"))
    return overrides
