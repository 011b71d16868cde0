"""A run that would do the very same again: its documents stand, and its gates are judged again."""

from datetime import UTC, datetime
from pathlib import Path

from evalkit.baselines import BaselineRun, kept_baseline
from evalkit.cli.judging import Judgement, judged, rendered
from evalkit.cli.publishing import digest_of, keeps_table
from evalkit.errors import DocumentError
from evalkit.gallery import read_gallery
from evalkit.gates import Terms
from evalkit.parts import list_parts
from evalkit.result import FILE_NAME, EvalResult, read_result
from evalkit.rundir import DOCUMENTS, LEDGER, PARTS, RUN, RunDirectory
from evalkit.runfile import RunFile

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def known_run(directory: Path) -> RunFile | None:
    """Read what is there of a run, finished or not; None where nothing can be read."""
    if not (directory / RUN).exists():
        return None
    try:
        return RunFile.read_from(directory)
    except DocumentError:
        return None


def standing_result(directory: Path, known: RunFile | None, now: RunFile) -> EvalResult | None:
    """Return the result of a finished run that now would give the same; None where it must be computed.

    Args:
        directory: The run's.
        known: What it was made of.
        now: What it would be made of.
    """
    if known is None or not known.complete or known.repeated_by(now):
        return None
    try:
        if not {FILE_NAME} <= known.documents.keys() <= set(DOCUMENTS):
            return None
        if any(digest_of(directory / name) != digest for name, digest in known.documents.items()):
            return None
        result = read_result(directory)
    except (DocumentError, OSError):
        return None
    whole = not keeps_table(result) or LEDGER in known.documents
    return result if result.valid and whole else None


def holds_valid_result(directory: Path) -> bool:
    """Return whether a folder has the document of a valid run."""
    try:
        return read_result(directory).valid
    except DocumentError:
        return False


def shard_stands(directory: Path, known: RunFile, now: RunFile) -> bool:
    """Return whether a shard is there, as it would be made now."""
    if not known.complete or known.repeated_by(now) or not known.streams:
        return False
    names = [name for stream in known.streams.values() for name in stream["parts"]]
    found = {
        part.path.name: part for stream in known.streams for part in list_parts(directory / PARTS, stream)
    }
    return all(name in found and found[name].content() is not None for name in names)


def judge_again(
    directory: RunDirectory, result: EvalResult, terms: Terms, baseline: BaselineRun | None
) -> Judgement:
    """Judge a result that stands, and replace verdict and page."""
    path = directory.path
    baseline = baseline or kept_baseline(path)
    document = (path / FILE_NAME).read_bytes()
    verdict = judged(result, document, terms, baseline, ledger=path / LEDGER)
    judgement = rendered(result, verdict, read_gallery(path))
    directory.publish(judgement.documents(), keep=DOCUMENTS)
    return judgement


def age(finished: str | None) -> str:
    """Say how long ago that was: ``2 h ago``."""
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(finished or "")).total_seconds()
    except (TypeError, ValueError):
        return "earlier"
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), (1, "s"))
    return f"{max(int(seconds // size), 0)} {unit} ago"
