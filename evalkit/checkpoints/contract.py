"""The class contract: which name each output of the model has."""

from pathlib import Path

from evalkit.classes import check_class_names
from evalkit.errors import SpecificationError, nearest, os_reason
from evalkit.spec import Loaded


def class_names(loaded: Loaded) -> tuple[str, ...]:
    """Return the class names in the model's output order.

    Raises:
        SpecificationError: The file cannot be read, or the names are not two or more different ones.
    """
    declared = loaded.spec.model.classes
    if isinstance(declared, str):
        path = loaded.resolve(declared)
        names, where = read_names(path), str(path)
    else:
        names, where = list(declared), loaded.source.locate(("model", "classes")) + ": model.classes"
    return check_class_names(names, where=where)


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


def positive_index(loaded: Loaded, names: tuple[str, ...]) -> int | None:
    """Return the index of the positive class: the second name unless said; None unless binary.

    Raises:
        SpecificationError: Not two classes, or the named one is not among them.
    """
    if loaded.spec.task != "binary":
        return None
    if len(names) != 2:  # noqa: PLR2004 - binary
        raise loaded.source.error(("model", "classes"), f"task: binary has 2 classes, got {len(names)}")
    wanted = loaded.spec.model.positive_class
    if wanted is None:
        return 1
    if wanted not in names:
        raise loaded.source.error(
            ("model", "positive_class"), f"{wanted!r} is not a class name{nearest(wanted, names)}"
        )
    return names.index(wanted)
