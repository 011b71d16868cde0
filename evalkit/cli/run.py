"""``evalkit run``: evaluate a model on data."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.baselines import NO_BASELINE, BaselineRun, measured_name, read_baseline
from evalkit.blessing import slim_ledger
from evalkit.cli.console import progress_bar, tell
from evalkit.cli.judging import announce, finish, judged, rendered
from evalkit.errors import SpecificationError
from evalkit.gallery import FILE_NAME as GALLERY
from evalkit.gallery import GalleryRow, write_gallery
from evalkit.gates import Terms, plan_gates
from evalkit.gitref import PREFIX
from evalkit.provenance import collect_provenance
from evalkit.rundir import BASELINE_LEDGER, BASELINE_RESULT, RunDirectory, open_run_directory, publish_file
from evalkit.spec import BaselineCheckpoint, Loaded, Override, load_specification, resolve_path
from evalkit.usercode import import_path
from evalkit.verdict import Verdict

if TYPE_CHECKING:
    from evalkit.expecting import Expectation
    from evalkit.measure import Beside, Evaluation
    from evalkit.opening import Opened
    from evalkit.setup import Setup

# flag -> (key, the value is text as it stands, help)
_FLAGS = {
    "--name": ("name", True, "Name of the run."),
    "--task": ("task", True, "binary, multiclass or multilabel."),
    "--model": (
        "model.factory",
        True,
        "module:callable, torchvision:NAME[/WEIGHTS], timm:NAME or transformers:DIR.",
    ),
    "--model-args": ("model.args", False, "Keyword arguments of the factory, as {key: value}."),
    "--checkpoint": ("model.checkpoint", True, "The weights: .pt, .pth or .safetensors."),
    "--weights": ("model.weights", True, "Which set of weights, where the checkpoint holds several."),
    "--sha256": ("model.sha256", True, "Pin of the checkpoint."),
    "--output-kind": ("model.output", True, "What the model returns: logits, probabilities or scores."),
    "--select": ("model.select", False, "Index or key of the scores in the model's output."),
    "--classes": ("model.classes", False, "FILE, checkpoint:KEY, folder:TRAINING_DIR, data, or [a, b]."),
    "--class-order": ("model.class_order", True, "torchvision or natural, for folders named by numbers."),
    "--positive-class": ("model.positive_class", True, "Of a binary task."),
    "--threshold": ("model.threshold", False, "Of a binary or multilabel task."),
    "--data": ("data.path", True, "A folder, .npz, .csv, .parquet, or module:callable."),
    "--source": ("data.source", True, "npz, folder, table or factory; else by what --data is."),
    "--preprocess": ("data.preprocess", False, "{resize: 256, crop: 224, ...}, module:object or library."),
    "--attributes": ("data.attributes", True, "Table with a column file_name, joined to a folder."),
    "--on-unreadable": ("data.on_unreadable", True, "refuse or exclude."),
    "--interval-method": ("metrics.interval_method", True, "closed or bootstrap."),
    "--cluster": ("metrics.cluster", True, "Attribute of samples that depend on each other."),
    "--slices": ("data.slices", False, "Attributes to slice by: [ink, [ink, writer], {age: [18, 65]}]."),
    "--baseline": ("baseline", True, "Run directory to compare with, git:REF:PATH, or none."),
    "--samples": ("report.samples", True, "What the page shows of samples: none, ids or thumbnails."),
    "--device": ("run.device", True, "auto, cpu, cuda, cuda:1 or mps."),
    "--batch-size": ("run.batch_size", False, "Samples a batch."),
    "--audit": ("run.audit", True, "standard, full or off: ask the model again, in other batches."),
    "--workers": ("run.workers", False, "Loader processes."),
}
_SUFFIXES = {".npz": "npz", ".csv": "table", ".parquet": "table"}


def _with_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    for flag, (_, _, text) in reversed(_FLAGS.items()):
        function = click.option(flag, help=text)(function)
    return function


@click.command("run")
@click.argument("specification", type=click.Path(path_type=Path), required=False)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@_with_flags
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set any key.")
@click.option("--min", "floors", multiple=True, metavar="METRIC=LIMIT", help="Add a gate: accuracy=0.90.")
@click.option("--write-spec", type=click.Path(path_type=Path), help="Save what was asked for as a file.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N samples; judges nothing.")
@click.option("--allow-same-model", is_flag=True, help="The baseline may be the candidate itself.")
@click.option(
    "--trust-checkpoint", is_flag=True, help="Run the code of a checkpoint that holds a whole model."
)
@click.option("--expect", metavar="METRIC=NUMBER", help="Ask why another number was seen: accuracy=0.9134.")
@click.option("--strict", is_flag=True, help="A warning is a failure.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON summary instead of the table.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_obj
def command(
    words: list[str],
    /,
    *,
    specification: Path | None,
    output: Path,
    settings: tuple[str, ...],
    floors: tuple[str, ...],
    write_spec: Path | None,
    limit: int | None,
    allow_same_model: bool,
    trust_checkpoint: bool,
    expect: str | None,
    strict: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,  # noqa: ARG001 - read by the catcher
    **flags: str | None,
) -> int:
    """Evaluate a model and judge its gates: SPECIFICATION says what, flags are its keys."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    loaded = load_specification(
        specification, overrides=_overrides(settings, flags), gates=[_floor(text) for text in floors]
    )
    baseline = _baseline(loaded)
    expected = None
    with open_run_directory(output) as directory:
        from evalkit.integrity import IntegrityLog  # noqa: PLC0415
        from evalkit.measure import measure  # noqa: PLC0415 - torch, not for --help
        from evalkit.opening import open_specification  # noqa: PLC0415
        from evalkit.prepare import prepare  # noqa: PLC0415

        number = None if expect is None else _expectation(expect, loaded)
        opened = open_specification(loaded, trusted=trust_checkpoint)
        older = _open_older(loaded)
        terms = Terms(
            plan_gates(
                loaded.spec.gates,
                opened.class_names,
                loaded.source,
                task=loaded.spec.task,
                slices=loaded.spec.data.slices,
            ),
            loaded.spec.compare,
            allow_same_model=allow_same_model,
            strict=strict,
        )
        ledger, integrity = directory.temporary("predictions.parquet"), IntegrityLog()
        provenance = collect_provenance(
            command=words, specification=specification, base=loaded.base, directory=output, started=started
        )
        # What the model prints is no data of ours.
        with (
            redirect_stdout(sys.stderr),
            import_path(loaded.base),  # a forward pass may import, too
            progress_bar(loaded.spec.name, quiet=quiet) as progress,
        ):
            setup = prepare(opened, integrity)
            beside = None if older is None else _beside(older, setup, directory)
            if not quiet:
                tell(f"preprocessing: {setup.model_facts['preprocessing']}")
            evaluation = measure(
                setup,
                integrity=integrity,
                ledger=ledger,
                provenance=provenance,
                clock=time.perf_counter,
                progress=progress,
                limit=limit,
                beside=beside,
            )
        document = evaluation.result.to_json()
        if beside is not None and beside.evaluation is not None:
            baseline = _measured(beside.evaluation, beside.ledger)
        verdict = judged(evaluation.result, document, terms, baseline, ledger=ledger)
        parts: dict[str, bytes | Path] = {}
        rows: tuple[GalleryRow, ...] = ()
        if evaluation.failure is None:
            parts["predictions.parquet"] = ledger
            if number is not None:
                expected = _compare(number, setup, ledger, opened)
            rows = _gallery(
                setup, ledger, verdict.verdict, loaded.spec.report.samples, evaluation.conflicting
            )
            if rows:
                gallery = directory.temporary(GALLERY)
                write_gallery(gallery, rows)
                parts[GALLERY] = gallery
            scores = directory.temporary("scores.npz")
            if evaluation.bins.write(scores):
                parts["scores.npz"] = scores
        judgement = rendered(evaluation.result, verdict, rows)
        directory.publish({**parts, "result.json": document, **judgement.documents()})
    if write_spec is not None:
        _write_specification(loaded, write_spec)
    code = announce(evaluation.result, judgement, output, as_json=as_json, quiet=quiet, expected=expected)
    return finish(code, evaluation.failure or judgement.error)


