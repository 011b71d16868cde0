"""Two models on the same samples: the paired difference of proportions, and what flips say about it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.uncertainty.wilson import normal_quantile

Floats = NDArray[np.float64]
_STEPS = 60


@dataclass(frozen=True, slots=True)
class Flips:
    """Samples by which of two models was right; arrays of one shape.

    Attributes:
        gained: Only the new model was right.
        lost: Only the old model was right.
        n: All samples.
    """

    gained: NDArray[np.int64]
    lost: NDArray[np.int64]
    n: NDArray[np.int64]

    @property
    def difference(self) -> Floats:
        """The new model's share less the old one's; NaN without samples."""
        return np.asarray((self.gained - self.lost) / np.where(self.n > 0, self.n, np.nan))


def tango_statistic(flips: Flips, difference: ArrayLike) -> Floats:
    """Return the score statistic of a difference, standard normal where that is the true one.

    T. Tango, "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design", Statistics in Medicine 17 (1998).

    Args:
        flips: What was observed.
        difference: New less old, in (-1, 1), broadcastable.
    """
    delta = np.asarray(difference, float)
    gained, lost, n = (np.asarray(part, float) for part in (flips.gained, flips.lost, flips.n))
    linear = -gained - lost + (2 * n - gained + lost) * delta
    constant = -lost * delta * (1 - delta)
    # The share of lost samples that fits best if the difference is this one: a root of a quadratic.
    root = np.sqrt(np.maximum(linear**2 - 8 * n * constant, 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.maximum((root - linear) / (4 * n), 0)
        spread = n * np.maximum(2 * share + delta * (1 - delta), 0)
        value = (gained - lost - n * delta) / np.sqrt(spread)
    observed = gained - lost - n * delta
    certain = np.where(observed > 0, np.inf, np.where(observed < 0, -np.inf, 0.0))
    return np.asarray(np.where(spread > 0, value, certain))


def tango_interval(flips: Flips, *, level: float) -> tuple[Floats, Floats]:
    """Return the bounds of new less old; they have width also where no sample flipped.

    NaN without samples.
    """
    z = normal_quantile(level)
    point = flips.difference
    low = _solve(lambda delta: tango_statistic(flips, delta) - z, np.full(point.shape, -1.0), point)
    high = _solve(lambda delta: tango_statistic(flips, delta) + z, point, np.full(point.shape, 1.0))
    known = np.asarray(flips.n) > 0
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def mcnemar(gained: int, lost: int) -> tuple[float, float]:
    """Return the exact two-sided p value of equal flips, and its mid-p; 1 where nothing flipped.

    Q. McNemar, "Note on the sampling error of the difference between correlated proportions", Psychometrika
    12 (1947). Shown, never judged: it has neither a margin nor an interval.
    """
    n, fewer = gained + lost, min(gained, lost)
    if n == 0:
        return 1.0, 1.0
    from scipy.special import bdtr, gammaln  # noqa: PLC0415 - documents are read without it

    tail = float(bdtr(fewer, n, 0.5))
    here = float(np.exp(gammaln(n + 1) - gammaln(fewer + 1) - gammaln(n - fewer + 1) - n * np.log(2)))
    return min(2 * tail, 1.0), min(2 * tail - here, 1.0)


def _solve(function: Callable[[Floats], Floats], low: Floats, high: Floats) -> Floats:
    """Find where a decreasing function crosses zero, by halving; vectorised."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        above = function(middle) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return (low + high) / 2
