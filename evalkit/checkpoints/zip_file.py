"""torch's zip container: entries stored side by side, each with a CRC that torch itself does not check."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable

from evalkit.checkpoints.data import Contents, Integrity, Storage
from evalkit.checkpoints.pickle_data import PickleReader
from evalkit.errors import CheckpointError

MAGIC = b"PK\x03\x04"


def open_zip(data: bytes) -> Contents:
    """Open a file that starts with :data:`MAGIC`; CheckpointError where it is not what torch.save writes."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"a damaged or truncated zip file ({error})") from error
    _refuse_programs(archive.namelist())
    entries = _check_entries(archive, len(data))
    parts = {name: _entry_bytes(data, info) for name, info in entries.items()}
    integrity = _verify_crcs(entries, parts)
    root = _archive_root(entries)
    byteorder = bytes(parts.get(f"{root}byteorder", b"little"))
    if byteorder not in (b"little", b"big"):
        raise CheckpointError("its entry byteorder is neither little nor big")
    reader = PickleReader()
    tree = reader.read(io.BytesIO(parts[f"{root}data.pkl"]))

    def storage(wanted: Storage) -> memoryview:
        name = f"{root}data/{wanted.key}"
        if name not in parts:
            raise CheckpointError(f"{name} is missing from the file")
        return parts[name]

    return Contents(
        "zip",
        integrity,
        tree,
        storage,
        tuple(reader.opaque),
        byteorder="big" if byteorder == b"big" else "little",
    )


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
    if len(header) < 30 or not header.startswith(MAGIC):  # noqa: PLR2004 - the local header's size
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


def _refuse_programs(names: list[str]) -> None:
    if any("/code/" in name or name.endswith("constants.pkl") for name in names):
        raise CheckpointError(
            "a TorchScript file, which is a program",
            hint="Where it was made: torch.save(torch.jit.load(FILE).state_dict(), 'weights.pt'), and name "
            "the factory with --model",
        )
    if any(name.endswith((".json", "archive_format")) for name in names):
        raise CheckpointError(
            "a torch.export file, which is a program",
            hint="Where it was made: torch.save(torch.export.load(FILE).state_dict, 'weights.pt'), and name "
            "the factory with --model",
        )


def _archive_root(names: Iterable[str]) -> str:
    roots = [
        name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl") or name == "data.pkl"
    ]
    if len(roots) != 1:
        raise CheckpointError("a zip file that torch.save did not write (no data.pkl)")
    return roots[0]
