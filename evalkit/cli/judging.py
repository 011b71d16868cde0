"""What ``run`` and ``gate`` share: judge a result, render it, and say how it went."""

import atexit
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from evalkit.blessing import read_blessing
from evalkit.cli.console import emit, emit_json, tell
from evalkit.cli.exits import decide_exit
from evalkit.compare import Tables, pair
from evalkit.compare.document import comparison
from evalkit.errors import EvalkitError, ExitCode, SameModelError
from evalkit.gates import PlannedGate, judge
from evalkit.gitref import PREFIX, checkout
from evalkit.provenance import without_home
from evalkit.render.html import render_html
from evalkit.render.text import render_text
from evalkit.render.view import report_view
from evalkit.result import EvalResult, read_result
from evalkit.rundir import LEDGER, is_blessed
from evalkit.verdict import Verdict, exit_codes

# Said on purpose: comparing gates cannot be judged then, rather than being a mistake.
NO_BASELINE = "none"


@dataclass(frozen=True, slots=True)
class BaselineRun:
    """A baseline that was read before anything was measured."""

    path: Path
    result: EvalResult
    shown: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, its page, and an error that belongs to it without keeping it from being written."""

    verdict: Verdict
    page: bytes
    error: EvalkitError | None

    def documents(self) -> dict[str, bytes | Path]:
        """Return the two documents that a judgement replaces, always together."""
        return {"verdict.json": self.verdict.to_json(), "report.html": self.page}


def read_baseline(named: str | None, *, base: Path) -> BaselineRun | None:
    """Read a baseline's result before anything is measured; None where there is none, or that was said.

    Args:
        named: A run directory, ``git:REF:PATH``, or ``none``.
        base: What a directory is relative to.

    Raises:
        DocumentError: It cannot be read, or is not what was blessed.
    """
    if named is None or named == NO_BASELINE:
        return None
    path = base / Path(named).expanduser()
    if named.startswith(PREFIX):
        path = checkout(named, base=base, target=_scratch())
    if is_blessed(path):
        read_blessing(path)
    return BaselineRun(path, read_result(path), named if named.startswith(PREFIX) else str(path))


def _scratch() -> Path:
    """Return a new folder that goes with the process."""
    folder = Path(tempfile.mkdtemp(prefix="evalkit-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def judge_and_render(
    result: EvalResult,
    document: bytes,
    planned: Sequence[PlannedGate],
    baseline: BaselineRun | None,
    *,
    ledger: Path,
    allow_same_model: bool,
) -> Judgement:
    """Judge a result and render its page.

    Args:
        result: The candidate.
        document: The bytes of its result.json.
        planned: Its gates.
        baseline: What comparing checks compare with.
        ledger: The candidate's per-sample table.
        allow_same_model: The baseline may be the candidate.
    """
    compared = None
    if baseline is not None and result.valid:
        tables = Tables.of(ledger, baseline.path / LEDGER, result)
        compared = pair(result, baseline.result, allow_same_model=allow_same_model, tables=tables)
    verdict = judge(
        result,
        planned,
        compared=compared,
        baseline_path=None if baseline is None else without_home(baseline.shown),
        result_sha256=sha256(document).hexdigest(),
        comparison=None if compared is None or compared.differences else comparison(compared),
    )
    error: EvalkitError | None = None
    if compared is not None and compared.same_model:
        error = SameModelError(
            f"the baseline {compared.baseline.name!r} has the candidate's own weights and inputs",
            hint="Name another baseline, or say --allow-same-model",
        )
    return Judgement(verdict, render_html(result, verdict), error)


def announce(
    result: EvalResult,
    judgement: Judgement,
    directory: Path,
    *,
    as_json: bool,
    quiet: bool,
    written: bool = True,
) -> ExitCode:
    """Print the outcome and return the exit code of the verdict."""
    codes = exit_codes(judgement.verdict)
    if judgement.error is not None:
        codes.add(judgement.error.exit_code)
    if not result.valid:
        codes.add(ExitCode.CANNOT_JUDGE)
    code = decide_exit(codes, valid=result.valid)
    if as_json:
        emit_json(_summary(result, judgement.verdict, directory, code))
    else:
        emit(render_text(report_view(result, judgement.verdict)))
    if written and not quiet:
        tell(f"report: {directory / 'report.html'}")
    return code


def finish(code: ExitCode, error: EvalkitError | None) -> int:
    """Raise what the documents already say, so that stderr names it and the exit code follows."""
    if error is not None:
        raise error
    if code is ExitCode.CANNOT_JUDGE:
        tell("evalkit: error[cannot-judge]: a gate cannot be judged; the table says which and why")
    elif code is ExitCode.GATE_FAILED:
        tell("evalkit: error[gate-failed]: a gate failed; the table says which and by how much")
    return int(code)


def _summary(result: EvalResult, verdict: Verdict, directory: Path, code: ExitCode) -> dict[str, object]:
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
        "directory": str(directory),
    }
