"""``evalkit compare``: two runs on the same samples, side by side."""

from pathlib import Path
from typing import Any, Literal

import click

from evalkit.blessing import read_blessing
from evalkit.cli.console import emit, emit_json
from evalkit.cli.numbers import Finite
from evalkit.compare import Pair, pair, tables_of
from evalkit.compare.document import comparison
from evalkit.display import MAX_TEXT, visible
from evalkit.errors import IncomparableError, listed
from evalkit.render.comparison import comparison_view
from evalkit.render.terms import Terms
from evalkit.render.text import render_comparison
from evalkit.result import read_result
from evalkit.rundir import LEDGER, is_blessed, publish_file
from evalkit.spec import CompareSpec


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
    flip_file: Path | None,
    as_json: bool,
    debug: bool,  # noqa: ARG001 - read by the catcher
) -> int:
    """Compare two runs; exits 0 whatever the numbers, and judges nothing."""
    if is_blessed(baseline):
        read_blessing(baseline)
    old, new = read_result(baseline), read_result(candidate)
    found = pair(
        new,
        old,
        allow_same_model=True,
        tables=tables_of(new, old, candidate / LEDGER, baseline / LEDGER),
        compare=CompareSpec(on_changed_data=on_changed_data, min_common=min_common),
    )
    _check(found)
    document: dict[str, Any] = {
        "baseline": {"name": old.name, "signature": old.signature},
        "candidate": {"name": new.name, "signature": new.signature},
        "warnings": list(found.remarks.warnings),
        "notes": list(found.remarks.notes),
        **comparison(found, level=level),
    }
    if flip_file is not None:
        publish_file(flip_file, _flip_table(found))
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
