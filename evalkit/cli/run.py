"""``evalkit run``: evaluate a model on data."""

import re
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.ci import CiOptions, Ended, judged_run, name_run, with_ci
from evalkit.cli.console import check_current_folder
from evalkit.cli.flags import FLAGS, floor, overrides, with_flags, write_specification
from evalkit.cli.judging import announce
from evalkit.cli.stored import named_baseline
from evalkit.errors import ExitCode, SpecificationError
from evalkit.gates import Terms, plan_gates
from evalkit.provenance import collect_provenance
from evalkit.reads import forget
from evalkit.rundir import LEDGER, open_run_directory
from evalkit.spec import PREDICTIONS, BaselineCheckpoint, Loaded, load_specification
from evalkit.usercode import import_path

if TYPE_CHECKING:
    from evalkit.cli.job import Job
    from evalkit.expecting import Expectation
    from evalkit.opening import Opened

WHOLE = (1, 1)


@click.command("run")
@click.argument("specification", type=click.Path(path_type=Path), required=False)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@with_flags(FLAGS)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set any key.")
@click.option("--min", "floors", multiple=True, metavar="METRIC=LIMIT", help="Add a gate: accuracy=0.90.")
@click.option("--write-spec", type=click.Path(path_type=Path), help="Save what was asked for as a file.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N samples; judges nothing.")
@click.option("--shard", metavar="I/N", help="Only the I-th of N shards, from 1; evalkit merge joins them.")
@click.option("--resume", is_flag=True, help="Go on with a run that was stopped in the same folder.")
@click.option("--force", is_flag=True, help="Compute again, even if nothing changed.")
@click.option("--allow-same-model", is_flag=True, help="The baseline may be the candidate itself.")
@click.option(
    "--trust-checkpoint", is_flag=True, help="Run the code of a checkpoint that holds a whole model."
)
@click.option("--expect", metavar="METRIC=NUMBER", help="Ask why another number was seen: accuracy=0.9134.")
@click.option("--strict", is_flag=True, help="A warning is a failure.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON summary instead of the table.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_obj
@with_ci
def command(
    words: list[str],
    /,
    *,
    specification: Path | None,
    output: Path,
    settings: tuple[str, ...],
    floors: tuple[str, ...],
    write_spec: Path | None,
    limit: int | None,
    shard: str | None,
    resume: bool,
    force: bool,
    allow_same_model: bool,
    trust_checkpoint: bool,
    expect: str | None,
    strict: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,  # noqa: ARG001 - read by the catcher
    ci: CiOptions,
    **flags: str | None,
) -> Ended:
    """Evaluate a model and judge its gates: SPECIFICATION says what, flags are its keys."""
    check_current_folder()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    loaded = load_specification(
        specification,
        overrides=overrides(settings, flags, flags=FLAGS),
        gates=[floor(text) for text in floors],
    )
    name_run(loaded.spec.name)
    if loaded.spec.data.source == PREDICTIONS:
        raise loaded.source.error(
            ("data", "source"), "predictions are there already", hint="Say evalkit score"
        )
    if resume and force:
        raise SpecificationError("--resume goes on and --force begins anew: one of the two")
    if expect is not None and loaded.spec.run.ledger == "none":
        raise SpecificationError("--expect looks at single samples, which run.ledger: none does not keep")
    part, expected, imported = _shard(shard, ci), None, frozenset(sys.modules)
    forget()
    baseline = named_baseline(loaded)
    with open_run_directory(output) as directory:
        from evalkit.cli.job import prepare_job  # noqa: PLC0415 - torch, not for --help
        from evalkit.cli.session import Session  # noqa: PLC0415
        from evalkit.opening import open_specification  # noqa: PLC0415
        from evalkit.sources import Sources  # noqa: PLC0415

        number = None if expect is None else _expectation(expect, loaded)
        opened = open_specification(loaded, trusted=trust_checkpoint)
        older = _open_older(loaded)
        gates = plan_gates(
            loaded.spec.gates,
            opened.class_names,
            loaded.source,
            task=loaded.spec.task,
            slices=loaded.spec.data.slices,
        )
        session = Session(
            directory,
            Terms(gates, loaded.spec.compare, allow_same_model=allow_same_model, strict=strict),
            baseline,
            collect_provenance(
                command=words,
                specification=specification,
                base=loaded.base,
                directory=output,
                started=started,
            ),
            quiet=quiet,
            pictures=sys.stderr is not None and sys.stderr.isatty(),
            resume=resume,
            force=force,
        )
        # What the model prints is no data of ours; a forward pass may import, too.
        with redirect_stdout(sys.stderr), import_path(loaded.base):
            job = prepare_job(opened, older, limit=limit, shard=part, sources=Sources(loaded.base, imported))
            if part != WHOLE:
                session.shard(job)
                return Ended(ExitCode.OK)
            result, judgement, failure = session.whole(job)
            if number is not None and failure is None:
                expected = _compare(number, job, output / LEDGER)
    if write_spec is not None:
        write_specification(loaded, write_spec)
    code = announce(result, judgement, output, as_json=as_json, quiet=quiet, expected=expected)
    ended = Ended(code, error=failure or judgement.error)
    run = judged_run(result, judgement, ended=ended, directory=output, source=loaded.source)
    return replace(ended, runs=[run])


def _shard(text: str | None, ci: CiOptions) -> tuple[int, int]:
    """Read ``2/4``."""
    if text is None:
        return WHOLE
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise SpecificationError(f"--shard {text}: expected I/N, from 1/N to N/N")
    part = int(match[1]), int(match[2])
    if ci.files and part != WHOLE:
        hint = "Give --junit, --openmetrics and --markdown to evalkit merge"
        raise SpecificationError(f"--shard {text}: a shard judges nothing", hint=hint)
    return part


def _expectation(text: str, loaded: Loaded) -> "Expectation":
    from evalkit.expecting import parse_expectation  # noqa: PLC0415 - torch

    if loaded.spec.task == "multilabel" or loaded.spec.metrics.unit is not None:
        raise SpecificationError("--expect: is asked of samples with one class each")
    return parse_expectation(text)


def _compare(number: "Expectation", job: "Job", ledger: Path) -> dict[str, Any]:
    from evalkit.expecting import compare_with  # noqa: PLC0415 - torch

    return compare_with(
        number,
        job.setup,
        ledger,
        checkpoint=None if job.opened.trusted else job.opened.checkpoint,
        taken=job.setup.model_facts.get("weights"),
    )


def _open_older(loaded: Loaded) -> "Opened | None":
    """Open the baseline that is measured in the same command; None where it is none of that kind."""
    from evalkit.opening import open_specification  # noqa: PLC0415 - torch

    named = loaded.spec.baseline
    return open_specification(loaded.beside(named)) if isinstance(named, BaselineCheckpoint) else None
