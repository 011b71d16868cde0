"""Which files the user's code opens: a change in one of them may change a number.

Python tells of every file that it opens (``sys.addaudithook``); what is noted is what a model's code opens
while it is imported and built, and while it runs.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

When = Literal["built", "run"]
_WRITING = os.O_WRONLY | os.O_RDWR


class _Noted:
    """What was opened; one hook a process, because a hook cannot be removed.

    Each thread notes for itself: one that reads samples opens files while the model runs.
    """

    def __init__(self) -> None:
        self.hooked = False
        self._here = threading.local()
        self.paths: dict[When, set[str]] = {"built": set(), "run": set()}

    @property
    def now(self) -> When | None:
        """What this thread notes for; None where for nothing."""
        found: When | None = getattr(self._here, "now", None)
        return found

    @now.setter
    def now(self, when: When | None) -> None:
        self._here.now = when

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event != "open" or self.now is None or len(args) != 3:  # noqa: PLR2004 - path, mode, flags
            return
        path, _, flags = args
        if isinstance(path, (str, bytes)) and not (isinstance(flags, int) and flags & _WRITING):
            self.paths[self.now].add(os.fsdecode(path))


_NOTED = _Noted()


@contextmanager
def noting(when: When) -> Iterator[None]:
    """Note what is opened for reading; inside another noting the outer one goes on afterwards."""
    if not _NOTED.hooked:
        sys.addaudithook(_NOTED.hook)
        _NOTED.hooked = True
    before, _NOTED.now = _NOTED.now, when
    try:
        yield
    finally:
        _NOTED.now = before


def noted(when: When) -> frozenset[str]:
    """Return the paths that were opened."""
    return frozenset(_NOTED.paths[when])


def forget() -> None:
    """Begin anew: another run in the same process has other files."""
    for paths in _NOTED.paths.values():
        paths.clear()
