"""``evalkit report``: render a run's report again."""

from hashlib import sha256
from pathlib import Path

import click

from evalkit.cli.console import tell
from evalkit.errors import OutputError
from evalkit.render.html import render_html
from evalkit.result import FILE_NAME, read_result
from evalkit.rundir import is_blessed, publish_file
from evalkit.verdict import read_verdict


@click.command("report")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the page here instead.")
@click.option("--quiet", is_flag=True, help="Say nothing.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(*, directory: Path, output: Path | None, quiet: bool, debug: bool) -> int:  # noqa: ARG001
    """Render the report of the run in DIRECTORY from its documents; needs neither model nor torch."""
    result = read_result(directory)
    digest = sha256((directory / FILE_NAME).read_bytes()).hexdigest()
    verdict = read_verdict(directory, result_sha256=digest)
    if output is None and is_blessed(directory):
        raise OutputError(f"{directory}: is a blessed baseline", hint="Name another file with -o")
    page = output or directory / "report.html"
    publish_file(page, render_html(result, verdict))
    if not quiet:
        tell(f"report: {page}")
    return 0