def _expectation(text: str, loaded: Loaded) -> "Expectation":
    from evalkit.expecting import parse_expectation  # noqa: PLC0415 - torch

    if loaded.spec.task == "multilabel" or loaded.spec.metrics.unit is not None:
        raise SpecificationError("--expect: is asked of samples with one class each")
    return parse_expectation(text)


def _compare(number: "Expectation", setup: "Setup", ledger: Path, opened: "Opened") -> dict[str, Any]:
    from evalkit.expecting import compare_with  # noqa: PLC0415 - torch

    with redirect_stdout(sys.stderr), import_path(opened.loaded.base):
        return compare_with(
            number,
            setup,
            ledger,
            checkpoint=None if opened.trusted else opened.checkpoint,
            taken=setup.model_facts.get("weights"),
        )


def _baseline(loaded: Loaded) -> BaselineRun | None:
    named = loaded.spec.baseline
    if not isinstance(named, str):
        return None
    plain = named == NO_BASELINE or named.startswith(PREFIX)
    return read_baseline(named if plain else str(loaded.resolve(named).absolute()), base=loaded.base)


def _gallery(
    setup: "Setup", ledger: Path, verdict: Verdict, allowed: str | None, conflicting: Sequence[int]
) -> tuple[GalleryRow, ...]:
    """Choose samples that a reader wants to see: pictures at a terminal, names elsewhere, unless said."""
    from evalkit.picking import are_images, pick, shown  # noqa: PLC0415 - torch

    if allowed == "none":
        return ()
    flips = (verdict.comparison or {}).get("flips") or {}
    rows, positions = pick(ledger, flips.get("negative_ids") or (), conflicting)
    terminal = sys.stderr is not None and sys.stderr.isatty()
    pictures = allowed is None and terminal and are_images(setup.source)
    if allowed == "thumbnails" or pictures:
        return shown(setup.source, rows, positions)
    return rows


