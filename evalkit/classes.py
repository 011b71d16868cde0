"""The ordered, unique names of the classes: position is the model's output index, identity is the name."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.errors import SpecificationError, listed, os_reason


def check_class_names(names: Sequence[str], *, where: str) -> tuple[str, ...]:
    """Return the names as a tuple; raise SpecificationError unless there are two or more, all different.

    Args:
        names: One name per output of the model, in the model's order.
        where: The key or file that they come from, for the message.
    """
    if len(names) < 2:  # noqa: PLR2004 - a classifier tells two things apart
        raise SpecificationError(f"{where}: expected at least 2 class names, got {len(names)}")
    repeated = [repr(name) for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise SpecificationError(f"{where}: class names must be unique, repeated: {listed(repeated)}")
    return tuple(names)


def name_list(found: Any, *, where: str) -> list[str]:
    """Return names that somebody gave as a list, an array, or a mapping of indices and names, in index order.

    Raises:
        SpecificationError: A text, a set, or anything else that has no order.
    """
    if isinstance(found, Mapping):
        try:
            return names_by_index(found)
        except ValueError as error:
            raise SpecificationError(f"{where}: {error}") from error
    found = found.tolist() if hasattr(found, "tolist") else found
    if not isinstance(found, (list, tuple)):
        raise SpecificationError(
            f"{where}: expected a list of names in output order, got a {type(found).__name__}"
        )
    return [str(name) for name in found]


def names_by_index(mapping: Mapping[object, object]) -> list[str]:
    """Return the names of a mapping from index to name, or from name to index, in index order.

    Indices may be written as text, as JSON writes keys.

    Raises:
        ValueError: It is neither, or its indices are not 0 to K - 1.
    """
    by_index = (
        mapping
        if all(isinstance(value, str) for value in mapping.values())
        else {value: key for key, value in mapping.items()}
    )
    try:
        names = {int(str(index)): name for index, name in by_index.items()}
    except ValueError as error:
        raise ValueError("maps no indices to names") from error
    if sorted(names) != list(range(len(by_index))) or len(by_index) != len(mapping):
        raise ValueError(f"does not name the indices 0 to {len(mapping) - 1}, each once")
    return [str(names[index]) for index in range(len(names))]


def read_names(path: Path) -> list[str]:
    """Read one class name a line; blank lines at the end do not count, others are refused."""
    try:
        # Only line feeds end a name: others may be part of one.
        lines = [line.removesuffix("\r") for line in path.read_bytes().decode("utf-8-sig").split("\n")]
    except (OSError, ValueError) as error:
        raise SpecificationError(f"{path}: the class names cannot be read: {os_reason(error)}") from error
    while lines and not lines[-1].strip():
        lines.pop()
    blank = [number for number, line in enumerate(lines, start=1) if not line.strip()]
    if blank:
        raise SpecificationError(f"{path}:{blank[0]}: a class name is blank")
    return lines
