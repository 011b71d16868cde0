"""Several specifications of one command: what each model is called, and in which folder its run lies."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.cli.console import tell
from evalkit.cli.kinds import is_for_ci
from evalkit.display import visible
from evalkit.errors import OutputError, SpecificationError, os_reason
from evalkit.files import TEMPORARY
from evalkit.rundir import check_replaceable, is_run
from evalkit.spec import Loaded, Override, extended_file, load_specification

INDEX = "index.html"
_MAX_NAME = 100
_PLAIN = re.compile(r"[\w-][\w.-]*")
# Windows opens these devices whatever follows a dot.
_DEVICE = re.compile(r"con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]")
_PATTERN = re.compile(r"[*?\[]")
_OURS = b"<title>evalkit: "


@dataclass(frozen=True, slots=True)
class Model:
    """One model of a command.

    Attributes:
        name: Of its folder, too.
        path: Its specification.
        loaded: The same, read; None where it cannot be.
        error: Why not.
    """

    name: str
    path: Path
    loaded: Loaded | None = None
    error: SpecificationError | None = None


def check_patterns(paths: Sequence[Path]) -> None:
    """Raise SpecificationError for a shell's pattern that matched nothing, and so came as it is."""
    for path in paths:
        if _PATTERN.search(str(path)) and not _exists(path):
            raise SpecificationError(f"{path}: no file matches", hint="Mind the folder that this starts in")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def read_models(
    paths: Sequence[Path], *, overrides: Sequence[Override], gates: Sequence[dict[str, Any]]
) -> list[Model]:
    """Read every specification.

    A file that others extend, and that is no whole specification, is no model.

    Raises:
        SpecificationError: Two models have one name, or one has none that a folder could have.
    """
    found = [_model(path, overrides=overrides, gates=gates) for path in paths]
    shared = {file.resolve() for file in map(extended_file, paths) if file is not None}
    models = [model for model in found if not _is_shared(model, shared)]
    for model in found:
        if _is_shared(model, shared):
            tell(f"{model.path}: others extend it, and alone it is no model")
    _check_names([model for model in models if model.loaded is not None])
    return models


def _model(path: Path, *, overrides: Sequence[Override], gates: Sequence[dict[str, Any]]) -> Model:
    try:
        loaded = load_specification(path, overrides=overrides, gates=gates)
    except SpecificationError as error:
        return Model(path.stem, path, error=error)
    return Model(_name(path, loaded), path, loaded)


def _name(path: Path, loaded: Loaded) -> str:
    said = loaded.spec.name if "name" in loaded.spec.model_fields_set else ""
    for name in (said, path.stem):
        if is_plain(name):
            return name
    shown = visible(loaded.spec.name)
    hint = "Set name: to letters, digits and . _ -"
    raise SpecificationError(f"{path}: neither {shown} nor the file's name can be a folder's", hint=hint)


def is_plain(name: str) -> bool:
    """Return whether a name can be a folder's, whatever the system."""
    if _PLAIN.fullmatch(name) is None or len(name) > _MAX_NAME or name.endswith("."):
        return False
    folded = name.casefold()
    return folded != INDEX and _DEVICE.fullmatch(folded.partition(".")[0]) is None


def _is_shared(model: Model, shared: set[Path]) -> bool:
    lacking = model.error is not None and ": is required" in model.error.message
    return lacking and model.path.resolve() in shared


def _check_names(models: Sequence[Model]) -> None:
    """Compare names as a file system may that cares for neither case nor form."""
    seen: dict[str, Model] = {}
    for model in models:
        other = seen.setdefault(unicodedata.normalize("NFKC", model.name).casefold(), model)
        if other is not model:
            message = f"{model.path}: is called {model.name}, as {other.path} is"
            raise SpecificationError(message, hint="Each needs a name: of its own")


def check_output(path: Path, *, beside: Sequence[Path]) -> None:
    """Raise OutputError unless a folder can take several runs: absent, or with runs and their index alone.

    Args:
        path: The folder.
        beside: Files in it that the same command writes.
    """
    try:
        if path.exists() or path.is_symlink():
            _check_folder(path, {file.resolve() for file in beside})
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {os_reason(error)}") from error


def _check_folder(path: Path, beside: set[Path]) -> None:
    if not path.is_dir():
        raise OutputError(f"{path}: is not a folder")
    if is_run(path):
        hint = "Several models get a folder each below -o: remove this one, or name another"
        raise OutputError(f"{path}: is a run itself", hint=hint)
    for entry in _others(path, beside):
        if not entry.is_dir():
            hint = "Name a new or empty folder"
            raise OutputError(f"{path}: holds files that are not evalkit's ({entry.name})", hint=hint)
        check_replaceable(entry, blessed=True)


def _others(path: Path, beside: set[Path]) -> Iterator[Path]:
    """Yield what is no index or file for CI of ours, not half written, and not written by the command."""
    for entry in sorted(path.iterdir()):
        ours = is_index(entry) or is_for_ci(entry) or entry.name.startswith(TEMPORARY)
        if not ours and entry.resolve() not in beside:
            yield entry


def is_index(path: Path) -> bool:
    """Return whether a file is an index page of evalkit's."""
    if path.name != INDEX or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return _OURS in file.read(4096)
    except OSError:
        return False
