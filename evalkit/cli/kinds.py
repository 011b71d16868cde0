"""Which kind of file for CI a file is, told by how it begins."""

from collections.abc import Callable, Mapping
from pathlib import Path

from evalkit.render.summaries import MARKER

_HEAD = 4096
# JUnit XML may also be another program's.
_BEGINS: Mapping[str, Callable[[bytes], bool]] = {
    "junit": lambda head: head.lstrip().startswith(b"<") and b"<testsuite" in head,
    "openmetrics": lambda head: head.startswith(b"# TYPE evalkit_"),
    "markdown": lambda head: head.startswith(MARKER.encode()),
}


def is_of_kind(kind: str, path: Path) -> bool:
    """Return whether a file begins as one of this kind (junit, openmetrics, markdown) does."""
    with path.open("rb") as file:
        return _BEGINS[kind](file.read(_HEAD))


def is_for_ci(path: Path) -> bool:
    """Return whether a file is one that evalkit writes for CI, of any kind."""
    try:
        return path.is_file() and any(is_of_kind(kind, path) for kind in _BEGINS)
    except OSError:
        return False
