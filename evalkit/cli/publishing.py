"""What ``run`` and ``merge`` share: judge an evaluation, choose samples to show, replace the documents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from evalkit.baselines import BaselineRun, measured_name
from evalkit.blessing import slim_ledger
from evalkit.cli.judging import Judgement, judged, rendered
from evalkit.concluding import Evaluation
from evalkit.gallery import FILE_NAME as GALLERY
from evalkit.gallery import GalleryRow, write_gallery
from evalkit.gates import Terms
from evalkit.rundir import BASELINE_LEDGER, BASELINE_RESULT, LEDGER, RUN, RunDirectory
from evalkit.runfile import RunFile
from evalkit.verdict import Verdict

Gallery = Callable[[Verdict], Sequence[GalleryRow]]


@dataclass(frozen=True, slots=True)
class Concluded:
    """An evaluation and the file of its per-sample table."""

    evaluation: Evaluation
    ledger: Path


def publish_evaluation(
    directory: RunDirectory,
    found: Concluded,
    terms: Terms,
    baseline: BaselineRun | None,
    gallery: Gallery,
    run: RunFile,
    *,
    complete: bool = True,
) -> Judgement:
    """Judge an evaluation, and write everything that is said of it.

    Args:
        directory: Where.
        found: The evaluation.
        terms: How it is judged.
        baseline: What comparing checks compare with.
        gallery: Chooses samples to show, once the verdict is known.
        run: What it was made of.
        complete: Whether nothing is left to go on with.
    """
    evaluation, ledger = found.evaluation, found.ledger
    document = evaluation.result.to_json()
    verdict = judged(evaluation.result, document, terms, baseline, ledger=ledger)
    parts: dict[str, bytes | Path] = {}
    rows: Sequence[GalleryRow] = ()
    if evaluation.failure is None:
        parts[LEDGER] = ledger
        rows = gallery(verdict.verdict)
        if rows:
            shown = parts[GALLERY] = directory.temporary(GALLERY)
            write_gallery(shown, rows)
        scores = directory.temporary("scores.npz")
        if evaluation.bins.write(scores):
            parts["scores.npz"] = scores
    judgement = rendered(evaluation.result, verdict, rows)
    parts |= {"result.json": document, **verdict.baseline}
    sums = {name: _digest(content) for name, content in parts.items()}
    written = finished(run, sums) if complete else run
    directory.publish({**parts, **judgement.documents(), RUN: written.to_json()})
    return judgement


def flipped_ids(verdict: Verdict) -> Sequence[str]:
    """Return samples that the baseline had right and the candidate has not."""
    flips = (verdict.comparison or {}).get("flips") or {}
    return flips.get("negative_ids") or ()


def finished(run: RunFile, sums: dict[str, str]) -> RunFile:
    """Return a run.json that says that everything is there."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return replace(run, complete=True, finished=now, documents=sums)


def measured(found: Concluded) -> BaselineRun:
    """Return a baseline that was measured, with the documents that the run keeps of it."""
    result = found.evaluation.result
    documents: dict[str, bytes | Path] = {BASELINE_RESULT: result.to_json()}
    if found.evaluation.failure is None:
        documents[BASELINE_LEDGER] = slim_ledger(found.ledger, scores=True)
    return BaselineRun(result, found.ledger, measured_name(result.spec), documents)


def _digest(content: bytes | Path) -> str:
    return digest_of(content) if isinstance(content, Path) else sha256(content).hexdigest()


def digest_of(path: Path) -> str:
    """Return a file's SHA-256, read in pieces."""
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
