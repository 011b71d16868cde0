"""``evalkit compare``: two runs on the same samples, side by side."""

from pathlib import Path
from typing import Any

import click

from evalkit.blessing import read_blessing
from evalkit.cli.console import emit, emit_json
from evalkit.compare import Pair, Tables, pair
from evalkit.compare.document import comparison
from evalkit.display import MAX_TEXT, visible
from evalkit.errors import IncomparableError, listed
from evalkit.render.comparison import render_comparison
from evalkit.result import read_result
from evalkit.rundir import LEDGER, is_blessed


@click.command("compare")
@click.argument("baseline", type=click.Path(path_type=Path))
@click.argument("candidate", type=click.Path(path_type=Path))
@click.option("--level", type=click.FloatRange(0.5, 0.999999), default=0.95, help="Of the intervals.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(*, baseline: Path, candidate: Path, level: float, as_json: bool, debug: bool) -> int:  # noqa: ARG001
    """Compare two runs; exits 0 whatever the numbers, and judges nothing."""
    if is_blessed(baseline):
        read_blessing(baseline)
    old, new = read_result(baseline), read_result(candidate)
    found = pair(
        new, old, allow_same_model=True, tables=Tables.of(candidate / LEDGER, baseline / LEDGER, new)
    )
    _check(found)
    document: dict[str, Any] = {
        "baseline": {"name": old.name, "signature": old.signature},
        "candidate": {"name": new.name, "signature": new.signature},
        "warnings": list(found.warnings),
        **comparison(found, level=level),
    }
    if as_json:
        emit_json(document)
    else:
        emit(render_comparison(document))
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
