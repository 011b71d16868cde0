"""What ``run`` and ``gate`` share: judge a result, render it, and say how it went."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from evalkit.baselines import BaselineRun
from evalkit.cli.console import emit, emit_json, tell
from evalkit.cli.exits import decide_exit
from evalkit.errors import EvalkitError, ExitCode, SameModelError
from evalkit.gallery import GalleryRow
from evalkit.gates import Terms, judge_run
from evalkit.render.expectation import expectation_text
from evalkit.render.html import render_html
from evalkit.render.text import render_text
from evalkit.render.view import report_view
from evalkit.result import EvalResult
from evalkit.verdict import Verdict, exit_codes


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict before its page."""

    verdict: Verdict
    error: EvalkitError | None
    baseline: Mapping[str, bytes | Path]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, its page, and an error that belongs to it without keeping it from being written."""

    verdict: Verdict
    page: bytes
    error: EvalkitError | None
    baseline: Mapping[str, bytes | Path]

    def documents(self) -> dict[str, bytes | Path]:
        """Return the documents that a judgement replaces, always together."""
        return {**self.baseline, "verdict.json": self.verdict.to_json(), "report.html": self.page}


def judged(
    result: EvalResult, document: bytes, terms: Terms, baseline: BaselineRun | None, *, ledger: Path | None
) -> Judged:
    """Judge a result.

    Args:
        result: The candidate.
        document: The bytes of its result.json.
        terms: How it is judged.
        baseline: What comparing checks compare with.
        ledger: The candidate's per-sample table; None for none.
    """
    digest = sha256(document).hexdigest()
    verdict, compared = judge_run(result, terms, baseline, ledger=ledger, result_sha256=digest)
    error: EvalkitError | None = None
    if compared is not None and compared.same_model:
        error = SameModelError(
            f"the baseline {compared.baseline.name!r} has the candidate's own weights and inputs",
            hint="Name another baseline, or say --allow-same-model",
        )
    return Judged(verdict, error, {} if baseline is None else baseline.documents)


def rendered(result: EvalResult, found: Judged, gallery: Sequence[GalleryRow]) -> Judgement:
    """Render the page of a judged result."""
    return Judgement(found.verdict, render_html(result, found.verdict, gallery), found.error, found.baseline)


def announce(
    result: EvalResult,
    judgement: Judgement,
    directory: Path,
    *,
    as_json: bool,
    quiet: bool,
    written: bool = True,
    expected: Mapping[str, Any] | None = None,
) -> ExitCode:
    """Print the outcome and return the exit code of the verdict.

    Args:
        result, judgement: What was found.
        directory: Of the run.
        as_json, quiet: How to print.
        written: Whether a report was.
        expected: What became of a number that was seen elsewhere.
    """
    code = code_of(result, judgement)
    if as_json:
        summary = summary_of(result, judgement.verdict, directory, code)
        emit_json(summary if expected is None else {**summary, "expected": dict(expected)})
    else:
        emit(render_text(report_view(result, judgement.verdict)))
        if expected is not None:
            emit("\n" + "\n".join(expectation_text(expected)) + "\n")
    if written and not quiet:
        tell(f"report: {directory / 'report.html'}")
        if judgement.verdict.outcome == "none" and result.valid and result.partial is None:
            tell(f"no gates are set: evalkit plan {directory} --suggest prints some to start from")
    return code


def code_of(result: EvalResult, judgement: Judgement) -> ExitCode:
    """Return the exit code of a judged run."""
    codes = {document_code(result, judgement.verdict)}
    if judgement.error is not None:
        codes.add(judgement.error.exit_code)
    return decide_exit(codes, valid=result.valid)


def document_code(result: EvalResult, verdict: Verdict | None) -> ExitCode:
    """Return the exit code that follows from documents alone."""
    codes = set() if verdict is None else exit_codes(verdict)
    if not result.valid:
        codes.add(ExitCode.CANNOT_JUDGE)
    return decide_exit(codes, valid=result.valid)


def finish(code: ExitCode, error: EvalkitError | None) -> int:
    """Raise what the documents already say, so that stderr names it and the exit code follows."""
    if error is not None:
        raise error
    if code is ExitCode.CANNOT_JUDGE:
        tell("evalkit: error[cannot-judge]: a gate cannot be judged; the table says which and why")
    elif code is ExitCode.GATE_FAILED:
        tell(
            "evalkit: error[gate-failed]: a gate failed (or, with --strict, a warning); the table says which"
        )
    elif code is ExitCode.INCONCLUSIVE:
        tell("evalkit: error[inconclusive]: the samples are too few to decide a gate; the table says which")
    return int(code)


def summary_of(result: EvalResult, verdict: Verdict, directory: Path, code: ExitCode) -> dict[str, object]:
    """Return what ``--json`` prints of a run."""
    document, judged = result.model_dump(mode="json"), verdict.model_dump(mode="json")
    return {
        "name": result.name,
        "valid": result.valid,
        "n_samples": result.n_samples,
        "signature": result.signature,
        "outcome": verdict.outcome,
        "exit_code": int(code),
        "metrics": [row for row in document["metrics"] if row["class_name"] is None],
        "checks": judged["checks"],
        "warnings": judged["warnings"],
        "notes": judged["notes"],
        "directory": str(directory),
    }
