"""``evalkit manifest``: the prints of a training set, to be looked for among what is evaluated."""

import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from evalkit.cli.console import check_current_folder, emit, progress_bar
from evalkit.provenance import portable_path
from evalkit.rundir import publish_file
from evalkit.spec import Override, load_specification


@click.command("manifest")
@click.argument("data")
@click.option(
    "--like",
    "specification",
    required=True,
    type=click.Path(path_type=Path),
    help="The specification that evaluates: DATA is read and preprocessed as its own data.",
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The manifest.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(*, data: str, specification: Path, output: Path, quiet: bool, debug: bool) -> int:  # noqa: ARG001
    """Write what a model is fed of DATA, as 8 bytes a sample.

    Named as data.train_manifest, it tells how many evaluated samples are among DATA: exact copies, that is.
    """
    from evalkit.inference.prints import prints_of  # noqa: PLC0415 - torch, not for --help
    from evalkit.integrity import IntegrityLog  # noqa: PLC0415
    from evalkit.manifest import Manifest, format_manifest  # noqa: PLC0415 - numpy
    from evalkit.opening import open_specification  # noqa: PLC0415
    from evalkit.prepare import prepare  # noqa: PLC0415
    from evalkit.setup import floating_dtype  # noqa: PLC0415

    check_current_folder()
    changes = [Override("data.path", data, "DATA", literal=True)]
    loaded = load_specification(specification, overrides=changes)
    loaded = loaded.updated({"data": {"train_manifest": None}}, where=str(specification))
    with redirect_stdout(sys.stderr), progress_bar(data, quiet=quiet) as progress:
        setup = prepare(open_specification(loaded), IntegrityLog())
        prints = prints_of(
            setup.source,
            batch_size=setup.batch_size,
            workers=setup.workers,
            dtype=floating_dtype(setup.model),
            progress=progress,
        )
    manifest = Manifest(prints, setup.model_facts["preprocessing"])
    output.parent.mkdir(parents=True, exist_ok=True)
    publish_file(output, format_manifest(manifest))
    emit(f"{len(prints):,} inputs of {portable_path(Path(data), base=Path())} in {output}\n")
    return 0
