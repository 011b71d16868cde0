"""What a checkpoint holds, before anything is known of its model: nothing is built, nothing is executed."""

import shlex
from dataclasses import dataclass, field
from math import isfinite, prod
from typing import Any

from evalkit.checkpoints.contract import names_held
from evalkit.checkpoints.data import TensorData
from evalkit.checkpoints.declaration import read_declaration
from evalkit.checkpoints.libraries import named_library
from evalkit.checkpoints.loading import file_facts, is_finite
from evalkit.checkpoints.reader import Checkpoint, located
from evalkit.checkpoints.tree import TensorSet, children, tensor_sets
from evalkit.display import MAX_NAME, visible
from evalkit.errors import CheckpointError

MAX_VALUES = 100
# How often the bytes of a file may be looked at.
LOOKED_AT = 4


@dataclass(frozen=True, slots=True)
class HeldTensor:
    """A tensor of the file.

    Attributes:
        key, shape, dtype: As the file has them.
        refusal: Why it could not be loaded; None where it could.
    """

    key: str
    shape: tuple[int, ...]
    dtype: str
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class HeldWeights:
    """A dictionary of tensors, or a whole model.

    Attributes:
        name: What ``--weights`` takes; empty for the file itself.
        module: The class of a whole model; None for a dictionary.
        n_elements: Of all its tensors: parameters and buffers, which a file does not tell apart.
        tensors: In the file's order.
    """

    name: str
    module: str | None
    n_elements: int
    tensors: tuple[HeldTensor, ...]


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything that a file says of itself.

    Attributes:
        path: Where it is.
        file: Format, size, digest, integrity, byte order, and what was not read.
        weights: What could be weights, larger ones first.
        class_names: Names that it holds, by what ``--classes checkpoint:KEY`` takes.
        values: Numbers and texts that stand beside the weights.
        metadata: Of a safetensors file.
        command: How to evaluate it; words in capitals are to be filled in.
    """

    path: str
    file: dict[str, Any]
    weights: tuple[HeldWeights, ...]
    class_names: dict[str, list[str]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    command: str = ""


def take_inventory(checkpoint: Checkpoint) -> Inventory:
    """List what a checkpoint holds.

    Raises:
        CheckpointError: It is nested deeper than any training loop writes, or its declaration is damaged.
    """
    with located(checkpoint.path):
        held = sorted(tensor_sets(checkpoint.contents.tree), key=lambda one: -len(one.tensors))
        names = names_held(checkpoint)
    looked = _Looked(checkpoint, {}, LOOKED_AT * checkpoint.n_bytes)
    weights = tuple(_weights(looked, one) for one in held)
    metadata = {visible(key): text for key, text in checkpoint.contents.metadata.items()}
    return Inventory(
        str(checkpoint.path),
        file_facts(checkpoint),
        weights,
        names,
        _values(checkpoint.contents.tree),
        metadata,
        _command(checkpoint, held, names),
    )


@dataclass(slots=True)
class _Looked:
    """What was found out about values, each view once, within a limit: many names may share a storage.

    Attributes:
        checkpoint: The file.
        known: The refusal of each view.
        left: How many bytes may still be looked at.
    """

    checkpoint: Checkpoint
    known: dict[Any, str | None]
    left: int

    def refusal(self, name: str, data: TensorData) -> str | None:
        """Return why a tensor could not be loaded."""
        view = (data.storage.key, data.dtype, data.offset, data.shape, data.stride)
        if view not in self.known:
            self.left -= prod(data.shape) + 1
            self.known[view] = self._look(name, data) if self.left > 0 else "not looked at: views overlap"
        return self.known[view]

    def _look(self, name: str, data: TensorData) -> str | None:
        try:
            value = self.checkpoint.tensor(data, name=name)
        except CheckpointError as error:
            return error.message.removeprefix(f"{self.checkpoint.path}: {name}: ")
        if value.is_complex():
            return "is complex"
        return None if is_finite(value) else "has NaN or infinite values"


def _weights(looked: _Looked, held: TensorSet) -> HeldWeights:
    tensors = [
        HeldTensor(visible(key), data.shape, visible(data.dtype), looked.refusal(visible(key), data))
        for key, data in held.tensors.items()
    ]
    n_elements = sum(prod(tensor.shape) for tensor in tensors)
    tensors += [
        HeldTensor(visible(key), (), "unknown", f"is no plain tensor ({name})")
        for key, name in held.unread.items()
    ]
    module = None if held.module is None else visible(held.module)
    return HeldWeights(held.name, module, n_elements, tuple(tensors))


def _values(tree: Any) -> dict[str, Any]:
    plain = {
        visible(key): visible(value) if isinstance(value, str) else value
        for key, value in children(tree).items()
        if isinstance(value, (str, bool, float, type(None)))
        or (isinstance(value, int) and abs(value) < 1 << 63)
    }
    finite = {
        key: str(value) if isinstance(value, float) and not isfinite(value) else value
        for key, value in plain.items()
    }
    return dict(list(finite.items())[:MAX_VALUES])


def _command(checkpoint: Checkpoint, held: list[TensorSet], names: dict[str, list[str]]) -> str:
    """Return the command that would evaluate it, with what the file itself can say."""
    declared = read_declaration(checkpoint)
    library = None if declared is None else named_library(declared.factory)
    words = ["evalkit", "run"]
    if library is None:
        flags = "" if declared is None else declared.flags_to_paste()
        words += shlex.split(flags) if flags else ["--model", "MODULE:CALLABLE"]
    words += ["--checkpoint", str(checkpoint.path)]
    largest = [one for one in held if _shapes(one) == _shapes(held[0])]
    if len(largest) > 1:
        words += ["--weights", "|".join(one.name or "(the whole file)" for one in largest)]
    if declared is None or declared.classes is None:
        words += ["--classes", f"checkpoint:{next(iter(names))}" if names else "CLASSES"]
    if checkpoint.integrity != "crc_verified":
        words += ["--sha256", checkpoint.sha256]
    return visible(shlex.join([*words, "--data", "DATA", "-o", "out"]), limit=MAX_NAME * 20)


def _shapes(held: TensorSet) -> list[tuple[int, ...]]:
    return sorted(data.shape for data in held.tensors.values())
