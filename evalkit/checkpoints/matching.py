"""Finds which weights of a file are the model's: keys and shapes must be equal, one prefix taken off."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.checkpoints.data import TensorData
from evalkit.checkpoints.tree import TensorSet, tensor_sets
from evalkit.errors import CheckpointError, listed

Shapes = Mapping[str, tuple[int, ...]]

_ROOT = "(the whole file)"
# How far an error looks for the nearest weights.
_MAX_CUTS, _MAX_COMPARED = 8, 50


@dataclass(frozen=True, slots=True)
class Weights:
    """One dictionary of tensors that fits the model.

    Attributes:
        name: Its path in the file, such as ``model`` or ``ema.shadow``; empty for the file itself.
        prefix: What was taken off its keys, such as ``module.``.
        tensors: By the model's own key.
        missing_counters: BatchNorm counters that files of old torch versions do not have.
        outside: Keys of tensors that the prefix does not cover.
        module: The class, where the file holds a whole model; its code is not used.
    """

    name: str
    prefix: str
    tensors: dict[str, TensorData]
    missing_counters: tuple[str, ...]
    outside: tuple[str, ...]
    module: str | None = None

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
    held = list(tensor_sets(tree))
    fitting = [weights for one in held for weights in _fits(one, shapes)]
    if wanted is not None:
        fitting = _named(fitting, held, wanted)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = [_choice(weights, fitting) for weights in fitting]
        raise CheckpointError(
            f"{len(fitting)} sets of weights fit the model", hint=f"Choose one: --weights {' | '.join(names)}"
        )
    raise _nothing_fits(held, shapes)


def fitting_weights(tree: Any, shapes: Shapes) -> list[Weights]:
    """Return every dictionary of tensors that equals the model's."""
    return [weights for held in tensor_sets(tree) for weights in _fits(held, shapes)]


def _choice(weights: Weights, fitting: list[Weights]) -> str:
    alone = sum(other.name == weights.name for other in fitting) == 1
    return weights.name if alone and weights.name else weights.label


def _named(fitting: list[Weights], held: Sequence[TensorSet], wanted: str) -> list[Weights]:
    found = [weights for weights in fitting if wanted in (weights.name, weights.label)]
    if found:
        return found
    if wanted in (one.name for one in held):
        others = listed([_choice(weights, fitting) for weights in fitting])
        suffix = f"; what fits: {others}" if fitting else ""
        raise CheckpointError(f"the weights {wanted!r} do not fit the model{suffix}")
    names = listed([one.name or _ROOT for one in held])
    raise CheckpointError(f"no weights named {wanted!r} in the file, which holds: {names or 'none'}")


def _fits(held: TensorSet, shapes: Shapes) -> Iterator[Weights]:
    needed = [key for key in shapes if not _is_counter(key, shapes)]
    if not needed:
        return
    tensors, in_order, probe = held.tensors, sorted(held.tensors), max(needed, key=len)
    for prefix in [key[: -len(probe)] for key in tensors if key.endswith(probe)]:
        if prefix and not prefix.endswith("."):
            continue
        missing = [key for key in shapes if f"{prefix}{key}" not in tensors]
        if any(not _is_counter(key, shapes) for key in missing):
            continue
        # As many keys as the model has begin with the prefix, so that none of them is one too many.
        first = bisect_left(in_order, prefix)
        last = bisect_left(in_order, f"{prefix[:-1]}/") if prefix else len(in_order)
        inside = {key: tensors[f"{prefix}{key}"] for key in shapes if f"{prefix}{key}" in tensors}
        if last - first != len(inside):
            continue
        if all(value.shape == tuple(shapes[key]) for key, value in inside.items()):
            outside = tuple(key for key in tensors if not key.startswith(prefix))
            yield Weights(held.name, prefix, inside, tuple(missing), outside, held.module)


def _is_counter(key: str, shapes: Shapes) -> bool:
    return key.endswith("num_batches_tracked") and tuple(shapes[key]) == ()


def _nothing_fits(held: Sequence[TensorSet], shapes: Shapes) -> CheckpointError:
    if not held:
        return CheckpointError("holds no weights: no dictionary of tensors in it")
    largest = sorted(held, key=lambda one: -len(one.tensors))[:_MAX_COMPARED]
    best = max(largest, key=lambda one: _overlap(one.tensors, shapes))
    name, tensors = best.name, best.tensors
    for key in shapes:
        if key in best.unread:
            return CheckpointError(f"{key} is no plain tensor ({best.unread[key]}), which is not read")
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
        parts = key.split(".", _MAX_CUTS)
        for cut in range(len(parts)):
            if ".".join(parts[cut:]) in shapes:
                prefix = "".join(f"{part}." for part in parts[:cut])
                counts[prefix] = counts.get(prefix, 0) + 1
    best = max(counts, key=lambda prefix: (counts[prefix], -len(prefix)))
    return {key.removeprefix(best): value for key, value in tensors.items()}
