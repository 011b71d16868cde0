"""Walks what a file holds: every mapping, list and object once, outer ones first, within limits."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from evalkit.checkpoints.data import Opaque, TensorData
from evalkit.errors import CheckpointError

MAX_NODES = 500_000
MAX_TENSORS = 200_000
MAX_DEPTH = 500
MAX_KEY = 1_000
_PAIR = 2
_PARTS = ("_parameters", "_buffers", "_modules")
_REBUILT = ("torch._utils._rebuild", "torch._tensor._rebuild")

# A node's way from the root: the way of what holds it, and its key there.
Way = tuple["Way", str] | None


@dataclass(frozen=True, slots=True)
class TensorSet:
    """The tensors that one dictionary, or one whole model, of a file holds.

    Attributes:
        name: Its path in the file, such as ``model`` or ``ema.shadow``; empty for the file itself.
        tensors: By key; of a whole model as its ``state_dict()`` would name them.
        module: The class of the whole model; None for a dictionary.
        unread: Keys of sparse, quantized and meta tensors, with what would rebuild them.
    """

    name: str
    tensors: dict[str, TensorData]
    module: str | None = None
    unread: Mapping[str, str] = field(default_factory=dict)


def tensor_sets(tree: Any) -> Iterator[TensorSet]:
    """Yield every dictionary that holds tensors under text keys, and every whole model.

    Raises:
        CheckpointError: The file is deeper, or holds more, than any training loop writes.
    """
    n_tensors = 0
    for way, node in nodes(tree):
        state = module_state(node)
        held = children(node) if state is None else _module_state_dict(state)
        tensors = {key: value for key, value in held.items() if isinstance(value, TensorData)}
        n_tensors += len(tensors)
        if n_tensors > MAX_TENSORS:
            raise CheckpointError(f"names more than {MAX_TENSORS:,} tensors: no training loop writes this")
        if tensors:
            module = None if state is None else getattr(node, "name", "a torch module")
            unread = {
                key: value.name
                for key, value in held.items()
                if isinstance(value, Opaque) and value.name.startswith(_REBUILT)
            }
            yield TensorSet(path_of(way), tensors, module, unread)


def nodes(tree: Any) -> Iterator[tuple[Way, Any]]:
    """Yield every mapping, list and object with its way; a whole model as one of them, unopened."""
    waiting: deque[tuple[Way, Any, int]] = deque([(None, tree, 0)])
    seen: set[int] = set()
    n_items = 0
    while waiting:
        way, node, depth = waiting.popleft()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if depth > MAX_DEPTH or n_items > MAX_NODES:
            raise _too_large()
        yield way, node
        if module_state(node) is not None:
            continue
        held = children(node)
        n_items += len(held) + 1  # what is held by many is looked at again for each
        for key, value in held.items():
            if isinstance(value, (dict, list, tuple, Opaque)):
                waiting.append(((way, key), value, depth + 1))


def path_of(way: Way) -> str:
    """Return a way as a dotted path."""
    parts: list[str] = []
    length = 0
    while way is not None:
        way, key = way
        parts.append(key)
        length += len(key) + 1
        if length > MAX_KEY:
            raise _too_large()
    return ".".join(reversed(parts))


def _too_large() -> CheckpointError:
    return CheckpointError(
        f"nested more than {MAX_DEPTH} deep, or more than {MAX_NODES:,} objects: no training loop writes this"
    )


def children(node: Any) -> dict[str, Any]:
    """Return what a mapping, a list or an object that was not read holds, by text key."""
    if isinstance(node, Opaque):
        node = {**dict(enumerate(node.arguments)), **_state(node), **node.items}
    if isinstance(node, dict):
        return {str(key): value for key, value in node.items() if _is_key(key)}
    if isinstance(node, (list, tuple)):
        return {str(index): value for index, value in enumerate(node)}
    return {}


def module_state(node: Any) -> dict[Any, Any] | None:
    """Return the attributes of a whole torch module; None for anything else.

    A module is recognised by its three dictionaries, whatever its class and the function that would have
    rebuilt it (``torch.fx`` hands them over as an argument).
    """
    if isinstance(node, Opaque):
        first = node.arguments[0] if node.arguments else None
        candidates = [_state(node), first if isinstance(first, dict) else {}]
    else:
        candidates = [node] if isinstance(node, dict) else []
    for state in candidates:
        if all(isinstance(state.get(name), dict) for name in _PARTS):
            return state
    return None


def _module_state_dict(state: dict[Any, Any]) -> dict[str, Any]:
    """Return what ``state_dict()`` of the module would hold: the same keys, in the same order."""
    found: dict[str, Any] = {}
    waiting: list[tuple[str, dict[Any, Any]]] = [("", state)]
    n_looked_at = 0
    while waiting:
        prefix, module = waiting.pop()
        n_looked_at += 1 + sum(len(module[name]) for name in _PARTS)
        if len(prefix) > MAX_KEY or n_looked_at > MAX_TENSORS:  # also a module that holds itself
            raise _too_large()
        named = module.get("_non_persistent_buffers_set")
        hidden = {name for name in named if isinstance(name, str)} if isinstance(named, list) else set()
        buffers = {key: value for key, value in children(module["_buffers"]).items() if key not in hidden}
        for key, value in {**children(module["_parameters"]), **buffers}.items():
            if value is not None:
                found[f"{prefix}{key}"] = value
        below = [(key, module_state(child)) for key, child in children(module["_modules"]).items()]
        # The last in comes first out: reversed, the children are visited in their order.
        waiting += [(f"{prefix}{key}.", child) for key, child in reversed(below) if child]
    return found


def _state(node: Opaque) -> dict[Any, Any]:
    """Return the attributes of an object: a dictionary, a pair with those of slots, or a list of values."""
    state = node.state
    if isinstance(state, list):
        return dict(enumerate(state))
    parts = state if isinstance(state, tuple) and len(state) == _PAIR else (state,)
    return {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}


def _is_key(key: Any) -> bool:
    return isinstance(key, int) or (isinstance(key, str) and len(key) <= MAX_KEY)
