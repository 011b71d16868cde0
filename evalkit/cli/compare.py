"""``evalkit compare``: two runs on the same samples, side by side."""

from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import click

from evalkit.blessing import read_blessing
from evalkit.cli.console import emit, emit_json
from evalkit.cli.numbers import Finite
from evalkit.compare import Pair, pair, tables_of
from evalkit.compare.document import comparison
from evalkit.display import MAX_TEXT, visible
from evalkit.errors import IncomparableError, OutputError, listed, os_reason
from evalkit.gallery import read_gallery
from evalkit.render.comparison import comparison_view
from evalkit.render.html import render_html
from evalkit.render.terms import Terms
from evalkit.render.text import render_comparison
from evalkit.result import FILE_NAME as RESULT
from evalkit.result import EvalResult, read_result
from evalkit.rundir import LEDGER, is_blessed, publish_file
from evalkit.runfile import check_finished
from evalkit.spec import CompareSpec
from evalkit.verdict import Baseline, Verdict

_PAGE, _DOCUMENT = "report.html", "verdict.json"


@click.command("compare")
@click.argument("baseline", type=click.Path(path_type=Path))
@click.argument("candidate", type=click.Path(path_type=Path))
@click.option("--level", type=Finite(0.5, 0.999999), default=0.95, help="Of the intervals.")
@click.option(
    "--on-changed-data",
    type=click.Choice(["refuse", "common"]),
    default="refuse",
    help="Compare the samples that both hold.",
)
@click.option("--min-common", type=Finite(0, 1, min_open=True), default=0.9, help="How many that must be.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the page of both into a folder.")
@click.option("--flips", "flip_file", type=click.Path(path_type=Path), help="Write every flip as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(
    *,
    baseline: Path,
    candidate: Path,
    level: float,
    on_changed_data: Literal["refuse", "common"],
    min_common: float,
    output: Path | None,
    flip_file: Path | None,
    as_json: bool,
    debug: bool,  # noqa: ARG001 - read by the catcher
) -> int:
    """Compare two runs; exits 0 whatever the numbers, and judges nothing."""
    if is_blessed(baseline):
        read_blessing(baseline)
    old, new = read_result(baseline), read_result(candidate)
    for folder in (baseline, candidate):
        check_finished(folder)
    found = pair(
        new,
        old,
        allow_same_model=True,
        tables=tables_of(new, old, candidate / LEDGER, baseline / LEDGER),
        compare=CompareSpec(on_changed_data=on_changed_data, min_common=min_common),
    )
    _check(found)
    compared = comparison(found, level=level)
    document: dict[str, Any] = {
        "baseline": {"name": old.name, "signature": old.signature},
        "candidate": {"name": new.name, "signature": new.signature},
        "warnings": list(found.remarks.warnings),
        "notes": list(found.remarks.notes),
        **compared,
    }
    if flip_file is not None:
        publish_file(flip_file, _flip_table(found))
    if output is not None:
        _write_page(output, found, compared, new, candidate)
    if as_json:
        emit_json(document)
    else:
        view = comparison_view(document, baseline=old.name, signature=old.signature, terms=Terms())
        said = [f"warning: {visible(one, limit=MAX_TEXT)}" for one in found.remarks.warnings]
        said += [f"note: {visible(one, limit=MAX_TEXT)}" for one in found.remarks.notes]
        emit(
            render_comparison(
                view, title=f"{visible(new.name)} against {visible(old.name)}", level=level, said=said
            )
        )
    return 0


def _check(found: Pair) -> None:
    """Raise where the two runs do not answer the same question."""
    problems = list(found.differences)
    if not found.candidate.valid:
        problems.append("the candidate is an invalid run")
    if found.candidate.partial is not None:
        problems.append("the candidate is a partial run")
    if problems:
        signatures = (visible(one.signature, limit=MAX_TEXT) for one in (found.baseline, found.candidate))
        raise IncomparableError(
            f"the two runs cannot be compared: {listed(problems)} (baseline {next(signatures)}; "
            f"candidate {next(signatures)})"
        )


def _flip_table(found: Pair) -> bytes:
    """Return every flip as CSV: the sample, its class, and what both models said."""
    if found.tables is None:
        raise IncomparableError("flips need both runs' per-sample tables")
    from evalkit.compare.flips import flip_table  # noqa: PLC0415 - arrow

    return flip_table(found.tables.joined(), found.candidate.class_names).encode()


def _write_page(
    output: Path, found: Pair, compared: dict[str, Any], candidate: EvalResult, directory: Path
) -> None:
    """Write the candidate's page with the comparison, and the comparison, into a folder of their own."""
    others = {path.name for path in output.iterdir()} - {_PAGE, _DOCUMENT} if output.is_dir() else set()
    if others or (output.exists() and not output.is_dir()):
        raise OutputError(f"{output}: holds something else", hint="Name a new or empty folder")
    verdict = Verdict(
        name=candidate.name,
        outcome="none",
        valid=candidate.valid,
        checks=(),
        warnings=found.remarks.warnings,
        notes=found.remarks.notes,
        signature=candidate.signature,
        result_sha256=sha256((directory / RESULT).read_bytes()).hexdigest(),
        baseline=Baseline(
            name=found.baseline.name,
            path="",
            signature=found.baseline.signature,
            digests=found.baseline.digests,
        ),
        comparison=compared,
    )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{output}: cannot be made: {os_reason(error)}") from error
    publish_file(output / _DOCUMENT, verdict.to_json())
    publish_file(output / _PAGE, render_html(candidate, verdict, read_gallery(directory)))
