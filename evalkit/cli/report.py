"""``evalkit report``: render a run's report again, in whatever form."""

from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

import click

from evalkit.cli.console import tell
from evalkit.errors import OutputError
from evalkit.gallery import read_gallery
from evalkit.render.html import render_html
from evalkit.render.markdown import render_markdown
from evalkit.render.pdf import print_pdf
from evalkit.render.redact import Documents, redacted
from evalkit.render.view import report_view
from evalkit.result import FILE_NAME, read_result
from evalkit.rundir import is_blessed, open_run_directory, publish_file
from evalkit.verdict import read_verdict


@click.command("report")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the page here instead.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the summary as Markdown, too.")
@click.option("--pdf", type=click.Path(path_type=Path), help="Print the page, too; needs a Chrome or Edge.")
@click.option(
    "--samples", type=click.Choice(["none", "ids"]), help="Leave samples, or their pictures, out of the page."
)
@click.option("--hash-ids", is_flag=True, help="Replace the names of samples by hashes.")
@click.option("--templates", type=click.Path(path_type=Path), help="A folder of templates of your own.")
@click.option("--quiet", is_flag=True, help="Say nothing.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(
    *,
    directory: Path,
    output: Path | None,
    markdown: Path | None,
    pdf: Path | None,
    samples: str | None,
    hash_ids: bool,
    templates: Path | None,
    quiet: bool,
    debug: bool,  # noqa: ARG001 - read by the catcher
) -> int:
    """Render the report of the run in DIRECTORY from its documents; needs neither model nor torch."""
    if output is None and is_blessed(directory):
        raise OutputError(f"{directory}: is a blessed baseline", hint="Name another file with -o")
    with ExitStack() as stack:
        if output is None and (directory / FILE_NAME).exists():
            # Nobody may replace the documents between reading them and writing their page.
            stack.enter_context(open_run_directory(directory))
        result = read_result(directory)
        digest = sha256((directory / FILE_NAME).read_bytes()).hexdigest()
        verdict = read_verdict(directory, result_sha256=digest)
        documents = Documents(result, verdict, read_gallery(directory))
        found = redacted(documents, samples=samples, hash_ids=hash_ids)
        page = output or directory / "report.html"
        content = render_html(found.result, found.verdict, found.gallery, templates=templates)
        publish_file(page, content)
    written = [page]
    if markdown is not None:
        publish_file(
            markdown,
            render_markdown(report_view(found.result, found.verdict)).encode("utf-8", "backslashreplace"),
        )
        written.append(markdown)
    if pdf is not None:
        print_pdf(content, pdf)
        written.append(pdf)
    if not quiet:
        for path in written:
            tell(f"report: {path}")
    return 0
