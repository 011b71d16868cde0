"""What a candidate is compared with: a run, a blessed one, one out of git, or one measured beside it."""

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from evalkit.blessing import read_blessing
from evalkit.errors import DocumentError
from evalkit.gitref import PREFIX, checkout
from evalkit.result import EvalResult, read_result
from evalkit.rundir import BASELINE_LEDGER, BASELINE_RESULT, LEDGER, is_blessed

# Said on purpose: comparing gates cannot be judged then, rather than being a mistake.
NO_BASELINE: Final = "none"


@dataclass(frozen=True, slots=True)
class BaselineRun:
    """A baseline's documents.

    Attributes:
        result: Its result.
        ledger: Where its per-sample table is, or would be; None for a result without one.
        shown: What it is called.
        documents: What a run directory keeps of one that was measured beside the candidate.
    """

    result: EvalResult
    ledger: Path | None
    shown: str
    documents: Mapping[str, bytes | Path] = field(default_factory=dict)


def read_baseline(named: str | None, *, base: Path) -> BaselineRun | None:
    """Read a baseline's result before anything is measured; None where there is none, or that was said.

    Args:
        named: A run directory, ``git:REF:PATH``, or ``none``.
        base: What a directory is relative to, and a folder of the repository; where it is not on this
            machine, as for a run that came from another one, git is asked in the current folder.

    Raises:
        DocumentError: It cannot be read, or is not what was blessed.
    """
    if named is None or named == NO_BASELINE:
        return None
    if not named.strip():
        raise DocumentError("baseline: expected a run directory, git:REF:PATH or none, got nothing")
    path = base / Path(named).expanduser()
    if named.startswith(PREFIX):
        path = checkout(named, base=base if base.is_dir() else Path(), target=scratch_folder())
    if is_blessed(path):
        read_blessing(path)
    shown = named if named.startswith(PREFIX) else str(path)
    return BaselineRun(read_result(path), path / LEDGER, shown)


def kept_baseline(directory: Path) -> BaselineRun | None:
    """Read the baseline that was measured together with a run; None where there is none.

    Raises:
        DocumentError: It is damaged.
    """
    if not (directory / BASELINE_RESULT).exists():
        return None
    result = read_result(directory, name=BASELINE_RESULT)
    return BaselineRun(result, directory / BASELINE_LEDGER, measured_name(result.spec))


def measured_name(spec: Mapping[str, Any]) -> str:
    """Return what a baseline is called that was measured beside a candidate: its checkpoint's path."""
    return f"checkpoint {(spec.get('model') or {}).get('checkpoint')}"


def scratch_folder() -> Path:
    """Return a new folder that goes with the process."""
    folder = Path(tempfile.mkdtemp(prefix="evalkit-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
