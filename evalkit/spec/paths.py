"""Paths of a specification: relative to its file, or to the current folder where a flag names them."""

import os
import re
from pathlib import Path
from typing import Any

from evalkit.errors import SpecificationError
from evalkit.provenance import portable_path, without_home

_KEYS = (
    ("model", "factory"),
    ("model", "checkpoint"),
    ("model", "classes"),
    ("data", "path"),
    ("data", "root"),
    ("data", "attributes"),
    ("data", "train_manifest"),
    ("", "baseline"),
    ("baseline", "checkpoint"),
    ("model.threshold", "from"),
)
# Keys that may hold a mapping with a path in it.
_INNER = {"baseline": "checkpoint", "model.threshold": "from"}
# A path that follows a word; of factories no other value is a path.
_PREFIX = re.compile(r"folder:|transformers:")
# Values of path keys that name no path.
_NOT_A_PATH = re.compile(r"(checkpoint:|git:).*|[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", re.DOTALL)
# Words of single keys: a folder of such a name is written ./data.
_WORDS = {"model.classes": "data", "baseline": "none"}
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def is_path_key(dotted: str) -> bool:
    """Return whether a key such as ``data.path`` holds a path."""
    block, _, key = dotted.rpartition(".")
    return (block, key) in _KEYS


def resolve_path(path: str, base: Path) -> Path:
    """Return a path of a specification as one that can be opened; ``~`` and ``${NAME}`` are filled in."""
    return base / os.path.expanduser(_VARIABLE.sub(_variable, path))  # noqa: PTH111 - Path raises without a home


def rebased(key: str, value: Any, *, start: Path, base: Path) -> Any:
    """Turn a path that is relative to one folder into one relative to another; other values stay."""
    inner = _INNER.get(key)
    if inner is not None and isinstance(value, dict) and inner in value:
        return {**value, inner: rebased(f"{key}.{inner}", value[inner], start=start, base=base)}
    if not isinstance(value, str) or value == _WORDS.get(key):
        return value
    match = _PREFIX.match(value)
    prefix = match[0] if match else ""
    if key == "model.factory" and not prefix:
        return value
    rest = value.removeprefix(prefix)
    if not prefix and _NOT_A_PATH.fullmatch(rest) and not (start / rest).exists():
        return value
    if _VARIABLE.search(rest):
        return prefix + _rebased_variable(rest, start=start, base=base)
    found = prefix + portable_path(resolve_path(rest, start), base=base)
    return f"./{found}" if found == _WORDS.get(key) else found


def _rebased_variable(path: str, *, start: Path, base: Path) -> str:
    """Keep a variable as it is written; what it stands for is looked up when the path is opened."""
    filled = _VARIABLE.sub(lambda found: os.environ.get(found[0][2:-1], "/"), path)
    if os.path.isabs(os.path.expanduser(filled)):  # noqa: PTH111, PTH117 - Path raises without a home
        return path
    between = portable_path(start, base=base)
    return path if between == "." else f"{between}/{path}"


def rebase_document(document: dict[str, Any], *, start: Path, base: Path, columns: bool = False) -> None:
    """Rewrite every path of a specification in place for a file in another folder.

    Args:
        document: The specification.
        start, base: Folders that its paths are relative to, and are to be relative to.
        columns: ``data.attributes`` names columns, as it does in a table of predictions.
    """
    for where, block, key in _path_values(document):
        if not (columns and (block, key) == ("data", "attributes")):
            where[key] = rebased(f"{block}.{key}".lstrip("."), where[key], start=start, base=base)


def hide_home(document: dict[str, Any]) -> None:
    """Write the home folder as ``~`` in every path of a specification, in place."""
    for where, _, key in _path_values(document):
        if isinstance(where[key], str):
            where[key] = without_home(where[key])


def _path_values(document: dict[str, Any]) -> list[tuple[dict[str, Any], str, str]]:
    blocks = [(_block(document, block), block, key) for block, key in _KEYS]
    return [(where, block, key) for where, block, key in blocks if isinstance(where, dict) and key in where]


def _block(document: dict[str, Any], dotted: str) -> Any:
    where: Any = document
    for part in dotted.split(".") if dotted else ():
        where = where.get(part) if isinstance(where, dict) else None
    return where


def _variable(match: re.Match[str]) -> str:
    value = os.environ.get(match[1])
    if value is None:
        raise SpecificationError(f"the variable {match[0]} in a path is not set")
    return value
