"""Rules in, verdict out. What is unknown never passes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.baselines import BaselineRun
from evalkit.compare import Pair, Remarks, pair, tables_of
from evalkit.compare.document import comparison
from evalkit.display import show
from evalkit.gates.case import Case
from evalkit.gates.families import check_family
from evalkit.gates.judging import check_rule, rules_of
from evalkit.gates.plan import PlannedGate, plan_gates, stored_slices
from evalkit.integrity import DOUBTS
from evalkit.provenance import without_home
from evalkit.result import EvalResult
from evalkit.rows import describe
from evalkit.rules import clears
from evalkit.spec import CompareSpec
from evalkit.verdict import Baseline, Check, Verdict, worst

__all__ = ["PlannedGate", "Terms", "judge", "judge_run", "plan_gates", "stored_slices"]


@dataclass(frozen=True, slots=True)
class Terms:
    """How a run is judged.

    Attributes:
        planned: Its gates, from :func:`plan_gates`.
        compare: What is done where the data changed since the baseline.
        allow_same_model: The baseline may be the candidate.
        strict: A warning is a failure.
    """

    planned: Sequence[PlannedGate]
    compare: CompareSpec = CompareSpec()  # noqa: RUF009 - frozen
    allow_same_model: bool = False
    strict: bool = False


def judge_run(
    result: EvalResult, terms: Terms, baseline: BaselineRun | None, *, ledger: Path | None, result_sha256: str
) -> tuple[Verdict, Pair | None]:
    """Compare a run with its baseline, where there is one, and judge all gates.

    Args:
        result: The candidate.
        terms: How it is judged.
        baseline: What comparing checks compare with.
        ledger: Where the candidate's per-sample table is, or would be; None for none.
        result_sha256: Of the candidate's result.json.

    Raises:
        DocumentError: A per-sample table is damaged.
    """
    compared = None
    if baseline is not None and result.valid:
        compared = pair(
            result,
            baseline.result,
            allow_same_model=terms.allow_same_model,
            tables=tables_of(result, baseline.result, ledger, baseline.ledger),
            compare=terms.compare,
        )
    verdict = judge(
        result,
        terms.planned,
        compared=compared,
        baseline_path=None if baseline is None else without_home(baseline.shown),
        result_sha256=result_sha256,
        comparison=None if compared is None or compared.differences else comparison(compared),
        strict=terms.strict,
    )
    return verdict, compared


def judge(
    result: EvalResult,
    planned: Sequence[PlannedGate],
    *,
    compared: Pair | None,
    baseline_path: str | None,
    result_sha256: str,
    comparison: dict[str, Any] | None = None,
    strict: bool = False,
) -> Verdict:
    """Judge all gates.

    Args:
        result: The candidate.
        planned: From :func:`plan_gates`.
        compared: The candidate beside its baseline, where there is one.
        baseline_path: Where the baseline was, as it is shown.
        result_sha256: Of the candidate's result.json, so that the verdict names what it judged.
        comparison: The two runs side by side, as the verdict holds it.
        strict: A warning is a failure.
    """
    case = Case(result, compared)
    checks = tuple(
        (check_family if gate.family else check_rule)(case, gate, rule, limit)
        for gate, rule, limit in rules_of(planned)
    )
    said = Remarks() if compared is None else compared.remarks
    narrow = [(check.advisory, text) for check in checks if (text := _too_narrow(check)) is not None]
    doubts = (f"{row.detail}." for row in result.integrity if row.check in DOUBTS and row.status == "warn")
    warnings = (*doubts, *said.warnings, *(text for advisory, text in narrow if not advisory))
    return Verdict(
        name=result.name,
        outcome=worst(checks, warned=strict and bool(warnings)),
        valid=result.valid,
        checks=checks,
        warnings=warnings,
        notes=(*said.notes, *(text for advisory, text in narrow if advisory)),
        signature=result.signature,
        result_sha256=result_sha256,
        baseline=None if compared is None else _baseline(compared, baseline_path),
        comparison=comparison,
        strict=strict,
    )


def _too_narrow(check: Check) -> str | None:
    """Return a warning where an equally good candidate would often not pass."""
    power = check.power
    if check.rule != "max_drop" or power is None or clears(check.limit, power.margin or 0.0, at_least=True):
        return None
    row = describe(check.key)
    return (
        f"Gate {check.gate + 1}: a margin of {show(check.limit)} on {row} is narrower than these samples can "
        f"support: an equally good model passes four times in five only from {show(power.margin)} on."
    )


def _baseline(compared: Pair, path: str | None) -> Baseline:
    baseline = compared.baseline
    return Baseline(
        name=baseline.name, path=path or "", signature=baseline.signature, digests=baseline.digests
    )
