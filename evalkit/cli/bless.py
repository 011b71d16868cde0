"""``evalkit bless``: make a run the baseline that later ones are compared with."""

from datetime import UTC, datetime
from pathlib import Path

import click

from evalkit.blessing import bless
from evalkit.cli.console import tell


@click.command("bless")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the baseline."
)
@click.option("--by", help="Who says so.")
@click.option("--why", help="For what reason.")
@click.option("--scores", is_flag=True, help="Keep scores too, for gates on losses and AUC.")
@click.option("--quiet", is_flag=True, help="Say nothing.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(
    *,
    directory: Path,
    output: Path,
    by: str | None,
    why: str | None,
    scores: bool,
    quiet: bool,
    debug: bool,  # noqa: ARG001 - read by the catcher
) -> int:
    """Write the run in DIRECTORY as a baseline that is small enough to be committed."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    result = bless(directory, output, by=by, why=why, started=started, scores=scores)
    if not quiet:
        tell(f"blessed: {output} ({result.n_samples} samples)")
    return 0
