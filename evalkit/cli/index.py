"""``evalkit index``: one page over many runs."""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import click

from evalkit.cli.console import emit, tell
from evalkit.errors import DocumentError, EvalkitError
from evalkit.render.html import render_page
from evalkit.render.index import IndexView, Run, index_view
from evalkit.render.text import table
from evalkit.result import FILE_NAME, read_result
from evalkit.rundir import publish_file
from evalkit.verdict import read_verdict


@click.command("index")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write the page here, not DIR/index.html."
)
@click.option("--templates", type=click.Path(path_type=Path), help="A folder of templates of your own.")
@click.option("--quiet", is_flag=True, help="Say nothing.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(*, directory: Path, output: Path | None, templates: Path | None, quiet: bool, debug: bool) -> int:  # noqa: ARG001
    """Write one page over all runs below DIRECTORY, the worst first; damaged ones are on it, too."""
    if not directory.is_dir():
        raise DocumentError(f"{directory}: no such folder")
    runs = [_run(folder, directory) for folder in _folders(directory)]
    if not runs:
        raise DocumentError(f"{directory}: no run below it", hint="A run holds a result.json")
    view, page = index_view(runs), output or directory / "index.html"
    publish_file(page, render_page("index.html.j2", templates=templates, view=view))
    if not quiet:
        emit(_text(view))
        tell(f"index: {page}")
    return 0


def _folders(directory: Path) -> Iterator[Path]:
    """Yield every folder with a result in it, in order; links are not followed."""
    for found, folders, files in os.walk(directory):
        folders.sort()
        if FILE_NAME in files:
            yield Path(found)


def _run(folder: Path, directory: Path) -> Run:
    name = folder.relative_to(directory).as_posix()
    try:
        result = read_result(folder)
        digest = sha256((folder / FILE_NAME).read_bytes()).hexdigest()
        return Run(name, result, read_verdict(folder, result_sha256=digest))
    except (EvalkitError, OSError) as error:
        return Run(name, None, problem=str(error))


def _text(view: IndexView) -> str:
    lines = [
        [line.word, line.name, line.value, line.interval, line.samples, line.date, line.age]
        for line in view.lines
    ]
    return f"{view.heading}\n{table(['', 'run', 'right', 'interval', 'samples', 'date', ''], lines)}"
