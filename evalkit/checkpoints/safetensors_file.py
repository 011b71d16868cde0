"""safetensors, by its own library; what that does not promise (unique names) is checked here."""

import json
import math
from typing import Any

import safetensors

from evalkit.checkpoints.data import Contents, Storage, TensorData
from evalkit.errors import CheckpointError

_MAX_HEADER = 100_000_000
_LENGTH_BYTES = 8
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
    "C64": "complex64",
}


def is_safetensors(head: bytes, size: int) -> bool:
    """Tell by the header's length in the first 8 bytes and the JSON that follows.

    Args:
        head: The file's first bytes.
        size: Of the whole file.
    """
    length = int.from_bytes(head[:_LENGTH_BYTES], "little")
    return head[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{" and length < max(size, _MAX_HEADER)


def open_safetensors(data: bytes) -> Contents:
    """Open a file that :func:`is_safetensors`; CheckpointError where the library or the header objects."""
    length = int.from_bytes(data[:8], "little")
    if length > _MAX_HEADER or 8 + length > len(data):
        raise CheckpointError("a truncated safetensors file, or one with an impossible header")
    try:
        header = json.loads(data[8 : 8 + length], object_pairs_hook=_unique)
        entries = safetensors.deserialize(data)  # type: ignore[no-untyped-call] # the library has no types
    except (ValueError, RecursionError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"a damaged safetensors file ({error})") from error
    view = memoryview(data)[8 + length :]
    parts: dict[str, memoryview] = {}
    tree: dict[str, TensorData] = {}
    for name, entry in entries:
        shape, dtype = tuple(entry["shape"]), _DTYPES.get(entry["dtype"], entry["dtype"])
        # The library has checked the ranges; what it copied is not kept.
        begin, end = header[name]["data_offsets"]
        parts[name] = view[begin:end]
        storage = Storage(name, dtype, math.prod(shape))
        tree[name] = TensorData(storage, dtype, 0, shape, _contiguous(shape))
    return Contents(
        "safetensors", "not_verifiable", tree, lambda storage: parts[storage.key], (), _texts(header)
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a name stands twice in the header")
    return dict(pairs)


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    stride, strides = 1, []
    for size in reversed(shape):
        strides.append(stride)
        stride *= max(size, 1)
    return tuple(reversed(strides))


def _texts(header: dict[str, Any]) -> dict[str, str]:
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict):
        return {}
    return {str(key): value for key, value in metadata.items() if isinstance(value, str)}
