"""Weights in several files: an index of JSON says which tensor stands in which file beside it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from evalkit.checkpoints.data import Contents, Integrity, Storage, TensorData
from evalkit.errors import CheckpointError, listed

MAX_INDEX_BYTES = 100_000_000
MAX_SHARDS = 1_000
# What the whole is worth is what its worst part is worth.
_WORST_FIRST: tuple[Integrity, ...] = ("not_verifiable", "crc_not_recorded", "crc_verified")


def is_index(head: bytes, name: str) -> bool:
    """Tell an index, as Hugging Face writes it, from other JSON: by its keys, or by its name."""
    known = b'"weight_map"' in head or b'"total_size"' in head or name.endswith(".index.json")
    return known and head.lstrip().startswith(b"{")


def weight_map(text: bytes) -> dict[str, str]:
    """Return the file of every tensor.

    Raises:
        CheckpointError: The index is damaged, or names anything but files beside itself.
    """
    try:
        found = json.loads(text)["weight_map"]
        files = {str(key): str(name) for key, name in found.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError("a damaged index of shards") from error
    if not files:
        raise CheckpointError("the index names no file")
    unsafe = [name for name in set(files.values()) if name in ("", ".", "..") or set(name) & set("/\\\0")]
    if unsafe:
        raise CheckpointError(f"the index names files that are not beside it: {listed(sorted(unsafe))}")
    if len(set(files.values())) > MAX_SHARDS:
        raise CheckpointError(f"the index names more than {MAX_SHARDS} files")
    return files


def join(files: Mapping[str, str], shards: Mapping[str, Contents]) -> Contents:
    """Make one of several files.

    Args:
        files: The file of every tensor.
        shards: What each file holds.

    Raises:
        CheckpointError: A tensor is missing from its file, or stands in one that the index does not name.
    """
    tree: dict[str, TensorData] = {}
    for name, contents in shards.items():
        wanted = {key for key, file in files.items() if file == name}
        held = _tensors(contents.tree)
        if wanted != held.keys():
            lost, more = sorted(wanted - held.keys()), sorted(held.keys() - wanted)
            raise CheckpointError(f"{name} and the index differ: {listed(lost or more)}")
        tree |= {key: _renamed(value, name) for key, value in held.items()}

    def storage(wanted: Storage) -> memoryview:
        name, _, key = wanted.key.partition("/")
        return shards[name].storage(replace(wanted, key=key))

    parts = list(shards.values())
    kinds, orders = {part.format for part in parts}, {part.byteorder for part in parts}
    if len(kinds) > 1 or len(orders) > 1:
        raise CheckpointError("the index names files of different formats")
    return Contents(
        f"sharded {parts[0].format}",
        next(worth for worth in _WORST_FIRST if any(part.integrity == worth for part in parts)),
        tree,
        storage,
        tuple(name for part in parts for name in part.opaque),
        byteorder=parts[0].byteorder,
    )


def digest_of(digests: Mapping[str, str]) -> str:
    """Return one SHA-256 for several files: of the lines that ``sha256sum`` prints of them, by name."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _tensors(tree: Any) -> dict[str, TensorData]:
    if not isinstance(tree, dict):
        return {}
    return {str(key): value for key, value in tree.items() if isinstance(value, TensorData)}


def _renamed(tensor: TensorData, name: str) -> TensorData:
    return replace(tensor, storage=replace(tensor.storage, key=f"{name}/{tensor.storage.key}"))
