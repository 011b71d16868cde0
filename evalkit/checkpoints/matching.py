"""Finds which weights of a file are the model's: keys and shapes must be equal, one prefix taken off."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.checkpoints.data import Opaque, TensorData
from evalkit.errors import CheckpointError, listed

Shapes = Mapping[str, tuple[int, ...]]

_MAX_NODES = 2_000_000
_ROOT = "(the whole file)"


@dataclass(frozen=True, slots=True)
class Weights:
    """One dictionary of tensors that fits the model.

    Attributes:
        name: Its path in the file, such as ``model`` or ``ema.shadow``; empty for the file itself.
        prefix: What was taken off its keys, such as ``module.``.
        tensors: By the model's own key.
        missing_counters: BatchNorm counters that files of old torch versions do not have.
        outside: Keys of tensors that the prefix does not cover.
    """

    name: str
    prefix: str
    tensors: dict[str, TensorData]
    missing_counters: tuple[str, ...]
    outside: tuple[str, ...]

    @property
    def label(self) -> str:
        """The name that ``model.weights`` takes."""
        return f"{self.name}:{self.prefix}" if self.prefix else self.name or _ROOT


def find_weights(tree: Any, shapes: Shapes, *, wanted: str | None = None) -> Weights:
    """Return the one dictionary of tensors that equals the model's.

    Args:
        tree: What the file holds.
        shapes: The model's own keys and shapes.
        wanted: ``model.weights``: the name of the dictionary, where several fit.

    Raises:
        CheckpointError: None fits (with the nearest one's differences), or several do.
    """
    dictionaries = list(_dictionaries(tree))
    fitting = [weights for name, tensors in dictionaries for weights in _fits(name, tensors, shapes)]
    if wanted is not None:
        fitting = _named(fitting, dictionaries, wanted)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = [_choice(weights, fitting) for weights in fitting]
        raise CheckpointError(
            f"{len(fitting)} sets of weights fit the model", hint=f"Choose one: --weights {' | '.join(names)}"
        )
    raise _nothing_fits(tree, dictionaries, shapes)


def _choice(weights: Weights, fitting: list[Weights]) -> str:
    alone = sum(other.name == weights.name for other in fitting) == 1
    return weights.name if alone and weights.name else weights.label


def _named(
    fitting: list[Weights], dictionaries: list[tuple[str, dict[str, TensorData]]], wanted: str
) -> list[Weights]:
    found = [weights for weights in fitting if wanted in (weights.name, weights.label)]
    if found:
        return found
    if wanted in (name for name, _ in dictionaries):
        others = listed([_choice(weights, fitting) for weights in fitting])
        suffix = f"; what fits: {others}" if fitting else ""
        raise CheckpointError(f"the weights {wanted!r} do not fit the model{suffix}")
    names = listed([name or _ROOT for name, _ in dictionaries])
    raise CheckpointError(f"no weights named {wanted!r} in the file, which holds: {names or 'none'}")


def _dictionaries(tree: Any) -> Iterator[tuple[str, dict[str, TensorData]]]:
    """Yield every dictionary that holds tensors under text keys, with its path."""
    for path, node in _nodes(tree):
        tensors = {key: value for key, value in _items(node).items() if isinstance(value, TensorData)}
        if tensors:
            yield path, tensors


def _nodes(tree: Any) -> Iterator[tuple[str, Any]]:
    """Yield every mapping, list and object with its path, outer ones first; each one once."""
    waiting = deque([("", tree)])
    seen: set[int] = set()
    while waiting:
        path, node = waiting.popleft()
        if id(node) in seen or len(seen) > _MAX_NODES:
            continue
        seen.add(id(node))
        yield path, node
        for key, value in _items(node).items():
            if isinstance(value, (dict, list, tuple, Opaque)):
                waiting.append((f"{path}.{key}" if path else key, value))


def _items(node: Any) -> dict[str, Any]:
    if isinstance(node, Opaque):
        if is_module(node):
            return {}
        state = node.state if isinstance(node.state, dict) else {}
        node = {**dict(enumerate(node.arguments)), **state, **node.items}
    if isinstance(node, dict):
        return {str(key): value for key, value in node.items() if isinstance(key, (str, int))}
    if isinstance(node, (list, tuple)):
        return {str(index): value for index, value in enumerate(node)}
    return {}


def is_module(node: Any) -> bool:
    """Return whether an object that was not read is a whole torch module."""
    return isinstance(node, Opaque) and isinstance(node.state, dict) and "_modules" in node.state


def _fits(name: str, tensors: dict[str, TensorData], shapes: Shapes) -> Iterator[Weights]:
    needed = [key for key in shapes if not _is_counter(key, shapes)]
    if not needed:
        return
    probe = max(needed, key=len)
    prefixes = [key[: -len(probe)] for key in tensors if key.endswith(probe)]
    for prefix in prefixes:
        if prefix and not prefix.endswith("."):
            continue
        inside = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
        missing = [key for key in shapes if key not in inside]
        if any(not _is_counter(key, shapes) for key in missing) or any(key not in shapes for key in inside):
            continue
        if all(value.shape == tuple(shapes[key]) for key, value in inside.items()):
            outside = tuple(key for key in tensors if not key.startswith(prefix))
            yield Weights(name, prefix, inside, tuple(missing), outside)


def _is_counter(key: str, shapes: Shapes) -> bool:
    return key.endswith("num_batches_tracked") and tuple(shapes[key]) == ()


def _nothing_fits(
    tree: Any, dictionaries: list[tuple[str, dict[str, TensorData]]], shapes: Shapes
) -> CheckpointError:
    modules = [node.name for _, node in _nodes(tree) if is_module(node)]
    if modules:
        return CheckpointError(
            f"holds a whole model ({modules[0]}), whose loading would run its code",
            hint="Save model.state_dict() instead; whole models are not available yet",
        )
    if not dictionaries:
        return CheckpointError("holds no weights: no dictionary of tensors in it")
    name, tensors = max(dictionaries, key=lambda item: _overlap(item[1], shapes))
    keys = _without_prefix(tensors, shapes)
    problems = {
        "missing": [key for key in shapes if key not in keys],
        "unexpected": [key for key in keys if key not in shapes],
        "with another shape": [
            f"{key} {keys[key].shape} instead of {tuple(shapes[key])}"
            for key in keys
            if key in shapes and keys[key].shape != tuple(shapes[key])
        ],
    }
    text = "; ".join(f"{len(found)} {what}: {listed(found)}" for what, found in problems.items() if found)
    where = f" (nearest: {name})" if name else ""
    return CheckpointError(f"the weights do not fit the model{where}: {text or 'no prefix covers all keys'}")


def _overlap(tensors: dict[str, TensorData], shapes: Shapes) -> int:
    return len(_without_prefix(tensors, shapes).keys() & shapes.keys())


def _without_prefix(tensors: dict[str, TensorData], shapes: Shapes) -> dict[str, TensorData]:
    """Take off the prefix under which most of the model's keys are found."""
    counts: dict[str, int] = {"": 0}
    for key in tensors:
        parts = key.split(".")
        for cut in range(len(parts)):
            if ".".join(parts[cut:]) in shapes:
                prefix = "".join(f"{part}." for part in parts[:cut])
                counts[prefix] = counts.get(prefix, 0) + 1
    best = max(counts, key=lambda prefix: (counts[prefix], -len(prefix)))
    return {key.removeprefix(best): value for key, value in tensors.items()}
