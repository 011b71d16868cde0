"""``evalkit export``: a run for other programs."""

from hashlib import sha256
from pathlib import Path

import click

from evalkit.cli.console import emit_data, tell
from evalkit.errors import InvalidRunError
from evalkit.render.exports import Card, partial_words, render_csv, render_dvc, render_model_index
from evalkit.render.markdown import render_markdown
from evalkit.render.view import report_view
from evalkit.result import FILE_NAME, EvalResult, read_result
from evalkit.rundir import publish_file
from evalkit.verdict import Verdict, read_verdict

FORMATS = ("csv", "md", "model-index", "dvc")


@click.command("export")
@click.argument("kind", metavar="FORMAT", type=click.Choice(FORMATS))
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file, not to stdout.")
@click.option("--dataset-name", help="model-index: what the data are called; else the name of their file.")
@click.option("--dataset-type", help="model-index: their name on the Hub; else what kind of source they are.")
@click.option("--split", help="model-index: which part of them.")
@click.option("--url", help="model-index: where the report can be read.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(
    *,
    kind: str,
    directory: Path,
    output: Path | None,
    dataset_name: str | None,
    dataset_type: str | None,
    split: str | None,
    url: str | None,
    debug: bool,  # noqa: ARG001 - read by the catcher
) -> int:
    """Write the run in DIRECTORY as FORMAT: csv, md, model-index (for a model card) or dvc."""
    result = read_result(directory)
    if not result.valid:
        raise InvalidRunError(f"{directory}: the run is invalid, and has no numbers", check="run")
    digest = sha256((directory / FILE_NAME).read_bytes()).hexdigest()
    verdict = read_verdict(directory, result_sha256=digest)
    card = Card(dataset_name, dataset_type, split, url)
    text = _rendered(kind, result, verdict, card)
    if result.partial is not None:
        tell(f"note: {directory}: a partial run, {partial_words(result)}")
    if output is None:
        emit_data(text)
    else:
        publish_file(output, text.encode("utf-8", "backslashreplace"))
    return 0


def _rendered(kind: str, result: EvalResult, verdict: Verdict | None, card: Card) -> str:
    if kind == "csv":
        return render_csv(result)
    if kind == "dvc":
        return render_dvc(result, verdict)
    if kind == "model-index":
        return render_model_index(result, card)
    return render_markdown(report_view(result, verdict))
