"""``evalkit merge``: put the shards of a run together."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from evalkit.cli.judging import announce, finish
from evalkit.cli.publishing import Concluded, flipped_ids, measured, publish_evaluation
from evalkit.cli.stored import stored_baseline, stored_compare
from evalkit.concluding import conclude
from evalkit.errors import OutputError
from evalkit.gallery import GalleryRow
from evalkit.gates import Terms, plan_gates, stored_slices
from evalkit.merging import Merged, Shard, has_baseline, merged, read_shards
from evalkit.parts import BASELINE
from evalkit.picking import pick
from evalkit.provenance import portable_path
from evalkit.rundir import LEDGER, RunDirectory, open_run_directory
from evalkit.spec import SourceMap, validate_gates
from evalkit.verdict import Verdict


@click.command("merge")
@click.argument("shards", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--allow-same-model", is_flag=True, help="The baseline may be the candidate itself.")
@click.option("--strict", is_flag=True, help="A warning is a failure.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON summary instead of the table.")
@click.option("--quiet", is_flag=True, help="Print only the outcome.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_obj
def command(
    words: list[str],
    /,
    *,
    shards: tuple[Path, ...],
    output: Path,
    allow_same_model: bool,
    strict: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,  # noqa: ARG001 - read by the catcher
) -> int:
    """Put the SHARDS of one run together, in any order, and judge it; needs neither model nor torch."""
    if any(output.resolve() == path.resolve() for path in shards):
        raise OutputError(f"{output}: is one of the shards", hint="Name another folder")
    found = read_shards(shards)
    with open_run_directory(output) as directory:
        started = datetime.now(UTC).isoformat(timespec="seconds")
        candidate = _concluded(merged(found), found[0], directory, words, started)
        result = candidate.evaluation.result
        baseline = stored_baseline(result, output)
        if has_baseline(found) and candidate.evaluation.failure is None:
            baseline = measured(_concluded(merged(found, BASELINE), found[0], directory, words, started))
        stored = result.spec.get("gates")
        source = SourceMap(str(found[0].path / "run.json"))
        gates = plan_gates(
            validate_gates({"gates": stored}, source).gates if stored else (),
            result.class_names,
            source,
            task=result.task,
            slices=stored_slices(result),
        )
        terms = Terms(gates, stored_compare(result), allow_same_model=allow_same_model, strict=strict)

        def gallery(verdict: Verdict) -> Sequence[GalleryRow]:
            if (result.spec.get("report") or {}).get("samples") == "none":
                return ()
            return pick(candidate.ledger, flipped_ids(verdict), candidate.evaluation.conflicting)[0]

        judgement = publish_evaluation(
            directory, candidate, terms, baseline, gallery, found[0].run.of_whole()
        )
    code = announce(result, judgement, output, as_json=as_json, quiet=quiet)
    return finish(code, candidate.evaluation.failure or judgement.error)


def _concluded(
    one: Merged, first: Shard, directory: RunDirectory, words: list[str], started: str
) -> Concluded:
    """Compute the numbers; what the first shard says of its machine is said of the run."""
    provenance = dict(first.run.streams["candidate"]["provenance"])
    for key in ("base", "specification"):
        if isinstance(provenance.get(key), str):
            path = first.path / Path(provenance[key]).expanduser()
            provenance[key] = portable_path(path, base=directory.path)
    provenance |= {"command": words, "started": started}
    ledger = directory.temporary(LEDGER)
    evaluation = conclude(one.described, one.parts, one.integrity, ledger=ledger, provenance=provenance)
    return Concluded(evaluation, ledger)
