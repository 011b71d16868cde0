"""What ``run`` and ``merge`` share: judge an evaluation, choose samples to show, replace the documents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from evalkit.baselines import BaselineRun, measured_name
from evalkit.binned import FILE_NAME as SCORES
from evalkit.binned import ClassBins
from evalkit.blessing import slim_ledger
from evalkit.cli.judging import Judgement, judged, rendered
from evalkit.concluding import Evaluation
from evalkit.gallery import FILE_NAME as GALLERY
from evalkit.gallery import GalleryRow, write_gallery
from evalkit.gates import Terms
from evalkit.result import EvalResult
from evalkit.rundir import BASELINE_LEDGER, BASELINE_RESULT, LEDGER, RUN, RunDirectory
from evalkit.runfile import RunFile
from evalkit.verdict import Verdict

Gallery = Callable[[Verdict], Sequence[GalleryRow]]


class Published(Protocol):
    """What the documents of a run are written from."""

    @property
    def result(self) -> EvalResult:
        """The document."""

    @property
    def table(self) -> Path | None:
        """The per-sample table; None where there is none."""

    @property
    def bins(self) -> ClassBins | None:
        """Of classes that gates rank by and the table does not hold."""


@dataclass(frozen=True, slots=True)
class Concluded:
    """An evaluation and the file of its per-sample table."""

    evaluation: Evaluation
    ledger: Path

    @property
    def result(self) -> EvalResult:
        """The document."""
        return self.evaluation.result

    @property
    def table(self) -> Path | None:
        """The per-sample table; None of an invalid run."""
        return self.ledger if self.evaluation.failure is None else None

    @property
    def bins(self) -> ClassBins:
        """Of classes that gates rank by and the table does not hold."""
        return self.evaluation.bins


def publish_evaluation(
    directory: RunDirectory,
    found: Published,
    terms: Terms,
    baseline: BaselineRun | None,
    gallery: Gallery,
    run: RunFile | None = None,
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
        run: What it was made of; None where there is nothing to go on with or to repeat.
        complete: Whether nothing is left to go on with.
    """
    result = found.result
    table = found.table if keeps_table(result) else None
    document = result.to_json()
    verdict = judged(result, document, terms, baseline, ledger=table)
    parts: dict[str, bytes | Path] = {}
    rows: Sequence[GalleryRow] = ()
    if table is not None:
        parts[LEDGER] = table
        rows = gallery(verdict.verdict)
        if rows:
            shown = parts[GALLERY] = directory.temporary(GALLERY)
            write_gallery(shown, rows)
    if found.table is not None:
        scores = directory.temporary(SCORES)
        if found.bins is not None and found.bins.write(scores):
            parts[SCORES] = scores
    judgement = rendered(result, verdict, rows)
    parts |= {"result.json": document, **verdict.baseline}
    documents = {**parts, **judgement.documents()}
    if run is not None:
        sums = {name: _digest(content) for name, content in parts.items()}
        documents[RUN] = (finished(run, sums) if complete else run).to_json()
    directory.publish(documents)
    return judgement


def keeps_table(result: EvalResult) -> bool:
    """Return whether the per-sample table is a document of the run; its numbers are made of one anyhow."""
    return result.run.get("ledger") != "none"


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
