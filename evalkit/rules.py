"""The rules of gates: from a value or an interval and a limit to an outcome. What is unknown never passes.

>>> clears(0.95, 0.95, at_least=True), clears(float("nan"), 0.1, at_least=False)
(True, False)
>>> judge_limit("interval", 0.93, (0.91, 0.96), 0.95, at_least=True)
'inconclusive'
>>> judge_drop("guard", 0.02, (0.005, 0.035), 0.01)
'failed'
"""

import math

from evalkit.verdict import Outcome

Interval = tuple[float, float]
# Which judges each kind of rule has, the default first.
LIMIT_JUDGES = ("point", "lower", "upper", "interval")
DROP_JUDGES = ("guard", "point", "interval")


def clears(value: float | None, limit: float, *, at_least: bool) -> bool:
    """Return whether a value is finite and on the right side of a limit; equality clears.

    Nothing else in evalkit holds a value against a limit.
    """
    if value is None or not math.isfinite(value) or not math.isfinite(limit):
        return False
    return value >= limit if at_least else value <= limit


def judge_limit(
    judge: str, value: float | None, interval: Interval | None, limit: float, *, at_least: bool
) -> Outcome:
    """Judge a floor (``at_least``) or a ceiling.

    ``point`` holds the value against the limit, ``lower`` and ``upper`` a bound of its interval, literally;
    ``interval`` passes where all of it clears, fails where none of it does, and else is inconclusive.

    Args:
        judge: One of :data:`LIMIT_JUDGES`.
        value: The row's value.
        interval: Its bounds, or None.
        limit: The limit.
        at_least: A floor, else a ceiling.
    """
    if judge == "point":
        return _known(value, passed=clears(value, limit, at_least=at_least))
    if interval is None or not all(math.isfinite(bound) for bound in interval):
        return "cannot_judge"
    low, high = interval
    if judge == "lower":
        return _known(low, passed=clears(low, limit, at_least=at_least))
    if judge == "upper":
        return _known(high, passed=clears(high, limit, at_least=at_least))
    worst, best = (low, high) if at_least else (high, low)
    if clears(worst, limit, at_least=at_least):
        return "passed"
    return "inconclusive" if clears(best, limit, at_least=at_least) else "failed"


def judge_drop(judge: str, drop: float | None, interval: Interval | None, limit: float) -> Outcome:
    """Judge how much worse the candidate is than the baseline.

    ``guard`` passes a drop within the limit; beyond it, it fails only where the drop is real, its interval
    above 0. ``interval`` wants proof for either.

    Args:
        judge: One of :data:`DROP_JUDGES`.
        drop: Positive where the candidate is worse.
        interval: Of the drop, or None.
        limit: The drop that is allowed; negative for a gain that is demanded.
    """
    if judge == "point":
        return _known(drop, passed=clears(drop, limit, at_least=False))
    if interval is None or drop is None or not all(math.isfinite(x) for x in (drop, *interval)):
        return "cannot_judge"
    low, high = interval
    if judge == "interval":
        if clears(high, limit, at_least=False):
            return "passed"
        return "inconclusive" if clears(low, limit, at_least=False) else "failed"
    if clears(drop, limit, at_least=False):
        return "passed"
    return "inconclusive" if clears(low, 0.0, at_least=False) else "failed"


def _known(value: float | None, *, passed: bool) -> Outcome:
    if value is None or not math.isfinite(value):
        return "cannot_judge"
    return "passed" if passed else "failed"
