"""The kinds of files for CI: which are asked for, who writes them, and how one is known again."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.render.judged_run import JudgedRun
from evalkit.render.junit import render_junit
from evalkit.render.openmetrics import render_openmetrics
from evalkit.render.summaries import MARKER, render_comment

_HEAD = 4096
# JUnit XML may also be another program's.
_BEGINS: Mapping[str, Callable[[bytes], bool]] = {
    "junit": lambda head: head.lstrip().startswith(b"<") and b"<testsuite" in head,
    "openmetrics": lambda head: head.startswith(b"# TYPE evalkit_"),
    "markdown": lambda head: head.startswith(MARKER.encode()),
}


_WRITERS: Mapping[str, Callable[[Sequence[JudgedRun]], bytes]] = {
    "junit": render_junit,
    "openmetrics": lambda runs: _bytes(render_openmetrics(runs)),
    "markdown": lambda runs: _bytes(render_comment(runs)),
}


@dataclass(frozen=True, slots=True)
class CiOptions:
    """What is written for CI.

    Attributes:
        junit, openmetrics, markdown: Files; None for none.
        quiet: Nothing is told to the job itself.
        as_json: Stdout holds a JSON document.
    """

    junit: Path | None = None
    openmetrics: Path | None = None
    markdown: Path | None = None
    quiet: bool = False
    as_json: bool = False

    @property
    def named(self) -> dict[str, Path]:
        """Each kind of file that is asked for."""
        paths = {"junit": self.junit, "openmetrics": self.openmetrics, "markdown": self.markdown}
        return {kind: path for kind, path in paths.items() if path is not None}

    def without(self, kinds: Collection[str]) -> "CiOptions":
        """Return the same without some kinds of files."""
        left = {kind: path for kind, path in self.named.items() if kind not in kinds}
        junit, openmetrics, markdown = map(left.get, _WRITERS)
        return replace(self, junit=junit, openmetrics=openmetrics, markdown=markdown)

    @property
    def files(self) -> list[tuple[Path, Callable[[Sequence[JudgedRun]], bytes]]]:
        """Each file and its writer."""
        return [(path, _WRITERS[kind]) for kind, path in self.named.items()]


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


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
