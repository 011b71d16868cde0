"""torch's container before 1.6: pickles behind each other, then the storages; it has no checksums."""

import io
import struct

from evalkit.checkpoints.data import Contents, Storage, itemsize
from evalkit.checkpoints.pickle_data import PickleReader
from evalkit.errors import CheckpointError

_MAGIC = 0x1950A86A20F9469CFC6C
# The magic number as every pickle protocol since 2 writes it, whatever stands before it.
_MAGIC_BYTES = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_PROTOCOL = 1001


def is_legacy(head: bytes) -> bool:
    """Tell by the magic number in the first pickle."""
    return head.startswith(b"\x80") and _MAGIC_BYTES in head[:32]


def open_legacy(data: bytes) -> Contents:
    """Open a file that :func:`is_legacy`; CheckpointError where it is cut off or inconsistent."""
    stream, reader = io.BytesIO(data), PickleReader()
    # The third says which machine wrote the file: the storages are little-endian on every one.
    magic, protocol, system = (reader.read(stream) for _ in range(3))
    if magic != _MAGIC or protocol != _PROTOCOL or not isinstance(system, dict):
        raise CheckpointError(f"legacy format of another version than {_PROTOCOL}")
    tree = reader.read(stream)
    keys = reader.read(stream)
    if not isinstance(keys, list) or not all(isinstance(key, (str, int)) for key in keys):
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
