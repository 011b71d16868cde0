"""Rules in, verdict out. What is unknown never passes.

>>> clears(0.95, 0.95, at_least=True), clears(float("nan"), 0.1, at_least=False)
(True, False)
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from evalkit.catalogue import UNDEFINED_TEXTS, Metric, find_metric
from evalkit.compare import Pair
from evalkit.display import quoted, show, tell_apart
from evalkit.errors import SpecificationError, listed, nearest
from evalkit.result import EvalResult
from evalkit.rows import (
    MIN_SUPPORT,
    MetricRow,
    RowKey,
    asked_metric,
    bin_names,
    describe,
    possible_keys,
    row_key,
)
from evalkit.spec import GateSpec, KeyPath, SourceMap
from evalkit.verdict import Baseline, Check, Outcome, Rule, Verdict, worst

MAX_UNREADABLE = 0.01


@dataclass(frozen=True, slots=True)
class PlannedGate:
    """A gate and the one row that it names.

    Attributes:
        index: Its position in the list, from 0.
        gate: The rule.
        key: The row.
    """

    index: int
    gate: GateSpec
    key: RowKey


def clears(value: float | None, limit: float, *, at_least: bool) -> bool:
    """Return whether a value is finite and on the right side of a limit; equality clears.

    Nothing else in evalkit holds a value against a limit.
    """
    if value is None or not math.isfinite(value) or not math.isfinite(limit):
        return False
    return value >= limit if at_least else value <= limit


def plan_gates(
    gates: Sequence[GateSpec],
    class_names: Sequence[str],
    source: SourceMap,
    *,
    task: str,
    slices: Sequence[Any] = (),
) -> tuple[PlannedGate, ...]:
    """Find the row of each gate, before anything is measured.

    Args:
        gates: The rules.
        class_names: Of the run.
        source: Where they were written.
        task: Of the run.
        slices: The run's slices, as in its specification.

    Raises:
        SpecificationError: A gate names no row that these classes and the catalogue make possible.
    """
    return tuple(
        PlannedGate(index, gate, _find_row(gate, class_names, task, source, index, slices))
        for index, gate in enumerate(gates)
    )


def judge(
    result: EvalResult,
    planned: Sequence[PlannedGate],
    *,
    compared: Pair | None,
    baseline_path: str | None,
    result_sha256: str,
) -> Verdict:
    """Judge all gates.

    Args:
        result: The candidate.
        planned: From :func:`plan_gates`.
        compared: The candidate beside its baseline, where there is one.
        baseline_path: Where the baseline was, as it is shown.
        result_sha256: Of the candidate's result.json, so that the verdict names what it judged.
    """
    checks = tuple(
        _check(result, gate, rule, limit, compared)
        for gate in planned
        for rule, limit in gate.gate.rules().items()
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
    )


def _find_row(
    gate: GateSpec,
    class_names: Sequence[str],
    task: str,
    source: SourceMap,
    index: int,
    slices: Sequence[Any],
) -> RowKey:
    path = ("gates", index)
    _check_slice(gate, slices, source, path)
    try:
        metric = find_metric(gate.metric)
    except SpecificationError as error:
        raise source.error((*path, "metric"), error.message) from error
    if gate.class_ is not None and gate.class_ not in class_names:
        raise source.error(
            (*path, "class"), f"unknown class {quoted(gate.class_)}{nearest(gate.class_, class_names)}"
        )
    for name in ("k", "beta"):
        if getattr(gate, name) is not None and name not in metric.params:
            raise source.error((*path, name), f"{metric.slug} has no parameter {name}")
    _, params = asked_metric(metric.slug, k=gate.k, beta=gate.beta)
    shared: dict[str, Any] = {"params": params, "slice_": gate.slice}
    key = row_key(metric.slug, average=gate.average, class_name=gate.class_, **shared)
    if gate.slice is not None and metric.needs != "counts":
        raise source.error((*path, "slice"), f"{metric.slug} is not computed in slices")
    if key not in possible_keys(metric, class_names, task=task, **shared):
        hint = _candidates(metric, class_names, task)
        raise source.error(path, f"{describe(key)} is no row of a {task} run", hint=hint)
    return key


def _check_slice(gate: GateSpec, slices: Sequence[Any], source: SourceMap, path: KeyPath) -> None:
    """Refuse a slice of columns that are not declared, or of a bin that does not exist."""
    if gate.slice is None:
        return
    for by in slices:
        columns = [by] if isinstance(by, str) else list(by)
        if set(columns) != set(gate.slice):
            continue
        if isinstance(by, Mapping):
            names = bin_names([float(str(edge)) for edge in by[columns[0]]])
            if gate.slice[columns[0]] not in names:
                raise source.error((*path, "slice", columns[0]), f"expected one of {listed(names)}")
        return
    declared = [by if isinstance(by, str) else " and ".join(by) for by in slices]
    hint = f"Declared are: {listed(declared)}" if declared else "Declare data.slices"
    raise source.error((*path, "slice"), "is no declared slice", hint=hint)


def _candidates(metric: Metric, class_names: Sequence[str], task: str) -> str | None:
    if task in metric.overall:
        return f"{metric.label} has one value for the whole run: leave class and average out"
    if task not in metric.per_class:
        return None
    names = f"class: one of {listed([quoted(name) for name in class_names])}"
    kinds = metric.averages_in(task)
    averages = f"average: {' | '.join(kinds)}, or " if kinds else ""
    return f"Say {averages}{names}"


def _check(
    result: EvalResult, planned: PlannedGate, rule: Rule, limit: float, compared: Pair | None
) -> Check:
    if rule == "max_drop":
        found = _judge_drop(result, planned.key, limit, compared)
    else:
        found = _judge_limit(result, planned.key, limit, at_least=rule == "min")
    return Check(
        gate=planned.index,
        rule=rule,
        limit=limit,
        judge="point",
        metric=planned.key[0],
        average=planned.key[2],
        class_name=planned.key[3],
        params=dict(planned.key[1]),
        slice=None if planned.key[4] is None else dict(planned.key[4]),
        advisory=planned.gate.advisory,
        **found,
    )


def _judge_limit(result: EvalResult, key: RowKey, limit: float, *, at_least: bool) -> dict[str, Any]:
    row = result.rows().get(key)
    problem = _unknown(result, row)
    if problem is not None:
        return _found(key, "cannot_judge", *problem)
    assert row is not None
    passed = clears(row.value, limit, at_least=at_least)
    shown, bound = tell_apart(row.value, limit)
    word = "at least" if at_least else "at most"
    sentence = f"{describe(key)} is {shown} {'and' if passed else 'but'} must be {word} {bound}"
    outcome: Outcome = "passed" if passed else "failed"
    return _found(key, outcome, "clears" if passed else "beyond_limit", sentence, value=row.value)


def _judge_drop(result: EvalResult, key: RowKey, limit: float, compared: Pair | None) -> dict[str, Any]:
    if compared is None:
        return _found(key, "cannot_judge", "no_baseline", "there is no baseline")
    problem = _unknown(result, result.rows().get(key))
    if problem is None and compared.same_model:
        problem = "same_model", "the baseline is the same model on the same inputs"
    if problem is None and compared.differences:
        problem = "incomparable", f"the baseline answers another question: {listed(compared.differences)}"
    mine, theirs = (None, None) if problem else compared.rows(key)
    if problem is None:
        problem = _unknown(result, mine) or _unknown_baseline(theirs)
    if problem is not None:
        return _found(key, "cannot_judge", *problem, value=None if mine is None else mine.value)
    assert mine is not None
    assert theirs is not None
    drop = exact_drop(mine, theirs)
    passed = clears(drop, limit, at_least=False)
    shown, bound = tell_apart(drop, limit)
    change = "rose" if drop < 0 else "is unchanged" if drop == 0 else "dropped"
    if mine.greater_is_better is False:
        change = {"rose": "fell", "dropped": "rose"}.get(change, change)
    amount = "" if drop == 0 else f" by {shown.removeprefix('-')}"
    sentence = (
        f"{describe(key)} {change}{amount} ({show(theirs.value)} to {show(mine.value)}), "
        f"{'allowed' if passed else 'but only allowed'} {bound}"
    )
    outcome: Outcome = "passed" if passed else "failed"
    return _found(
        key,
        outcome,
        "clears" if passed else "beyond_limit",
        sentence,
        value=mine.value,
        baseline_value=theirs.value,
        drop=drop,
    )


def exact_drop(mine: MetricRow, theirs: MetricRow) -> float:
    """Return how much worse the candidate is, correctly rounded from the exact ratios of counts."""
    difference = _exact(theirs) - _exact(mine)
    return float(-difference if mine.greater_is_better is False else difference)


def _exact(row: MetricRow) -> Fraction:
    if row.numerator is not None and row.denominator:
        return Fraction(row.numerator, row.denominator)
    return Fraction(repr(row.value))


def _unknown(result: EvalResult, row: MetricRow | None) -> tuple[str, str] | None:
    if not result.valid:
        return "invalid_run", "the run is invalid"
    if result.partial is not None:
        return "partial", f"only {result.partial.limit} of {result.partial.of} samples were evaluated"
    unreadable, found = result.data.get("n_unreadable") or 0, result.data.get("n_samples") or 0
    if unreadable > MAX_UNREADABLE * found:
        return "unreadable", f"{unreadable} of {found} samples could not be read, over 1 %"
    if row is None:
        return "missing", "the run does not have this row"
    return _unknown_value(row)


def _unknown_value(row: MetricRow) -> tuple[str, str] | None:
    if row.value is None:
        return "undefined", f"the value is undefined ({_why(row)})"
    support = row.n_samples if row.denominator is None else row.denominator
    if row.slice is not None and support < MIN_SUPPORT:
        return "insufficient", f"{support} samples are too few, {MIN_SUPPORT} are needed"
    return None


def _unknown_baseline(row: MetricRow | None) -> tuple[str, str] | None:
    if row is None:
        return "missing", "the baseline does not have this row"
    if row.value is None:
        return "undefined", f"the baseline's value is undefined ({_why(row)})"
    return None


def _why(row: MetricRow) -> str:
    return UNDEFINED_TEXTS.get(row.undefined or "", str(row.undefined))


def _found(
    key: RowKey,
    outcome: Outcome,
    reason: str,
    sentence: str,
    *,
    value: float | None = None,
    baseline_value: float | None = None,
    drop: float | None = None,
) -> dict[str, Any]:
    if outcome == "cannot_judge":
        sentence = f"{describe(key)} cannot be judged: {sentence}"
    return {
        "outcome": outcome,
        "reason": reason,
        "sentence": sentence,
        "value": value,
        "baseline_value": baseline_value,
        "drop": drop,
    }


def _baseline(compared: Pair, path: str | None) -> Baseline:
    baseline = compared.baseline
    return Baseline(
        name=baseline.name, path=path or "", signature=baseline.signature, digests=baseline.digests
    )
