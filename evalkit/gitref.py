"""A baseline out of git: what was committed there, so that a change cannot bring its own judge."""

import subprocess
from pathlib import Path

from evalkit.errors import DocumentError, os_reason
from evalkit.rundir import BLESSING, LEDGER

PREFIX = "git:"
_RESULT = "result.json"
_SECONDS = 120


def checkout(named: str, *, base: Path, target: Path) -> Path:
    """Write a run that was committed into a folder, and return the folder.

    Args:
        named: ``git:REF:PATH``; the path is relative to the top of the repository.
        base: A folder inside the repository.
        target: An empty folder.

    Raises:
        DocumentError: There is no such ref or path, or no git; the message says which fetch is needed.
    """
    ref, colon, path = named.removeprefix(PREFIX).partition(":")
    if not (ref and colon and path) or ref.startswith("-"):
        raise DocumentError(f"{named}: expected git:REF:PATH")
    if _git(base, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}") is None:
        raise DocumentError(f"{named}: git knows no {ref!r} here", hint=f"git fetch origin {ref}")
    folder = path.rstrip("/")
    for name in (_RESULT, LEDGER, BLESSING):
        content = _git(base, "cat-file", "blob", f"{ref}:{folder}/{name}")
        if content is not None:
            (target / name).write_bytes(content)
        elif name == _RESULT:
            raise DocumentError(f"{named}: {ref} has no {folder}/{_RESULT}")
    return target


def _git(folder: Path, *words: str) -> bytes | None:
    try:
        done = subprocess.run(  # noqa: S603 - no shell; refs and paths are words of their own
            ["git", "-C", str(folder), *words],  # noqa: S607 - the user's own git
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DocumentError(f"git cannot be asked for the baseline: {os_reason(error)}") from error
    return done.stdout if done.returncode == 0 else None
