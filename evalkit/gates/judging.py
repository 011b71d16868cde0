"""One row against one limit: the value, its interval, or its distance from the baseline."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from evalkit.catalogue import NO_INTERVAL_TEXTS, UNDEFINED_TEXTS
from evalkit.compare import Pair
from evalkit.count_rows import count_rows, margins_of, members_of
from evalkit.display import show, tell_apart
from evalkit.errors import listed
from evalkit.gates.plan import PlannedGate
from evalkit.result import EvalResult
from evalkit.rows import MIN_SUPPORT, MetricRow, RowKey, describe
from evalkit.rules import judge_drop, judge_limit
from evalkit.verdict import Check, Outcome, Rule

MAX_UNREADABLE = 0.01
DEFAULT_ALPHA = 0.025
_REASONS: dict[Outcome, str] = {
    "passed": "clears",
    "failed": "beyond_limit",
    "inconclusive": "too_few_samples",
    "cannot_judge": "no_interval",
}
# What a rule says in a sentence, by outcome.
_LINKS: dict[Outcome, str] = {
    "passed": "and must be",
    "failed": "but must be",
    "inconclusive": "which is too uncertain for",
    "cannot_judge": "and must be",
}


def check_rule(
    result: EvalResult, planned: PlannedGate, rule: Rule, limit: float, compared: Pair | None
) -> Check:
    """Judge one limit of one gate."""
    gate = planned.gate
    dropping = rule in ("max_drop", "min_gain")
    judge = gate.judge or ("guard" if dropping else "point")
    support = gate.min_support or MIN_SUPPORT
    level = 1 - 2 * (gate.alpha or DEFAULT_ALPHA)
    if dropping:
        allowed = limit if rule == "max_drop" else -limit
        found = _drop(result, planned.key, allowed, compared, judge=judge, level=level, support=support)
    else:
        found = _limit(
            result,
            planned.key,
            limit,
            at_least=rule == "min",
            judge=judge,
            level=level,
            support=support,
        )
    if found["outcome"] == "inconclusive" and gate.on_inconclusive == "fail":
        found = {**found, "outcome": "failed", "reason": "inconclusive"}
    return check_of(planned, rule, limit, judge, found)


def check_of(planned: PlannedGate, rule: Rule, limit: float, judge: str, found: dict[str, Any]) -> Check:
    """Return what was found as a check of its gate."""
    return Check(
        gate=planned.index,
        rule=rule,
        limit=limit,
        judge=judge,
        metric=planned.key[0],
        average=planned.key[2],
        class_name=planned.key[3],
        params=dict(planned.key[1]),
        slice=None if planned.key[4] is None else dict(planned.key[4]),
        advisory=planned.gate.advisory,
        **found,
    )


def interval_at(result: EvalResult, row: MetricRow, level: float) -> tuple[float, float] | None:
    """Return a row's interval at the gate's own level; None where there is none.

    Rows of counts are computed again; of others the document's interval is taken if its level is the same.
    """
    if row.low is None or row.high is None or row.level is None:
        return None
    if math.isclose(row.level, level):
        return row.low, row.high
    counts = _counts(result, row)
    if counts is None or row.method not in ("wilson", "wilson-jaccard", "wilson-effective", "normal"):
        return None
    measures = replace(
        result.measures,
        asked=((row.metric, row.params),),
        averages=() if row.average is None else (row.average,),
        level=level,
    )
    # Averages of a slice are over the whole run's classes.
    whole = None if result.confusion is None else margins_of(result.confusion.matrix, measures.task)
    members = None if whole is None else members_of(whole, measures)
    rows = count_rows(counts, result.class_names, measures, members=members)
    again = {found.key: found for found in rows}
    found = again.get(replace(row, slice=None).key)
    return None if found is None or found.low is None or found.high is None else (found.low, found.high)


def _counts(result: EvalResult, row: MetricRow) -> Any:
    """Return the counts that a row comes from, shape (K, K) or (L, 2, 2); None where they are not there."""
    if row.slice is None:
        return None if result.confusion is None else result.confusion.matrix
    found = [one for one in result.slices if one.slice == row.slice]
    return result.counts_of_slice(found[0]).matrix if found else None


def _limit(
    result: EvalResult,
    key: RowKey,
    limit: float,
    *,
    at_least: bool,
    judge: str,
    level: float,
    support: int,
) -> dict[str, Any]:
    row = result.rows().get(key)
    problem = unknown(result, row, support)
    if problem is not None:
        return _found(key, "cannot_judge", *problem)
    assert row is not None
    interval = None if judge == "point" else interval_at(result, row, level)
    outcome = judge_limit(judge, row.value, interval, limit, at_least=at_least)
    if row.bound and row.value is not None:
        value = row.value
        sure = _whatever_the_bins_hide(
            lambda shift: judge_limit(
                judge, value + shift, _moved(interval, shift), limit, at_least=at_least
            ),
            row.bound,
        )
        if not sure:
            return _found(key, "cannot_judge", "binned", _hidden(row.bound), value=row.value)
    if outcome == "cannot_judge":
        return _found(key, outcome, "no_interval", _no_interval(row, level), value=row.value)
    shown, bound = tell_apart(row.value, limit)
    if interval is not None:
        shown = f"{shown} ({show(interval[0])} to {show(interval[1])})"
    word = "at least" if at_least else "at most"
    sentence = f"{describe(key)} is {shown} {_LINKS[outcome]} {word} {bound}"
    return _found(key, outcome, _REASONS[outcome], sentence, value=row.value, interval=interval, level=level)


def _drop(
    result: EvalResult,
    key: RowKey,
    allowed: float,
    compared: Pair | None,
    *,
    judge: str,
    level: float,
    support: int,
) -> dict[str, Any]:
    if compared is None:
        return _found(key, "cannot_judge", "no_baseline", "there is no baseline")
    problem = unknown(result, result.rows().get(key), support)
    problem = problem or incomparable(compared)
    mine, theirs = (None, None) if problem else compared.rows(key)
    if problem is None:
        problem = unknown(result, mine, support) or unknown_baseline(theirs)
    if problem is not None:
        return _found(key, "cannot_judge", *problem, value=None if mine is None else mine.value)
    assert mine is not None
    assert theirs is not None
    drop = exact_drop(mine, theirs)
    interval = None if judge == "point" else _drop_interval(compared, mine, key, level)
    outcome = judge_drop(judge, drop, interval, allowed)
    bound = (mine.bound or 0.0) + (theirs.bound or 0.0)
    if bound and not _whatever_the_bins_hide(
        lambda shift: judge_drop(judge, drop + shift, _moved(interval, shift), allowed), bound
    ):
        return _found(key, "cannot_judge", "binned", _hidden(bound), value=mine.value)
    values: dict[str, Any] = {"value": mine.value, "baseline_value": theirs.value, "drop": drop}
    if outcome == "cannot_judge":
        text = "there is no interval of the difference (judge: point needs none)"
        return _found(key, outcome, "no_interval", text, **values)
    sentence = _drop_sentence(key, mine, theirs, drop, allowed, outcome, interval)
    return _found(key, outcome, _REASONS[outcome], sentence, **values, interval=interval, level=level)


def _whatever_the_bins_hide(outcome: Callable[[float], Outcome], bound: float) -> bool:
    """Return whether a value that is known within a bound is judged the same at both of its ends."""
    return outcome(-bound) == outcome(bound)


def _moved(interval: tuple[float, float] | None, shift: float) -> tuple[float, float] | None:
    return None if interval is None else (interval[0] + shift, interval[1] + shift)


def _hidden(bound: float) -> str:
    return f"its value comes from bins and is known within {bound:.1e}, too near to the limit"


def _drop_interval(compared: Pair, mine: MetricRow, key: RowKey, level: float) -> tuple[float, float] | None:
    gap = compared.gap(key, level=level)
    if gap.bounds is None:
        return None
    low, high = gap.bounds
    return (low, high) if mine.greater_is_better is False else (-high, -low)


def _drop_sentence(
    key: RowKey,
    mine: MetricRow,
    theirs: MetricRow,
    drop: float,
    allowed: float,
    outcome: Outcome,
    interval: tuple[float, float] | None,
) -> str:
    shown, bound = tell_apart(drop, allowed)
    change = "rose" if drop < 0 else "is unchanged" if drop == 0 else "dropped"
    if mine.greater_is_better is False:
        change = {"rose": "fell", "dropped": "rose"}.get(change, change)
    amount = "" if drop == 0 else f" by {shown.removeprefix('-')}"
    rule = f"{'allowed' if outcome == 'passed' else 'but only allowed'} {bound}"
    if allowed < 0:
        rule = f"{'demanded' if outcome == 'passed' else 'but demanded'} a gain of {bound.removeprefix('-')}"
    if outcome == "inconclusive":
        rule += ", and the samples are too few to tell"
    if interval is not None and interval[1] > 0:
        rule += f"; a true drop of up to {show(interval[1])} cannot be excluded"
    return f"{describe(key)} {change}{amount} ({show(theirs.value)} to {show(mine.value)}), {rule}"


def exact_drop(mine: MetricRow, theirs: MetricRow) -> float:
    """Return how much worse the candidate is, correctly rounded from the exact ratios of counts."""
    difference = _exact(theirs) - _exact(mine)
    return float(-difference if mine.greater_is_better is False else difference)


def _exact(row: MetricRow) -> Fraction:
    if row.numerator is not None and row.denominator:
        return Fraction(row.numerator, row.denominator)
    return Fraction(repr(row.value))


def unknown(result: EvalResult, row: MetricRow | None, support: int) -> tuple[str, str] | None:
    """Return why a row cannot be judged at all, as a slug and a sentence; None where it can."""
    problem = unknown_run(result)
    if problem is not None or row is not None:
        return problem if row is None else problem or _unknown_value(row, support)
    return "missing", "the run does not have this row"


def incomparable(compared: Pair) -> tuple[str, str] | None:
    """Return what keeps two runs from being compared."""
    if compared.same_model:
        return "same_model", "the baseline is the same model on the same inputs"
    if compared.differences:
        return "incomparable", f"the baseline answers another question: {listed(compared.differences)}"
    return None


def unknown_run(result: EvalResult) -> tuple[str, str] | None:
    """Return why nothing of a run can be judged."""
    if not result.valid:
        return "invalid_run", "the run is invalid"
    if result.partial is not None:
        return "partial", f"only {result.partial.limit} of {result.partial.of} samples were evaluated"
    unreadable, found = result.data.get("n_unreadable") or 0, result.data.get("n_samples") or 0
    if unreadable > MAX_UNREADABLE * found:
        return "unreadable", f"{unreadable} of {found} samples could not be read, over 1 %"
    return None


def _unknown_value(row: MetricRow, support: int) -> tuple[str, str] | None:
    if row.value is None:
        return "undefined", f"the value is undefined ({_why(row)})"
    behind = row.n_samples if row.denominator is None else row.denominator
    if (row.slice is not None or row.class_name is not None) and behind < support:
        return "insufficient", f"{behind} samples are too few, {support} are needed"
    return None


def unknown_baseline(row: MetricRow | None) -> tuple[str, str] | None:
    """Return why the baseline's row cannot be compared with."""
    if row is None:
        return "missing", "the baseline does not have this row"
    if row.value is None:
        return "undefined", f"the baseline's value is undefined ({_why(row)})"
    return None


