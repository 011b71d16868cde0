"""``evalkit score``: judge predictions that are there already, whoever made them."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from evalkit.cli.ci import Ended, judged_run, name_run, with_ci
from evalkit.cli.console import check_current_folder, progress_bar, tell
from evalkit.cli.flags import (
    SCORED,
    floor,
    overrides,
    with_flags,
    with_settings,
    with_verdict,
    write_specification,
)
from evalkit.cli.judging import announce
from evalkit.cli.kinds import CiOptions
from evalkit.cli.publishing import flipped_ids, publish_evaluation
from evalkit.cli.stored import named_baseline
from evalkit.display import visible
from evalkit.errors import SpecificationError
from evalkit.gallery import GalleryRow
from evalkit.gates import Terms, plan_gates
from evalkit.picking import pick
from evalkit.provenance import collect_provenance
from evalkit.rundir import LEDGER, RunDirectory, open_run_directory
from evalkit.scoring import OpenedTable, OwnRun, Scored, open_scores, own_run, score_table
from evalkit.spec import PREDICTIONS, Loaded, Override, load_specification
from evalkit.verdict import Verdict


@click.command("score")
@click.argument("table", type=click.Path(path_type=Path), required=False)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--spec", "specification", type=click.Path(path_type=Path), help="A file that says the rest.")
@with_flags(SCORED)
@with_settings
@with_verdict
@click.pass_obj
@with_ci
def command(
    words: list[str],
    /,
    *,
    table: Path | None,
    output: Path,
    specification: Path | None,
    settings: tuple[str, ...],
    floors: tuple[str, ...],
    write_spec: Path | None,
    allow_same_model: bool,
    strict: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,  # noqa: ARG001 - read by the catcher
    ci: CiOptions,  # noqa: ARG001 - read by its decorator
    **flags: str | None,
) -> Ended:
    """Score the predictions in TABLE: a CSV, TSV, Parquet file or folder, an NPZ archive, or a run."""
    check_current_folder()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    own = None if table is None or specification is not None else own_run(table)
    said = overrides(settings, flags, flags=SCORED)
    path = table if own is None else own.table
    if path is not None:
        said = [
            Override("data.source", PREDICTIONS, "TABLE", literal=True),
            Override("data.path", str(path), "TABLE", literal=True),
            *said,
        ]
    elif specification is None:
        raise SpecificationError("TABLE: what is to be scored?", hint="Name a table, or a file with --spec")
    known = {"name": path.stem} if path is not None and own is None else {}
    loaded = load_specification(
        specification,
        overrides=said,
        gates=[floor(text) for text in floors],
        known=known if own is None else own.spec,
    )
    name_run(loaded.spec.name)
    if loaded.spec.data.source != PREDICTIONS:
        raise loaded.source.error(("data", "source"), f"must be {PREDICTIONS}", hint="Say evalkit run")
    provenance = collect_provenance(
        command=words, specification=specification, base=loaded.base, directory=output, started=started
    )
    terms = Terms((), loaded.spec.compare, allow_same_model=allow_same_model, strict=strict)
    ended = score(loaded, output, terms, provenance, own=own, as_json=as_json, quiet=quiet)
    if write_spec is not None:
        write_specification(loaded, write_spec)
    return ended


def score(
    loaded: Loaded,
    output: Path,
    terms: Terms,
    provenance: dict[str, Any],
    *,
    own: OwnRun | None = None,
    as_json: bool,
    quiet: bool,
) -> Ended:
    """Score the table of a specification, judge it, and write its documents.

    Args:
        loaded: The specification.
        output: The folder of the run.
        terms: How it is judged; the gates are the specification's.
        provenance: Facts about machine and command.
        own: The run that the table belongs to, if it is evalkit's own.
        as_json, quiet: How to print.
    """
    baseline = named_baseline(loaded)
    with open_run_directory(output) as directory:
        opened = open_scores(loaded, own)
        terms = replace(terms, planned=_planned(opened))
        if not quiet:
            tell(_columns(opened))
        scored = _score(opened, directory, provenance, quiet=quiet)
        judgement = publish_evaluation(directory, scored, terms, baseline, partial(_gallery, loaded, scored))
    code = announce(scored.result, judgement, output, as_json=as_json, quiet=quiet)
    ended = Ended(code, error=judgement.error)
    run = judged_run(scored.result, judgement, ended=ended, directory=output, source=loaded.source)
    return replace(ended, runs=[run])


def _planned(opened: OpenedTable) -> Any:
    spec = opened.loaded.spec
    return plan_gates(
        spec.gates, opened.class_names, opened.loaded.source, task=spec.task, slices=spec.data.slices
    )


def _score(
    opened: OpenedTable, directory: RunDirectory, provenance: dict[str, Any], *, quiet: bool
) -> Scored:
    n_rows = opened.table.n_rows() or 0
    with (
        tempfile.TemporaryDirectory(prefix=directory.temporary("ids").name, dir=directory.path) as folder,
        progress_bar(opened.loaded.spec.name, quiet=quiet) as progress,
    ):
        return score_table(
            opened,
            ledger=directory.temporary(LEDGER),
            folder=Path(folder),
            provenance=provenance,
            progress=lambda done: progress(done, n_rows),
        )


def _gallery(loaded: Loaded, scored: Scored, verdict: Verdict) -> Sequence[GalleryRow]:
    """Choose samples that a reader wants to see, by name: their inputs are not here."""
    if loaded.spec.report.samples == "none" or scored.table is None:
        return ()
    return pick(scored.table, flipped_ids(verdict), matrix=scored.matrix)[0]


def _columns(opened: OpenedTable) -> str:
    """Say which columns were taken for what."""
    columns = opened.columns
    if columns.own:
        return f"{opened.table.path}: a table of evalkit's own"
    found = {
        "label": columns.label,
        "prediction": columns.prediction,
        "scores": columns.scores,
        "id": (columns.id,) if columns.id else (),
        "count": (columns.count,) if columns.count else (),
    }
    parts = [f"{what} {', '.join(map(visible, names))}" for what, names in found.items() if names]
    assumed = f"; classes as they occur: {len(opened.class_names)}" if opened.assumed else ""
    trusted = "; ids are trusted" if columns.id and opened.loaded.spec.data.ids == "trust" else ""
    return f"columns: {'; '.join(parts)}{assumed}{trusted}{_unused(opened)}"


def _unused(opened: OpenedTable) -> str:
    """Point at a column that may say how many samples a row stands for."""
    name = opened.unused_count
    return "" if name is None else f"; {name} is not used: --count {name}, if rows stand for many samples"
