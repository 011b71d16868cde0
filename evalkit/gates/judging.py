"""One row against one limit: the value, its interval, or its distance from the baseline."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from evalkit.catalogue import is_of_flips
from evalkit.compare.gap import Gap
from evalkit.display import show, tell_apart
from evalkit.gates.case import Case, unknown_baseline
from evalkit.gates.plan import PlannedGate
from evalkit.gates.power import power_of
from evalkit.reasons import NO_INTERVAL_TEXTS
from evalkit.rows import MIN_SUPPORT, MetricRow, RowKey, describe
from evalkit.rules import judge_drop, judge_limit
from evalkit.uncertainty.power import Design
from evalkit.verdict import Check, Outcome, Power, Rule

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


def check_rule(case: Case, planned: PlannedGate, rule: Rule, limit: float) -> Check:
    """Judge one limit of one gate."""
    gate = planned.gate
    dropping = rule in ("max_drop", "min_gain")
    judge = gate.judge or ("guard" if dropping else "point")
    support = gate.min_support or MIN_SUPPORT
    design = Design(judge, gate.alpha or DEFAULT_ALPHA)
    if dropping:
        allowed = limit if rule == "max_drop" else -limit
        found = _drop(case, planned.key, allowed, design=design, support=support)
    else:
        found = _limit(case, planned.key, limit, at_least=rule == "min", design=design, support=support)
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


def _limit(
    case: Case, key: RowKey, limit: float, *, at_least: bool, design: Design, support: int
) -> dict[str, Any]:
    judge, level = design.judge, _level(design)
    row = case.row(key, level)
    problem = case.blocked(comparing=is_of_flips(key[0])) or case.unknown(key, row, support)
    if problem is not None:
        return _found(key, "cannot_judge", *problem, value=None if row is None else row.value)
    assert row is not None
    interval = None if judge == "point" else case.interval(row, level)
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


def _drop(case: Case, key: RowKey, allowed: float, *, design: Design, support: int) -> dict[str, Any]:
    judge, level, compared = design.judge, _level(design), case.compared
    problem = case.blocked(comparing=True) or case.unknown(key, case.row(key, level), support)
    mine, theirs = (None, None) if problem or compared is None else compared.rows(key)
    if problem is None:
        problem = case.unknown(key, mine, support, comparing=True) or unknown_baseline(theirs)
    if problem is not None:
        return _found(key, "cannot_judge", *problem, value=None if mine is None else mine.value)
    assert compared is not None
    assert mine is not None
    assert theirs is not None
    drop = exact_drop(mine, theirs)
    gap = compared.gap(key, level=level)
    interval = None if judge == "point" else _drop_interval(gap, mine)
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
    power = power_of(gap, design, allowed, level=level)
    return _found(
        key, outcome, _REASONS[outcome], sentence, **values, interval=interval, level=level, power=power
    )


def _level(design: Design) -> float:
    """Return the level of the interval that is judged."""
    return 1 - 2 * design.alpha


def _whatever_the_bins_hide(outcome: Callable[[float], Outcome], bound: float) -> bool:
    """Return whether a value that is known within a bound is judged the same at both of its ends."""
    return outcome(-bound) == outcome(bound)


def _moved(interval: tuple[float, float] | None, shift: float) -> tuple[float, float] | None:
    return None if interval is None else (interval[0] + shift, interval[1] + shift)


def _hidden(bound: float) -> str:
    return f"its value comes from bins and is known within {bound:.1e}, too near to the limit"


def _drop_interval(gap: Gap, mine: MetricRow) -> tuple[float, float] | None:
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
    power: Power | None = None,
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
        "power": power,
    }


def rules_of(planned: Sequence[PlannedGate]) -> list[tuple[PlannedGate, Rule, float]]:
    """Return every limit of every gate, in order."""
    return [(gate, rule, limit) for gate in planned for rule, limit in gate.gate.rules().items()]
