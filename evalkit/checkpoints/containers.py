"""The files that weights come in: torch's zip and legacy containers, and safetensors; everything else refused.

Each opener takes the whole file as bytes and gives its contents as data: a tree, and the bytes of storages.
"""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import safetensors

from evalkit.checkpoints.pickle_data import PickleReader, Storage, TensorData
from evalkit.errors import CheckpointError

Integrity = Literal["crc_verified", "crc_not_recorded", "not_verifiable"]

_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_ZIP_MAGIC = b"PK\x03\x04"
_MAX_HEADER = 100_000_000
_SAFETENSORS_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


@dataclass(frozen=True, slots=True)
class Contents:
    """What a container holds.

    Attributes:
        format: ``zip``, ``legacy`` or ``safetensors``.
        integrity: Whether the container's own checksums were verified.
        tree: Dicts, lists, numbers and TensorData.
        storage: Gives the bytes of a storage.
        opaque: Names of what was not read.
    """

    format: str
    integrity: Integrity
    tree: Any
    storage: Callable[[Storage], memoryview]
    opaque: tuple[str, ...] = ()


def open_container(data: bytes) -> Contents:
    """Recognise the container by its first bytes and open it; CheckpointError for everything else."""
    if not data:
        raise CheckpointError("the file is empty")
    if data.startswith(_ZIP_MAGIC):
        return _open_zip(data)
    if data.startswith(_LEGACY_MAGIC):
        return _open_legacy(data)
    if _is_safetensors(data):
        return _open_safetensors(data)
    raise CheckpointError(*_foreign(data[:4096]))


def _foreign(head: bytes) -> tuple[str]:
    text = head.lstrip().lower()
    if head.startswith(b"version https://git-lfs"):
        return ("a git-lfs pointer, not the file itself; run git lfs pull",)
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return ("looks like a web page, not a checkpoint; download it again",)
    if text.startswith((b"{", b"[")):
        return ("a JSON text, not a checkpoint; download it again",)
    if head[257:262] == b"ustar":
        return ("torch's old tar format is not read; load and save it again with torch",)
    if head.startswith(b"\x80"):
        return ("a plain pickle that torch.save did not write; save the state_dict with torch.save",)
    if head.startswith(b"\x89HDF"):
        return ("an HDF5 file, not a torch checkpoint",)
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):  # noqa: PLR2004 - printable ASCII
        return ("a text file, not a checkpoint",)
    return ("not a checkpoint: expected torch's zip or legacy format, or safetensors",)


def _open_zip(data: bytes) -> Contents:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"a damaged or truncated zip file ({error})") from error
    entries = _check_entries(archive, len(data))
    parts = {name: _entry_bytes(data, info) for name, info in entries.items()}
    integrity = _verify_crcs(entries, parts)
    root = _archive_root(entries)
    if bytes(parts.get(f"{root}byteorder", b"little")) != b"little":
        raise CheckpointError("written on a big-endian machine, which is not available yet")
    reader = PickleReader()
    tree = reader.read(io.BytesIO(parts[f"{root}data.pkl"]))

    def storage(wanted: Storage) -> memoryview:
        name = f"{root}data/{wanted.key}"
        if name not in parts:
            raise CheckpointError(f"{name} is missing from the file")
        return parts[name]

    return Contents("zip", integrity, tree, storage, tuple(reader.opaque))


