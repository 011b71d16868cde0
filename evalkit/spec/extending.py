"""A specification that extends another: what several models have in common, written once.

Maps are merged at every depth, lists and single values replaced; each key keeps the file and line where it
was written.
"""

import copy
from pathlib import Path
from typing import Any

from evalkit.errors import SpecificationError
from evalkit.spec.checks import PREDICTIONS
from evalkit.spec.paths import rebase_document, resolve_path
from evalkit.spec.source import KeyPath, SourceMap, read_yaml

KEY = "extends"


def read_extended(path: Path) -> tuple[dict[str, Any], SourceMap]:
    """Read a specification over the one that it extends, if it does; the result names no other file.

    Raises:
        SpecificationError: One of the files cannot be read, or the extended one extends a third.
    """
    data, source = read_yaml(path)
    common = extended_by(data, path)
    if common is None:
        return data, source
    if not _is_file(common):
        raise source.error((KEY,), f"{common}: no such file")
    beneath, their = read_yaml(common)
    if KEY in beneath:
        raise their.error((KEY,), f"{path} extends this file already, and one level is all there is")
    return _over(beneath, their, _without_key(data), source, folders=(common.parent, path.parent))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def extended_file(path: Path) -> Path | None:
    """Return the file that the one at a path extends; None for none, and where it cannot be read."""
    try:
        return extended_by(read_yaml(path)[0], path)
    except SpecificationError:
        return None


def extended_by(data: dict[str, Any], path: Path) -> Path | None:
    """Return the file that a specification extends; None for none, and for what is no path."""
    named = data.get(KEY)
    return resolve_path(named, path.parent) if isinstance(named, str) else None


def _without_key(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != KEY}


def _over(
    beneath: dict[str, Any],
    their: SourceMap,
    data: dict[str, Any],
    source: SourceMap,
    *,
    folders: tuple[Path, Path],
) -> tuple[dict[str, Any], SourceMap]:
    """Put a file over the one beneath it, whose paths become relative to the file's folder."""
    found = copy.deepcopy(beneath)
    start, base = folders
    if start != base:
        rebase_document(found, start=start, base=base, columns=_names_columns(beneath, data))
    lines = dict(their.lines)
    _merge(found, data, (), lines)
    files = dict.fromkeys(lines, their.name)
    for key in source.lines:
        files.pop(key, None)
    return found, SourceMap(source.name, {**lines, **source.lines}, files=files)


def _names_columns(*documents: dict[str, Any]) -> bool:
    """Return whether what is evaluated is a table of predictions; the last that says so counts."""
    blocks = [document.get("data") for document in documents]
    said = [block["source"] for block in blocks if isinstance(block, dict) and "source" in block]
    return bool(said) and said[-1] == PREDICTIONS


def _merge(beneath: dict[str, Any], over: dict[str, Any], path: KeyPath, lines: dict[KeyPath, int]) -> None:
    """Merge in place; of what is replaced the lines go."""
    for key, value in over.items():
        here, old = (*path, key), beneath.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value, here, lines)
            continue
        beneath[key] = copy.deepcopy(value)
        for known in [known for known in lines if known[: len(here)] == here]:
            del lines[known]
