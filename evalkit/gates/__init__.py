"""Rules in, verdict out. What is unknown never passes."""

from collections.abc import Sequence
from typing import Any

from evalkit.compare import Pair
from evalkit.gates.families import check_family
from evalkit.gates.judging import check_rule, rules_of
from evalkit.gates.plan import PlannedGate, plan_gates
from evalkit.result import EvalResult
from evalkit.verdict import Baseline, Verdict, worst

__all__ = ["PlannedGate", "judge", "plan_gates"]


def judge(
    result: EvalResult,
    planned: Sequence[PlannedGate],
    *,
    compared: Pair | None,
    baseline_path: str | None,
    result_sha256: str,
    comparison: dict[str, Any] | None = None,
) -> Verdict:
    """Judge all gates.

    Args:
        result: The candidate.
        planned: From :func:`plan_gates`.
        compared: The candidate beside its baseline, where there is one.
        baseline_path: Where the baseline was, as it is shown.
        result_sha256: Of the candidate's result.json, so that the verdict names what it judged.
        comparison: The two runs side by side, as the verdict holds it.
    """
    checks = tuple(
        (check_family if gate.family else check_rule)(result, gate, rule, limit, compared)
        for gate, rule, limit in rules_of(planned)
    )
    return Verdict(
        name=result.name,
        outcome=worst(checks),
        valid=result.valid,
        checks=checks,
        warnings=() if compared is None else compared.warnings,
        signature=result.signature,
        result_sha256=result_sha256,
        baseline=None if compared is None else _baseline(compared, baseline_path),
        comparison=comparison,
    )


def _baseline(compared: Pair, path: str | None) -> Baseline:
    baseline = compared.baseline
    return Baseline(
        name=baseline.name, path=path or "", signature=baseline.signature, digests=baseline.digests
    )
