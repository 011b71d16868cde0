"""Facts about the machine and the command, collected once; no user name, host name or home path."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from evalkit import __version__

_PACKAGES = ("torch", "numpy", "scikit-learn", "pandas", "pyarrow", "safetensors", "torchvision")


def collect_provenance(
    *, command: Sequence[str], specification: Path | None, base: Path, directory: Path, started: str
) -> dict[str, Any]:
    """Collect what a reader needs to repeat a run.

    Args:
        command: The words of the command line.
        specification: The file, as it was named; None where flags said everything.
        base: The folder that the specification's paths are relative to.
        directory: The run's folder, which the two are written relative to.
        started: The time in ISO 8601, from the caller's clock.
    """
    return {
        "started": started,
        "command": [without_home(word) for word in command],
        "specification": None if specification is None else portable_path(specification, base=directory),
        "base": portable_path(base, base=directory),
        "versions": {"python": platform.python_version(), **versions()},
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu_count": os.cpu_count(),
        "git": _git(Path(os.path.abspath(base))),  # noqa: PTH100 - the folder, not what it links to
    }


def without_home(text: str) -> str:
    """Write the home folder as ``~``; the text is otherwise unchanged."""
    home = _home()
    plain = text if home is None else re.sub(re.escape(home) + r"(?=[/\\]|$)", "~", text)
    return plain.encode("utf-8", "backslashreplace").decode()


def _home() -> str | None:
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home raises where there is none
    return home if Path(home).is_absolute() and len(home) > 1 else None


def portable_path(path: Path, *, base: Path) -> str:
    """Write a path relative to the specification's folder, or from ``~`` where that would name the home.

    Args:
        path: As it can be opened now.
        base: The specification's folder.
    """
    target, start = os.path.abspath(path), os.path.abspath(base)  # noqa: PTH100 - links stay as they are named
    home = _home()
    if home is not None and _inside(target, home) and not _inside(start, home):
        return without_home(target)
    return Path(os.path.relpath(target, start)).as_posix()


def _inside(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


@cache
def versions() -> dict[str, str]:
    """Return the versions of evalkit and of what it stands on."""
    found = {"evalkit": __version__}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def _git(folder: Path) -> dict[str, Any] | None:
    """Ask git once a process: a result says what the code was when it started."""
    commit = _git_output(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(_git_output(folder, "status", "--porcelain", "-uno"))}


def _git_output(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, no shell
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
