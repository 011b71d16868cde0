"""The interval of candidate less baseline, whatever it comes from."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from evalkit.uncertainty.paired import Flips

Bounds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Gap:
    """An interval of candidate less baseline, or why there is none.

    Attributes:
        bounds: Low and high, or None.
        method: tango, influence, t, delong, or newcombe for two runs that are not paired.
        reason: Why there are no bounds.
        score: The standard normal statistic of the observed difference at a supposed one; None where unknown.
        flips: Who was right before and after, where the row is a share of independent samples.
        error: The standard error of the difference, where it is not.
    """

    bounds: Bounds | None
    method: str
    reason: str = ""
    score: Callable[[float], float] | None = None
    flips: Flips | None = None
    error: float | None = None


def unpaired_gap(new: Bounds | None, old: Bounds | None, values: Bounds) -> Gap:
    """Return the interval of a difference of two runs that share no samples one by one.

    R. G. Newcombe, "Interval estimation for the difference between independent proportions", Statistics in
    Medicine 17 (1998): each side's distance is the root of the two intervals' squared distances.

    Args:
        new, old: The two rows' intervals.
        values: The two rows' values.
    """
    if new is None or old is None:
        return Gap(None, "newcombe", "no_interval")
    difference = values[0] - values[1]
    down = math.hypot(values[0] - new[0], old[1] - values[1])
    up = math.hypot(new[1] - values[0], values[1] - old[0])
    return Gap((difference - down, difference + up), "newcombe")