def _open_older(loaded: Loaded) -> "Opened | None":
    """Open the baseline that is measured in the same command; None where it is none of that kind."""
    from evalkit.opening import open_specification  # noqa: PLC0415 - torch

    named = loaded.spec.baseline
    return open_specification(loaded.beside(named)) if isinstance(named, BaselineCheckpoint) else None


def _beside(older: "Opened", setup: "Setup", directory: RunDirectory) -> "Beside":
    """Build the baseline's model over the candidate's data."""
    from evalkit.integrity import IntegrityLog  # noqa: PLC0415
    from evalkit.measure import Beside  # noqa: PLC0415 - torch
    from evalkit.prepare import prepare  # noqa: PLC0415

    integrity = IntegrityLog()
    return Beside(prepare(older, integrity, beside=setup), integrity, directory.temporary("baseline.parquet"))


def _measured(evaluation: "Evaluation", ledger: Path) -> BaselineRun:
    """Return the baseline that was measured, with the documents that the run keeps of it."""
    result = evaluation.result
    documents: dict[str, bytes | Path] = {BASELINE_RESULT: result.to_json()}
    if evaluation.failure is None:
        documents[BASELINE_LEDGER] = slim_ledger(ledger, scores=True)
    return BaselineRun(result, ledger, measured_name(result.spec), documents)


def _write_specification(loaded: Loaded, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    publish_file(path, loaded.to_yaml(path).encode())
    module = (loaded.spec.model.factory or "").partition(":")[0].partition(".")[0]
    beside = loaded.base / f"{module}.py"
    if beside.exists() and path.parent.resolve() != loaded.base.resolve():
        tell(f"note: {path} looks for {beside.name} beside itself; move one of them")


def _overrides(settings: tuple[str, ...], flags: dict[str, str | None]) -> list[Override]:
    overrides = []
    for flag, (key, literal, _) in _FLAGS.items():
        value = flags[flag.removeprefix("--").replace("-", "_")]
        if value is not None:
            overrides.append(Override(key, value, flag, literal))
    data = flags["data"]
    if data is not None and flags["source"] is None:
        overrides.append(Override("data.source", _source_of(data), "--data", literal=True))
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (key and equals):
            raise click.UsageError(f"--set {setting}: expected KEY=VALUE")
        overrides.append(Override(key, value, f"--set {setting}"))
    return overrides


def _source_of(data: str) -> str:
    """Tell the source by what ``--data`` names; nothing inside is looked at."""
    path = resolve_path(data, Path())
    if path.is_dir():
        return "folder"
    if path.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[path.suffix.lower()]
    module, colon, name = data.partition(":")
    if colon and module.replace(".", "").isidentifier() and name.replace(".", "").isidentifier():
        return "factory"
    if not path.exists():
        raise SpecificationError(f"--data {data}: no such folder, .npz, .csv, .parquet or module:callable")
    raise SpecificationError(f"--data {data}: cannot tell what this is", hint="Say --source")


def _floor(text: str) -> dict[str, Any]:
    """Read ``accuracy=0.90`` as a gate."""
    metric, equals, limit = text.partition("=")
    try:
        return {"metric": metric, "min": float(limit)}
    except ValueError as error:
        expected = "expected METRIC=LIMIT" if not equals else f"{limit!r} is no number"
        raise SpecificationError(f"--min {text}: {expected}") from error
