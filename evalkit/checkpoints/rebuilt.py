"""What the calls in a checkpoint's pickle stand for: containers, storages and tensors, never executed."""

from collections.abc import Callable
from typing import Any

from evalkit.checkpoints.data import Global, Opaque, Storage, TensorData
from evalkit.errors import CheckpointError

MAX_NUMBER = 1 << 48
MAX_DIMENSIONS = 64
MAX_INDEX = 1 << 63

_STORAGE_DTYPES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",
    "QInt8Storage": "qint8",
    "QUInt8Storage": "quint8",
    "QInt32Storage": "qint32",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}
_VIEW_PARTS = 3


def storage_of(identifier: Any) -> Any:
    """Turn torch's persistent id ``("storage", type, key, location, numel, …)`` into a Storage.

    Raises:
        CheckpointError: It is none that torch writes.
    """
    if not isinstance(identifier, tuple) or not identifier:
        raise CheckpointError("a persistent id that torch does not write")
    if identifier[0] == "module":  # legacy files carry the source of a whole model's classes
        return identifier[1]
    kind, storage_type, key, _, numel, *view = identifier
    name = storage_type.name if isinstance(storage_type, (Global, Opaque)) else None
    if kind != "storage" or not _is_size(numel) or not isinstance(key, (str, int)) or name is None:
        raise CheckpointError("a storage description that torch does not write")
    dtype = _STORAGE_DTYPES.get(name.rpartition(".")[2], name)
    return Storage(str(key), dtype, numel, _view_offset(view))


def _view_offset(view: list[Any]) -> int:
    """Return where in the root storage a legacy file's view of it begins: ``(key, offset, size)``."""
    if not view or view[0] is None:
        return 0
    part = view[0]
    if len(view) > 1 or not isinstance(part, tuple) or len(part) != _VIEW_PARTS or not _is_size(part[1]):
        raise CheckpointError("a storage description that torch does not write")
    return int(part[1])


def _tensor(
    storage: Any, offset: Any, shape: Any, stride: Any, dtype: str | None = None
) -> TensorData | None:
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(stride, tuple):
        return None
    sizes_fit = len(shape) == len(stride) <= MAX_DIMENSIONS
    if not sizes_fit or not all(_is_size(number) for number in (offset, *shape, *stride)):
        raise CheckpointError("a tensor with an impossible shape or stride")
    return TensorData(storage, dtype or storage.dtype, storage.offset + offset, shape, stride)


def _is_size(number: Any) -> bool:
    return isinstance(number, int) and 0 <= number < MAX_NUMBER


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *more: Any) -> Any:
    # The last of (requires_grad, hooks, metadata) says that the values are to be negated or conjugated.
    metadata = more[2] if len(more) > 2 else None  # noqa: PLR2004
    return None if metadata else _tensor(storage, offset, shape, stride)


def _rebuild_tensor_v3(
    storage: Any, offset: Any, shape: Any, stride: Any, _grad: Any, _hooks: Any, dtype: Any, *_: Any
) -> Any:
    name = dtype.name.rpartition(".")[2] if isinstance(dtype, Global) else None
    return _tensor(storage, offset, shape, stride, name)


def _rebuild_from_type(function: Any = None, _type: Any = None, arguments: Any = (), *_: Any) -> Any:
    known = KNOWN_CALLS.get(function.name) if isinstance(function, Global) else None
    value = known(*arguments) if known and isinstance(arguments, tuple) else None
    return value if isinstance(value, TensorData) else None


def _first(value: Any = None, *_: Any) -> Any:
    return value


def _dict(pairs: Any = (), *_: Any) -> Any:
    if isinstance(pairs, dict):
        return dict(pairs)
    if isinstance(pairs, (list, tuple)):
        items = [pair for pair in pairs if isinstance(pair, (list, tuple)) and len(pair) == 2]  # noqa: PLR2004
        return {key: value for key, value in items if is_key(key)}
    return {}


def _empty_dict(*_: Any) -> Any:
    return {}


def _items(items: Any = (), *_: Any) -> Any:
    return list(items) if isinstance(items, (list, tuple)) else []


def _size(items: Any = (), *_: Any) -> Any:
    return tuple(items) if isinstance(items, (list, tuple)) else None


# Called with what the pickle hands over; None where that is not what torch or Python writes.
KNOWN_CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _dict,
    "collections.Counter": _dict,
    "collections.defaultdict": _empty_dict,
    "builtins.dict": _dict,
    "__builtin__.dict": _dict,
    "builtins.list": _items,
    "builtins.set": _items,
    "builtins.frozenset": _items,
    "__builtin__.set": _items,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor_v3,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
}


def work_of(arguments: tuple[Any, ...]) -> int:
    """Return how many items a call may look at or copy: what a file can make it do again and again."""
    held = [*arguments, *(inner for one in arguments if isinstance(one, tuple) for inner in one)]
    return len(held) + sum(len(one) for one in held if isinstance(one, (dict, list, tuple)))


def is_key(key: Any) -> bool:
    """Return whether something may be a key: to hash a deep tuple, or a huge number, costs too much."""
    if isinstance(key, int):
        return -MAX_INDEX < key < MAX_INDEX
    return isinstance(key, (str, float, bytes))
