"""``evalkit run``: evaluate a model on data."""

import re
from datetime import UTC, datetime
from pathlib import Path

import click

from evalkit.cli.ci import Ended, name_run, with_ci
from evalkit.cli.console import check_current_folder
from evalkit.cli.evaluating import WHOLE, Call, evaluate
from evalkit.cli.flags import (
    FLAGS,
    floor,
    overrides,
    with_flags,
    with_settings,
    with_verdict,
    write_specification,
)
from evalkit.cli.kinds import CiOptions
from evalkit.cli.many import run_many
from evalkit.cli.models import check_patterns
from evalkit.cli.ranks import check_single, check_whole, place_here
from evalkit.errors import SpecificationError
from evalkit.gates import Terms
from evalkit.provenance import collect_provenance
from evalkit.spec import load_specification


@click.command("run")
@click.argument("specifications", metavar="[SPECIFICATION]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the run, or of several."
)
@with_flags(FLAGS)
@with_settings
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N samples; judges nothing.")
@click.option("--shard", metavar="I/N", help="Only the I-th of N shards, from 1; evalkit merge joins them.")
@click.option("--resume", is_flag=True, help="Go on with a run that was stopped in the same folder.")
@click.option("--force", is_flag=True, help="Compute again, even if nothing changed.")
@click.option(
    "--trust-checkpoint", is_flag=True, help="Run the code of a checkpoint that holds a whole model."
)
@click.option("--expect", metavar="METRIC=NUMBER", help="Ask why another number was seen: accuracy=0.9134.")
@click.option("-v", "--verbose", is_flag=True, help="Of several models, show on stderr what each prints.")
@with_verdict
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
    loaded = load_specification(specification, overrides=said, gates=further)
    name_run(loaded.spec.name)
    provenance = collect_provenance(
        command=words, specification=specification, base=loaded.base, directory=output, started=started
    )
    call = Call(
        loaded,
        output,
        Terms((), loaded.spec.compare, allow_same_model=allow_same_model, strict=strict),
        provenance,
        place,
        limit=limit,
        shard=_shard(shard, ci),
        expect=expect,
        trusted=trust_checkpoint,
        resume=resume,
        force=force,
        as_json=as_json,
        quiet=quiet,
    )
    ended = evaluate(call)
    if write_spec is not None and (place is None or not place.rank):
        write_specification(loaded, write_spec)
    return ended


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