def _check_entries(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    entries: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if info.filename in entries:
            raise CheckpointError(f"the entry {info.filename} stands twice in the file")
        if info.filename.startswith("/") or ".." in info.filename.split("/"):
            raise CheckpointError(f"an entry with an unsafe name ({info.filename})")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise CheckpointError(f"the entry {info.filename} is compressed, which torch.save never does")
        entries[info.filename] = info
    if sum(info.file_size for info in entries.values()) > size * 1.1:
        raise CheckpointError("its entries claim more bytes than the file has")
    return entries


def _entry_bytes(data: bytes, info: zipfile.ZipInfo) -> memoryview:
    """Return an entry's bytes without copying, after checking that its two headers agree."""
    start = info.header_offset
    header = data[start : start + 30]
    if len(header) < 30 or not header.startswith(_ZIP_MAGIC):  # noqa: PLR2004 - the local header's size
        raise CheckpointError(f"the entry {info.filename} is not where the file says")
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    name = data[start + 30 : start + 30 + name_length]
    if name != info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437"):
        raise CheckpointError(f"the entry {info.filename} has two names")
    begin = start + 30 + name_length + extra_length
    part = memoryview(data)[begin : begin + info.file_size]
    if len(part) != info.file_size:
        raise CheckpointError(f"the entry {info.filename} is cut off")
    return part


def _verify_crcs(entries: dict[str, zipfile.ZipInfo], parts: dict[str, memoryview]) -> Integrity:
    filled = {name: info for name, info in entries.items() if info.file_size}
    if all(info.CRC == 0 for info in filled.values()):
        return "crc_not_recorded"
    for name, info in filled.items():
        if zlib.crc32(parts[name]) != info.CRC:
            raise CheckpointError(f"CRC mismatch in {name}: the file is damaged; copy it again")
    return "crc_verified"


def _archive_root(entries: dict[str, zipfile.ZipInfo]) -> str:
    names = list(entries)
    if any("/code/" in name or name.endswith("constants.pkl") for name in names):
        raise CheckpointError("a TorchScript file, which is a program; save model.state_dict() instead")
    if any(name.endswith((".json", "archive_format")) for name in names):
        raise CheckpointError("a torch.export file, which is a program; save model.state_dict() instead")
    roots = [
        name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl") or name == "data.pkl"
    ]
    if len(roots) != 1:
        raise CheckpointError("a zip file that torch.save did not write (no data.pkl)")
    return roots[0]


def _open_legacy(data: bytes) -> Contents:
    stream, reader = io.BytesIO(data), PickleReader()
    reader.read(stream)  # the magic number
    protocol, system = reader.read(stream), reader.read(stream)
    if protocol != 1001 or not isinstance(system, dict):  # noqa: PLR2004 - torch's constant
        raise CheckpointError(f"legacy format with protocol {protocol}, expected 1001")
    if not system.get("little_endian", True):
        raise CheckpointError("written on a big-endian machine, which is not available yet")
    tree = reader.read(stream)
    keys = reader.read(stream)
    if not isinstance(keys, list):
        raise CheckpointError("the list of storages is damaged")
    spans = _LegacyStorages(memoryview(data), reader.storages)
    spans.place([str(key) for key in keys], stream.tell())
    return Contents("legacy", "not_verifiable", tree, spans.get, tuple(reader.opaque))


class _LegacyStorages:
    """Finds the storages behind the pickles of a legacy file: each is its length, then its bytes."""

    def __init__(self, data: memoryview, dtypes: dict[str, str]) -> None:
        self.data = data
        self.dtypes = dtypes
        self.spans: dict[str, tuple[int, int]] = {}

    def place(self, keys: list[str], position: int) -> None:
        for key in keys:
            raw = self.data[position : position + 8]
            if len(raw) < 8:  # noqa: PLR2004 - an int64
                raise CheckpointError("the file is cut off")
            (numel,) = struct.unpack("<q", raw)
            if key not in self.dtypes:
                raise CheckpointError(f"the storage {key} belongs to no tensor")
            begin, end = position + 8, position + 8 + numel * itemsize(self.dtypes[key])
            if numel < 0 or end > len(self.data):
                raise CheckpointError("the file is cut off")
            self.spans[key], position = (begin, end), end

    def get(self, storage: Storage) -> memoryview:
        if storage.key not in self.spans:
            raise CheckpointError(f"the storage {storage.key} is missing from the file")
        begin, end = self.spans[storage.key]
        return self.data[begin:end]


def _is_safetensors(data: bytes) -> bool:
    return (
        len(data) > 8
        and int.from_bytes(data[:8], "little") < max(len(data), _MAX_HEADER)
        and data[8:9] == b"{"
    )  # noqa: PLR2004


def _open_safetensors(data: bytes) -> Contents:
    length = int.from_bytes(data[:8], "little")
    if length > _MAX_HEADER or 8 + length > len(data):
        raise CheckpointError("a truncated safetensors file, or one with an impossible header")
    try:
        json.loads(data[8 : 8 + length], object_pairs_hook=_unique)
        entries = safetensors.deserialize(data)
    except (ValueError, RecursionError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"a damaged safetensors file ({error})") from error
    parts: dict[str, memoryview] = {}
    tree: dict[str, TensorData] = {}
    for name, entry in entries:
        shape, dtype = tuple(entry["shape"]), _SAFETENSORS_DTYPES.get(entry["dtype"], entry["dtype"])
        numel = _product(shape)
        parts[name] = memoryview(entry["data"])
        tree[name] = TensorData(Storage(name, dtype, numel), dtype, 0, shape, _contiguous(shape))
    return Contents("safetensors", "not_verifiable", tree, lambda storage: parts[storage.key])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a name stands twice in the header")
    return dict(pairs)


def _product(shape: tuple[int, ...]) -> int:
    result = 1
    for size in shape:
        result *= size
    return result


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    stride, strides = 1, []
    for size in reversed(shape):
        strides.append(stride)
        stride *= max(size, 1)
    return tuple(reversed(strides))


def itemsize(dtype: str) -> int:
    """Return the bytes of one element; CheckpointError for a type that evalkit does not read."""
    sizes = {"float64": 8, "int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2, "int16": 2}
    sizes |= dict.fromkeys(("int8", "uint8", "bool", "float8_e4m3fn", "float8_e5m2"), 1)
    sizes |= {"complex64": 8, "complex128": 16}
    if dtype not in sizes:
        raise CheckpointError(f"a tensor of type {dtype}, which is not read")
    return sizes[dtype]
