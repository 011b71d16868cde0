"""Rules over a family of rows: is any class, or any slice, demonstrably outside its limit?

S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6
(1979). Each member's p value comes from inverting its own interval, never from resampling; of a share it is
at least the exact binomial one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

from evalkit.catalogue import METRICS
from evalkit.compare import Pair
from evalkit.display import show
from evalkit.errors import listed
from evalkit.gates.case import Case, unknown_baseline
from evalkit.gates.judging import DEFAULT_ALPHA, check_of, check_rule, exact_drop
from evalkit.gates.plan import PlannedGate
from evalkit.gates.power import power_of_family
from evalkit.rows import MIN_SUPPORT, MetricRow, RowKey, describe
from evalkit.rules import clears
from evalkit.uncertainty import normal_quantile
from evalkit.verdict import Check, Member, Outcome, Power, Rule

_NORMAL = NormalDist()
# The worst first.
_SEVERITY: tuple[Outcome, ...] = ("failed", "cannot_judge", "inconclusive", "passed")
_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Limit:
    """What every member is held against.

    Attributes:
        bound: The limit: of a value, or of a drop.
        at_least: A floor, else a ceiling; a drop has a ceiling.
        compared: The two runs, where the limit is one on a drop.
        support: What a member needs to be judged.
        alpha: One-sided, for the whole family.
    """

    bound: float
    at_least: bool
    compared: Pair | None
    support: int
    alpha: float


def check_family(case: Case, planned: PlannedGate, rule: Rule, limit: float) -> Check:
    """Judge one limit of a gate over all classes, or all slices of a column."""
    gate, dropping = planned.gate, rule in ("max_drop", "min_gain")
    keys = planned.members(case.rows(planned.key[0], _LEVEL))
    problem = case.blocked(comparing=gate.compares)
    if problem is not None:
        found = _family((), "cannot_judge", *problem)
    elif gate.require == "each":
        found = _each(case, planned, keys, rule, limit)
    else:
        bound = Limit(
            -limit if rule == "min_gain" else limit,
            rule == "min",
            case.compared if dropping else None,
            gate.min_support or MIN_SUPPORT,
            gate.alpha or DEFAULT_ALPHA,
        )
        found = judge_family(case, keys, bound, pointwise=gate.judge == "point")
    subject = describe(planned.key)
    found["sentence"] = f"{subject}: {found['sentence']}"
    judge = gate.judge or ("each" if gate.require else "interval")
    return check_of(planned, rule, limit, judge, found)


def judge_family(
    case: Case, keys: Sequence[RowKey], limit: Limit, *, pointwise: bool = False
) -> dict[str, Any]:
    """Judge all members together: failed where one is outside at Holm's adjusted level, else passed.

    Members with too few samples are listed and outside the verdict; where none is left, or one cannot be
    measured at all, nothing can be judged.

    Args:
        case: What is judged.
        keys: The members' rows.
        limit: The rule.
        pointwise: Judge each member's value, uncorrected.
    """
    if not keys:
        return _family((), "cannot_judge", "missing", "the run does not have such rows")
    found = [_member(case, key, limit, pointwise=pointwise) for key in keys]
    blocked = [(key, one) for key, one in zip(keys, found, strict=True) if one.reason not in _OUTSIDE]
    if blocked:
        key, one = blocked[0]
        return _family(
            found, "cannot_judge", one.reason, f"{describe(key)} cannot be judged ({_reason(one)})"
        )
    judged = [position for position, one in enumerate(found) if one.p_value is not None]
    if not judged:
        return _family(found, "cannot_judge", "insufficient", f"no member has {limit.support} samples")
    p_values = [float(str(found[position].p_value)) for position in judged]
    adjusted = p_values if pointwise else holm(p_values)
    for position, p_value in zip(judged, adjusted, strict=True):
        outside = clears(p_value, 0.5 if pointwise else limit.alpha, at_least=False)
        outcome: Outcome = "failed" if outside else "passed"
        found[position] = found[position].model_copy(update={"adjusted": p_value, "outcome": outcome})
    summary = _summary(found, keys, judged)
    if limit.compared is not None and not pointwise:
        summary["power"] = _power(found, keys, judged, limit)
    return summary


def _power(
    found: Sequence[Member], keys: Sequence[RowKey], judged: Sequence[int], limit: Limit
) -> Power | None:
    """Return what the family can see in its smallest member."""
    assert limit.compared is not None
    smallest = min(judged, key=lambda position: found[position].support)
    gap = limit.compared.gap(keys[smallest], level=_LEVEL)
    named = f"{describe(keys[smallest])} ({found[smallest].support} samples)"
    return power_of_family(gap, named, len(judged), limit.alpha, limit.bound)


def _reason(member: Member) -> str:
    """Say why a member keeps the family from being judged."""
    texts = {
        "no_interval": "no interval; judge: point needs none",
        "missing": "one of the runs lacks the row",
    }
    return texts.get(member.reason, member.reason)


def _summary(found: Sequence[Member], keys: Sequence[RowKey], judged: Sequence[int]) -> dict[str, Any]:
    bad = [position for position in judged if found[position].outcome == "failed"]
    if bad:
        names = [f"{describe(keys[k])} {_found(found[k])}" for k in bad]
        return _family(found, "failed", "beyond_limit", f"outside are {listed(names, limit=5)}")
    few = len(found) - len(judged)
    rest = f"; too few samples: {few}" if few else ""
    return _family(found, "passed", "clears", f"none of {len(judged)} is demonstrably outside{rest}")


def _found(member: Member) -> str:
    """Say what was found of a member: its value, or by how much it dropped."""
    return f"is {show(member.value)}" if member.drop is None else f"dropped by {show(member.drop)}"


def _each(
    case: Case, planned: PlannedGate, keys: Sequence[RowKey], rule: Rule, limit: float
) -> dict[str, Any]:
    """Judge every member for itself, uncorrected; the worst outcome counts."""
    checks = [check_rule(case, replace(planned, key=key), rule, limit) for key in keys]
    if not checks:
        return _family((), "cannot_judge", "missing", "the run does not have such rows")
    rows = case.rows(planned.key[0], _LEVEL)
    members = tuple(
        Member(
            class_name=check.class_name,
            slice=check.slice,
            value=check.value,
            drop=check.drop,
            support=0 if (row := rows.get(key)) is None else case.support_of(row),
            outcome=check.outcome,
            reason=check.reason,
        )
        for key, check in zip(keys, checks, strict=True)
    )
    outcome = next(one for one in _SEVERITY if any(check.outcome == one for check in checks))
    of = [check for check in checks if check.outcome == outcome]
    text = f"all {len(checks)} passed" if outcome == "passed" else of[0].sentence
    return _family(members, outcome, of[0].reason, text)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the adjusted p values, in the order given."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, position in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = largest
    return adjusted


# Reasons that put a member outside the verdict without keeping the others from one.
_OUTSIDE = ("", "insufficient")


def _member(case: Case, key: RowKey, limit: Limit, *, pointwise: bool) -> Member:
    row, theirs = case.row(key, _LEVEL), None
    if limit.compared is not None:
        row, theirs = limit.compared.rows(key)
    support = 0 if row is None else case.support_of(row, comparing=limit.compared is not None)
    named: dict[str, Any] = {
        "class_name": key[3],
        "slice": None if key[4] is None else dict(key[4]),
        "value": None if row is None else row.value,
        "support": support,
    }
    problem = case.unknown(key, row, 0)
    if problem is None and limit.compared is not None:
        problem = unknown_baseline(theirs)
    if row is not None and row.value is None and support < max(limit.support, 1):
        problem = None  # nothing was there to measure, which is the fewest samples of all
    if problem is not None:
        return Member(**named, reason=problem[0])
    if support < limit.support:
        return Member(**named, reason="insufficient")
    assert row is not None
    value, p_value = _evidence(row, theirs, key, limit, pointwise=pointwise)
    drop = None if limit.compared is None else value
    if p_value is None:
        return Member(**named, drop=drop, reason="no_interval")
    return Member(**named, drop=drop, p_value=p_value)


def _evidence(
    row: MetricRow, theirs: MetricRow | None, key: RowKey, limit: Limit, *, pointwise: bool
) -> tuple[float | None, float | None]:
    """Return what is judged, and the one-sided p value of its being on the right side of the limit."""
    if limit.compared is None or theirs is None:
        if pointwise:
            return row.value, float(clears(row.value, limit.bound, at_least=limit.at_least))
        return row.value, p_of_row(row, limit.bound, at_least=limit.at_least)
    drop = exact_drop(row, theirs)
    inside = clears(drop, limit.bound, at_least=False)
    if pointwise:
        return drop, float(inside)
    score = limit.compared.gap(key, level=_LEVEL).score
    if score is None:
        return drop, None
    falls = row.greater_is_better is not False
    return drop, 1.0 if inside else _NORMAL.cdf(score(-limit.bound) if falls else -score(limit.bound))


def p_of_row(row: MetricRow, limit: float, *, at_least: bool) -> float | None:
    """Return the one-sided p value of a row being on the right side of a limit, by inverting its interval.

    1 where the value itself is; None where the row has no interval that can be inverted.
    """
    if row.value is None or row.low is None or row.high is None or row.level is None:
        return None
    if clears(row.value, limit, at_least=at_least):
        return 1.0
    z, method = normal_quantile(row.level), (row.method or "").removesuffix("-clustered")
    if method == "normal":
        error = (row.high - row.low) / (2 * z)
        score = (row.value - limit) / error
    elif method in ("wilson", "wilson-jaccard", "wilson-effective"):
        score = _wilson_score(row, limit, z)
    else:
        return None
    p_value = _NORMAL.cdf(score if at_least else -score)
    return max(p_value, _binomial_tail(row, limit, at_least=at_least)) if row.method == "wilson" else p_value


def _binomial_tail(row: MetricRow, limit: float, *, at_least: bool) -> float:
    """Return the exact p value of a share.

    Holm asks for p values far out in the tail, where the normal one of a share near 1 is too small by far.
    """
    from scipy.special import bdtr, bdtrc  # noqa: PLC0415 - a single row is judged without it

    assert row.numerator is not None
    assert row.denominator is not None
    hits, n = row.numerator, row.denominator
    tail = bdtr(hits, n, limit) if at_least else bdtrc(hits - 1, n, limit) if hits else 1.0
    return float(tail)


def _wilson_score(row: MetricRow, limit: float, z: float) -> float:
    """Return the score statistic of a share at a limit, with the size that the row's interval has."""
    metric = METRICS[row.metric]
    low, high = metric.lower or 0.0, 1.0 if metric.upper is None else metric.upper

    def share(value: float | None) -> float:
        inner = (float(str(value)) - low) / (high - low)
        return inner / (2 - inner) if row.method == "wilson-jaccard" else inner

    value, bound = share(row.value), share(limit)
    half = (share(row.high) - share(row.low)) / 2
    # Wilson's half width solved for z squared over n; the product of the roots is negative.
    a, b, c = half**2 - 0.25, 2 * half**2 - value * (1 - value), half**2
    root = (-b - math.sqrt(b * b - 4 * a * c)) / (2 * a)
    spread = bound * (1 - bound) * root / z**2
    return math.copysign(math.inf, value - bound) if spread <= 0 else (value - bound) / math.sqrt(spread)


def _family(members: Sequence[Member], outcome: Outcome, reason: str, sentence: str) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "reason": reason,
        "sentence": sentence,
        "value": None,
        "baseline_value": None,
        "drop": None,
        "members": tuple(members),
    }
