"""The class contract: which name each output of the model has, and where the names come from."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.checkpoints.data import Opaque
from evalkit.checkpoints.libraries import library_model
from evalkit.checkpoints.reader import Checkpoint
from evalkit.checkpoints.tree import children, nodes, path_of
from evalkit.classes import check_class_names, names_by_index, read_names
from evalkit.errors import CheckpointError, SpecificationError, listed, nearest, os_reason
from evalkit.spec import Loaded

_USUAL_KEYS = frozenset(
    "classes class_names class_to_idx idx_to_class id2label label2id label_names categories".split()
)
MAX_NAMES_TRIED = 50
_NUMBER_LIKE = re.compile(r"[-+]?\d")
_CHOICES = "Say --classes folder:TRAINING_DIR, --classes checkpoint:KEY, or --classes FILE (one name a line)"


@dataclass(frozen=True, slots=True)
class ClassContract:
    """The names of a model's outputs.

    Attributes:
        names: In output order.
        origin: Where they come from, in words.
        assumed: True where they were taken from the very data that is evaluated.
    """

    names: tuple[str, ...]
    origin: str
    assumed: bool = False


def class_contract(loaded: Loaded, checkpoint: Checkpoint) -> ClassContract:
    """Find the class names.

    Raises:
        SpecificationError: Nobody names them, or they are not two or more different ones.
        CheckpointError: The checkpoint does not hold what ``checkpoint:KEY`` names.
    """
    declared = loaded.spec.model.classes
    from_folders = isinstance(declared, str) and (declared == "data" or declared.startswith("folder:"))
    if loaded.spec.model.class_order is not None and not from_folders:
        raise loaded.source.error(
            ("model", "class_order"), "belongs to names that come from folders (folder:DIR or data)"
        )
    if declared is None:
        library = library_model(loaded.spec.model.factory, base=loaded.base)
        found = None if library is None else library.class_names()
        if found is None:
            held = names_held(checkpoint)
            known = f"Say --classes checkpoint:{next(iter(held))}" if held else _CHOICES
            raise loaded.source.error(
                ("model", "classes"), "is required: nothing names the outputs", hint=known
            )
        return ClassContract(check_class_names(found, where="the library"), "the library's own head")
    if not isinstance(declared, str):
        where = loaded.source.locate(("model", "classes")) + ": model.classes"
        return ClassContract(check_class_names(declared, where=where), "the specification")
    kind, _, rest = declared.partition(":")
    if declared == "data" and loaded.spec.data.source != "folder":
        raise loaded.source.error(("model", "classes"), "data belongs to source: folder")
    if kind == "checkpoint":
        names = names_in_checkpoint(checkpoint, rest)
        return ClassContract(check_class_names(names, where=f"{checkpoint.path}: {rest}"), declared)
    if kind == "folder" or declared == "data":
        folder = loaded.resolve(loaded.spec.data.path if declared == "data" else rest)
        names = ordered(class_folders(folder), loaded, where=str(folder))
        return ClassContract(
            check_class_names(names, where=str(folder)), declared, assumed=declared == "data"
        )
    path = loaded.resolve(declared)
    return ClassContract(check_class_names(read_names(path), where=str(path)), path.name)


def value_in_checkpoint(checkpoint: Checkpoint, key: str) -> Any:
    """Return what a checkpoint holds under a dotted key; CheckpointError where it holds nothing.

    Attributes of objects that were not read (a Namespace, a whole model) are found, too.
    """
    node: Any = checkpoint.contents.tree
    for part in key.split("."):
        held = children(node)
        if part not in held:
            keys = [name for name in held if not name.startswith("_")]
            raise CheckpointError(f"{checkpoint.path}: holds no {key!r}{nearest(part, keys)}")
        node = held[part]
    return node


def names_in_checkpoint(checkpoint: Checkpoint, key: str) -> list[str]:
    """Read names that the checkpoint holds under a dotted key: a list, index to name, or name to index."""
    node = value_in_checkpoint(checkpoint, key)
    node = node.items if isinstance(node, Opaque) else node
    if isinstance(node, dict):
        try:
            node = names_by_index(node)
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{checkpoint.path}: {key} {error}") from error
    if not isinstance(node, (list, tuple)) or not all(isinstance(name, str) for name in node):
        raise CheckpointError(f"{checkpoint.path}: {key} is no list of names")
    return list(node)


def names_held(checkpoint: Checkpoint) -> dict[str, list[str]]:
    """Return the class names that a checkpoint holds under one of their usual keys, by dotted key."""
    found: dict[str, list[str]] = {}
    left = MAX_NAMES_TRIED
    for way, node in nodes(checkpoint.contents.tree):
        for key in _USUAL_KEYS & children(node).keys():
            left -= 1
            if left < 0:
                return found
            with suppress(CheckpointError):
                path = path_of((way, key))
                names = names_in_checkpoint(checkpoint, path)
                found |= {path: names} if len(names) > 1 else {}
    return found


def class_folders(root: Path) -> list[str]:
    """List the class folders of a data set, as torchvision sorts them; hidden ones are refused."""
    try:
        names = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    except OSError as error:
        raise SpecificationError(f"{root}: the class folders cannot be read: {os_reason(error)}") from error
    hidden = [name for name in names if name.startswith(".")]
    if hidden:
        raise SpecificationError(f"{root}: holds hidden folders, which would be classes: {listed(hidden)}")
    if not names:
        raise SpecificationError(f"{root}: holds no class folders")
    return names


def ordered(names: list[str], loaded: Loaded, *, where: str) -> list[str]:
    """Put folder names in the order of the training library; where two orders differ, it must be said."""
    numbers = [name for name in names if _NUMBER_LIKE.match(name)]
    order = loaded.spec.model.class_order
    by_number = natural_order(numbers)
    if order is None and sorted(numbers) != by_number:
        raise loaded.source.error(
            ("model", "class_order"),
            f"{where} has numbers as names: {listed(sorted(numbers), limit=4)} for torchvision, "
            f"{listed(by_number, limit=4)} for timm",
            hint="Say --class-order torchvision or natural",
        )
    return natural_order(names) if order == "natural" else sorted(names)


def natural_order(names: Sequence[str]) -> list[str]:
    """Sort names as timm does: numbers inside them by value, whatever the case."""
    return sorted(names, key=_natural_key)


def _natural_key(name: str) -> list[Any]:
    """Return timm's key: text and numbers by turns, and no difference of upper and lower case."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name.lower())]
