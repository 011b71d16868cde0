"""YAML as a mapping that still knows its lines."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from evalkit.errors import SpecificationError, os_reason

_TEXT_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class SourceMap:
    """Where each key was written.

    Attributes:
        name: The file's name as the user gave it.
        lines: The 1-based line of each key path.
        flags: Key paths that a flag set, and the flag.
        files: Key paths that stand in a file of another name, which is extended, and its name.
    """

    name: str
    lines: dict[KeyPath, int] = field(default_factory=dict)
    flags: dict[KeyPath, str] = field(default_factory=dict)
    files: dict[KeyPath, str] = field(default_factory=dict)

    def locate(self, path: KeyPath) -> str:
        """Return ``eval.yaml:14`` or the flag, for the nearest key that was written."""
        for length in range(len(path), 0, -1):
            known = path[:length]
            if known in self.flags:
                return self.flags[known]
            if known in self.lines:
                return f"{self.files.get(known, self.name)}:{self.lines[known]}"
        return self.name

    def error(self, path: KeyPath, message: str, *, hint: str | None = None) -> SpecificationError:
        """Build the error ``file:line: key: message``."""
        key = format_path(path)
        where = f"{self.locate(path)}: {key}: " if key else f"{self.locate(path)}: "
        return SpecificationError(where + message, hint=hint)


def format_path(path: KeyPath) -> str:
    """Write ``("gates", 2, "min")`` as ``gates[2].min``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_yaml(path: Path) -> tuple[dict[str, Any], SourceMap]:
    """Read one YAML mapping; a missing, unreadable or ambiguous file is a SpecificationError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise SpecificationError(f"{path}: cannot be read: {os_reason(error)}") from error
    source = SourceMap(str(path))
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise SpecificationError(f"{path}: expected a mapping of keys")
        _walk(node, (), source)
        return loader.construct_document(node), source
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "invalid YAML"
        raise SpecificationError(f"{path}{line}: not YAML: {problem}") from error
    except (ValueError, RecursionError) as error:
        raise SpecificationError(f"{path}: not YAML: {error}") from error
    finally:
        loader.dispose()


def parse_value(text: str, *, flag: str) -> Any:
    """Read a flag's value as YAML, as the same text would be read in a file."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise SpecificationError(f"{flag}: {text!r} is not YAML") from error


def override(data: dict[str, Any], path: Sequence[str], value: Any, *, flag: str) -> KeyPath:
    """Set one key of a nested mapping in place; list positions are written as numbers."""
    where: Any = data
    done: list[str | int] = []
    for depth, part in enumerate(path):
        key: str | int = int(part) if isinstance(where, list) and part.isdecimal() else part
        done.append(key)
        last = depth == len(path) - 1
        try:
            if last:
                where[key] = value
            else:
                if isinstance(where, dict) and where.get(part) is None:
                    where[part] = {}
                where = where[key]
        except (TypeError, IndexError) as error:
            raise SpecificationError(f"{flag}: there is no {format_path(tuple(done))} to set") from error
    return tuple(done)


def _walk(node: yaml.Node, path: KeyPath, source: SourceMap) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.tag not in _TEXT_TAGS:
                raise SpecificationError(
                    f"{source.name}:{key.start_mark.line + 1}: a key must be text (quote it)"
                )
            here = (*path, key.value)
            if key.value in seen:
                raise SpecificationError(
                    f"{source.name}:{key.start_mark.line + 1}: {format_path(here)}: written twice"
                )
            seen.add(key.value)
            source.lines[here] = key.start_mark.line + 1
            _walk(value, here, source)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            source.lines[(*path, index)] = value.start_mark.line + 1
            _walk(value, (*path, index), source)