def _why(row: MetricRow) -> str:
    return UNDEFINED_TEXTS.get(row.undefined or "", str(row.undefined))


def _no_interval(row: MetricRow, level: float) -> str:
    if row.no_interval is not None:
        return f"it has no interval: {NO_INTERVAL_TEXTS.get(row.no_interval, row.no_interval)}"
    return f"its interval is known at {row.level}, not at {level:g}; set metrics.interval"


def _found(
    key: RowKey,
    outcome: Outcome,
    reason: str,
    sentence: str,
    *,
    value: float | None = None,
    baseline_value: float | None = None,
    drop: float | None = None,
    interval: tuple[float, float] | None = None,
    level: float | None = None,
) -> dict[str, Any]:
    if outcome == "cannot_judge":
        sentence = f"{describe(key)} cannot be judged: {sentence}"
    low, high = interval or (None, None)
    return {
        "outcome": outcome,
        "reason": reason,
        "sentence": sentence,
        "value": value,
        "baseline_value": baseline_value,
        "drop": drop,
        "low": low,
        "high": high,
        "level": level if interval else None,
    }


def rules_of(planned: Sequence[PlannedGate]) -> list[tuple[PlannedGate, Rule, float]]:
    """Return every limit of every gate, in order."""
    return [(gate, rule, limit) for gate in planned for rule, limit in gate.gate.rules().items()]
