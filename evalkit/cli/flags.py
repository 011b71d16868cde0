"""The flags of ``evalkit run`` and ``score``: each is a key of the specification."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from evalkit.cli.console import tell
from evalkit.errors import SpecificationError
from evalkit.rundir import publish_file
from evalkit.spec import Loaded, Override, resolve_path

Flags = Mapping[str, tuple[str, bool, str]]
Command = Callable[..., Any]

# flag -> (key, the value is text as it stands, help)
FLAGS = {
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
    "--precision": ("run.precision", True, "exact, fast (half precision where it cannot matter) or amp."),
    "--workers": ("run.workers", False, "Loader processes."),
    "--rank-timeout": ("run.rank_timeout", False, "Seconds that a rank of torchrun may be silent."),
}
# Those of ``score``: what belongs to results, and the columns of a table.
SCORED = {
    flag: FLAGS[flag]
    for flag in (
        "--name", "--task", "--output-kind", "--classes", "--positive-class", "--threshold",
        "--interval-method", "--cluster", "--slices", "--baseline",
    )
} | {
    "--label": ("data.label", True, "Column of the true class; y_true unless said."),
    "--prediction": ("data.prediction", True, "Column of the predicted class; y_pred unless said."),
    "--scores": ("data.scores", True, "Columns of scores in class order, a,b,c; or named by class, 'p_*'."),
    "--id": ("data.id", True, "Column of sample ids; sample_id unless said."),
    "--count": ("data.count", True, "Column of how many samples a row stands for."),
    "--attributes": ("data.attributes", True, "Further columns to keep: a,b."),
    "--labels-are": ("data.labels_are", True, "names or indices, where a CSV could mean either."),
    "--ids": ("data.ids", True, "check (the default), or trust: do not look for repeated ids."),
}  # fmt: skip
_LISTS = ("--label", "--prediction", "--scores", "--attributes")
_SUFFIXES = {".npz": "npz", ".csv": "table", ".parquet": "table"}


def with_flags(flags: Flags) -> Callable[[Command], Command]:
    """Add every flag to a command."""

    def add(function: Command) -> Command:
        for flag, (_, _, text) in reversed(list(flags.items())):
            function = click.option(flag, help=text)(function)
        return function

    return add


def with_settings(function: Command) -> Command:
    """Add what a specification can be changed by, and saved to."""
    path = click.Path(path_type=Path)
    for option in (
        click.option("--write-spec", type=path, help="Save what was asked for as a file."),
        click.option(
            "--min", "floors", multiple=True, metavar="METRIC=LIMIT", help="Add a gate: accuracy=0.90."
        ),
        click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set any key."),
    ):
        function = option(function)
    return function


def with_verdict(function: Command) -> Command:
    """Add what every command takes that judges."""
    for option in (
        click.option("--debug", is_flag=True, help="Show tracebacks."),
        click.option("--quiet", is_flag=True, help="Print only the outcome."),
        click.option("--json", "as_json", is_flag=True, help="Print a JSON summary instead of the table."),
        click.option("--strict", is_flag=True, help="A warning is a failure."),
        click.option("--allow-same-model", is_flag=True, help="The baseline may be the candidate itself."),
    ):
        function = option(function)
    return function


def overrides(settings: tuple[str, ...], said: dict[str, str | None], *, flags: Flags) -> list[Override]:
    """Return what flags and ``--set`` say, in their order."""
    found = []
    for flag, (key, literal, _) in flags.items():
        value = said[flag.removeprefix("--").replace("-", "_")]
        several = flag in _LISTS and ("," in str(value) or flag == "--attributes")
        if value is not None and flags is SCORED and several:
            found.append(Override(key, json.dumps(value.split(",")), flag))
        elif value is not None:
            found.append(Override(key, value, flag, literal))
    data = said.get("data")
    if data is not None and said["source"] is None:
        found.append(Override("data.source", _source_of(data), "--data", literal=True))
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (key and equals):
            raise click.UsageError(f"--set {setting}: expected KEY=VALUE")
        found.append(Override(key, value, f"--set {setting}"))
    return found


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


def floor(text: str) -> dict[str, Any]:
    """Read ``accuracy=0.90`` as a gate."""
    metric, equals, limit = text.partition("=")
    try:
        return {"metric": metric, "min": float(limit)}
    except ValueError as error:
        expected = "expected METRIC=LIMIT" if not equals else f"{limit!r} is no number"
        raise SpecificationError(f"--min {text}: {expected}") from error


def write_specification(loaded: Loaded, path: Path) -> None:
    """Save what was asked for as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    publish_file(path, loaded.to_yaml(path).encode())
    module = (loaded.spec.model.factory or "").partition(":")[0].partition(".")[0]
    beside = loaded.base / f"{module}.py"
    if beside.exists() and path.parent.resolve() != loaded.base.resolve():
        tell(f"note: {path} looks for {beside.name} beside itself; move one of them")
