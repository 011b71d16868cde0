"""``evalkit run``: evaluate a model on data."""

import re
import sys
from collections.abc import Sequence
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
from evalkit.cli.many import run_many
from evalkit.cli.models import check_patterns
from evalkit.cli.ranks import captain, check_single, check_whole, place_here, tell_code
from evalkit.cli.stored import named_baseline
from evalkit.errors import ExitCode, SpecificationError
from evalkit.gates import Terms, plan_gates
from evalkit.provenance import collect_provenance
from evalkit.reads import forget
from evalkit.rundir import LEDGER, open_run_directory
from evalkit.spec import PREDICTIONS, BaselineCheckpoint, Loaded, Override, load_specification
from evalkit.usercode import import_path

if TYPE_CHECKING:
    from evalkit.cli.job import Job
    from evalkit.expecting import Expectation
    from evalkit.opening import Opened
    from evalkit.ranks import Place

WHOLE = (1, 1)


@click.command("run")
@click.argument("specifications", metavar="[SPECIFICATION]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the run, or of several."
)
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
@click.option("-v", "--verbose", is_flag=True, help="Of several models, show on stderr what each prints.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_obj
@with_ci
def command(
    words: list[str],
    /,
    *,
    specifications: tuple[Path, ...],
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
    verbose: bool,
    quiet: bool,
    debug: bool,  # noqa: ARG001 - read by the catcher
    ci: CiOptions,
    **flags: str | None,
) -> Ended:
    """Evaluate a model and judge its gates: SPECIFICATION says what, flags are its keys.

    Several are evaluated one after another, each into a folder of its name below the output folder.
    """
    check_current_folder()
    check_patterns(specifications)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    said, further = overrides(settings, flags, flags=FLAGS), [floor(text) for text in floors]
    if resume and force:
        raise SpecificationError("--resume goes on and --force begins anew: one of the two")
    place = place_here()
    check_whole(place, shard)
    if len(specifications) > 1:
        check_single(place)
        return run_many(
            specifications, output, overrides=said, gates=further, ci=ci, verbose=verbose, quiet=quiet
        )
    specification = specifications[0] if specifications else None
    loaded = _load(specification, overrides=said, gates=further)
    provenance = collect_provenance(
        command=words, specification=specification, base=loaded.base, directory=output, started=started
    )
    if loaded.spec.data.source == PREDICTIONS:
        check_single(place)
        terms = Terms((), loaded.spec.compare, allow_same_model=allow_same_model, strict=strict)
        ended = _score(
            loaded, output, terms, provenance,
            limit=limit, expect=expect, shard=shard, as_json=as_json, quiet=quiet,
        )  # fmt: skip
        if write_spec is not None:
            write_specification(loaded, write_spec)
        return ended
    part, expected, imported = _shard(shard, ci), None, frozenset(sys.modules)
    forget()
    if place is not None and place.rank:
        return _follow(place, loaded, output, limit=limit, trusted=trust_checkpoint, imported=imported)
    with captain(place, loaded) as crew, open_run_directory(output) as directory:
        if crew is not None:
            crew.share(directory)
        baseline = named_baseline(loaded)
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
            provenance,
            quiet=quiet,
            pictures=sys.stderr is not None and sys.stderr.isatty(),
            resume=resume,
            force=force,
            crew=crew,
        )
        # What the model prints is no data of ours; a forward pass may import, too.
        with redirect_stdout(sys.stderr), import_path(loaded.base):
            sources = Sources(loaded.base, imported)
            job = prepare_job(opened, older, limit=limit, shard=part, sources=sources, place=place)
            if part != WHOLE:
                session.shard(job)
                return Ended(ExitCode.OK)
            result, judgement, failure = session.whole(job)
            if number is not None and failure is None:
                expected = _compare(number, job, output / LEDGER)
    if write_spec is not None:
        write_specification(loaded, write_spec)
    code = announce(result, judgement, output, as_json=as_json, quiet=quiet, expected=expected)
    tell_code(place, code, output)
    ended = Ended(code, error=failure or judgement.error)
    run = judged_run(result, judgement, ended=ended, directory=output, source=loaded.source)
    return replace(ended, runs=[run])


def _load(path: Path | None, *, overrides: Sequence[Override], gates: Sequence[dict[str, Any]]) -> Loaded:
    loaded = load_specification(path, overrides=overrides, gates=gates)
    name_run(loaded.spec.name)
    return loaded


def _score(loaded: Loaded, output: Path, terms: Terms, provenance: dict[str, Any], **rest: Any) -> Ended:
    """Score predictions that are there already, as ``evalkit score`` does."""
    from evalkit.cli.score import score  # noqa: PLC0415 - arrow, not for --help

    for flag, value in (
        ("--limit", rest.pop("limit")),
        ("--expect", rest.pop("expect")),
        ("--shard", rest.pop("shard")),
    ):
        if value is not None:
            raise SpecificationError(f"{flag}: cannot be said of predictions that are there already")
    return score(loaded, output, terms, provenance, **rest)


def _follow(
    place: "Place",
    loaded: Loaded,
    output: Path,
    *,
    limit: int | None,
    trusted: bool,
    imported: frozenset[str],
) -> Ended:
    """Do the share of a rank that does not lead."""
    from evalkit.cli.follow import Asked, follow  # noqa: PLC0415 - torch
    from evalkit.opening import open_specification  # noqa: PLC0415
    from evalkit.sources import Sources  # noqa: PLC0415

    def opened() -> "tuple[Opened, Opened | None]":
        return open_specification(loaded, trusted=trusted), _open_older(loaded)

    sources, timeout = Sources(loaded.base, imported), loaded.spec.run.rank_timeout
    return follow(place, Asked(output, opened, sources, loaded.base, limit, timeout))


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
