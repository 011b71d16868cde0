"""What a checkpoint is once it was read as data: trees of plain values, tensor descriptions and storages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from evalkit.errors import CheckpointError

# Of what a file declares: a preprocessing, say.
MAX_PLAIN_DEPTH, MAX_PLAIN_ITEMS = 4, 50

Integrity = Literal["crc_verified", "crc_not_recorded", "not_verifiable"]

_ITEM_SIZES = {
    **dict.fromkeys(("int8", "uint8", "bool", "qint8", "quint8"), 1),
    **dict.fromkeys(("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"), 1),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("float32", "int32", "uint32", "qint32"), 4),
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 8),
    "complex128": 16,
}


@dataclass(frozen=True, slots=True)
class Global:
    """A name that the pickle mentions; never resolved."""

    name: str


@dataclass(eq=False, slots=True)
class Opaque:
    """An object that only its own code could rebuild; carried, not read.

    Attributes:
        name: The class or function that the file names.
        arguments: What it would have been called with.
        state: What it would have been filled with.
        items: What would have been put into it, for a dictionary of its own class.
    """

    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Storage:
    """Where a tensor's bytes stand.

    Attributes:
        key: Of the storage in its file.
        dtype, numel: Its elements.
        offset: Where this view of it begins, in elements; only old files have views.
    """

    key: str
    dtype: str
    numel: int
    offset: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class TensorData:
    """A strided view of a storage.

    Attributes:
        storage: The bytes.
        dtype: Such as ``float32``.
        offset, shape, stride: In elements.
    """

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a container holds.

    Attributes:
        format: ``zip``, ``legacy`` or ``safetensors``.
        integrity: Whether the container's own checksums were verified.
        tree: Dicts, lists, numbers and TensorData.
        storage: Gives the bytes of a storage.
        opaque: Names of what was not read.
        metadata: Text that the file carries about itself.
        byteorder: Of the storages.
    """

    format: str
    integrity: Integrity
    tree: Any
    storage: Callable[[Storage], memoryview]
    opaque: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    byteorder: Literal["little", "big"] = "little"


def itemsize(dtype: str) -> int:
    """Return the bytes of one element; CheckpointError for a type that evalkit does not read."""
    if dtype not in _ITEM_SIZES:
        raise CheckpointError(f"a tensor of type {dtype}, which is not read")
    return _ITEM_SIZES[dtype]


def dtype_name(dtype: object) -> str:
    """Return ``float32`` for ``torch.float32``."""
    return str(dtype).removeprefix("torch.")


def plain_values(node: Any, *, left: int = MAX_PLAIN_DEPTH) -> Any:
    """Return plain values of a file as a specification writes them: tuples as lists.

    Raises:
        CheckpointError: They are nested deeper, or are more, than anybody would declare.
    """
    if isinstance(node, (dict, list, tuple)) and (left == 0 or len(node) > MAX_PLAIN_ITEMS):
        raise CheckpointError("a value that is too large to be a declaration")
    if isinstance(node, dict):
        return {str(key): plain_values(value, left=left - 1) for key, value in node.items()}
    if hasattr(node, "item") and getattr(node, "size", None) == 1:
        return node.item()
    return [plain_values(value, left=left - 1) for value in node] if isinstance(node, (list, tuple)) else node
