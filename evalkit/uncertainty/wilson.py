"""The score interval of a proportion, and what is made of it.

E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
"""

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
_ROUNDING = 1e-12


def normal_quantile(level: float) -> float:
    """Return the two-sided normal quantile of a confidence level in (0, 1), such as 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def t_quantile(level: float, degrees: int) -> float:
    """Return the two-sided t quantile of a confidence level."""
    from scipy.special import stdtrit  # noqa: PLC0415 - documents are read without it

    return float(stdtrit(max(degrees, 1), 0.5 + level / 2))


def wilson(
    numerator: ArrayLike, denominator: ArrayLike, *, level: float, quantile: ArrayLike | None = None
) -> tuple[Floats, Floats]:
    """Return the lower and upper bounds of proportions, vectorised.

    The width is never zero, not even at 0/n and n/n; where the denominator is 0 both bounds are NaN.

    Args:
        numerator, denominator: Successes and trials, broadcastable.
        level: The confidence level, such as 0.95.
        quantile: Instead of the level's normal quantile, such as a t quantile.
    """
    successes, trials = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    z2 = np.asarray(normal_quantile(level) if quantile is None else quantile, float) ** 2
    n = np.where(trials > 0, trials, np.nan)
    share = successes / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (share * (1 - share) + z2 / (4 * n)) / n) / (1 + z2 / n)
    low = np.where(successes == 0, np.minimum(0.0, n), np.clip(centre - half, 0, 1))
    high = np.where(successes == trials, np.minimum(1.0, n), np.clip(centre + half, 0, 1))
    return low, high


def wilson_f1(tp: ArrayLike, union: ArrayLike, *, level: float) -> tuple[Floats, Floats]:
    """Return bounds of F1 through Jaccard's tp / (tp + fp + fn), a proportion: F1 = 2 J / (1 + J)."""
    low, high = wilson(tp, union, level=level)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def wilson_effective(
    value: ArrayLike,
    smoothed: ArrayLike,
    variance: ArrayLike,
    *,
    level: float,
    lower: float = 0,
    upper: float = 1,
    largest: ArrayLike = np.inf,
    quantile: ArrayLike | None = None,
) -> tuple[Floats, Floats]:
    """Return bounds of any bounded metric: Wilson's, with the sample size that its variance amounts to.

    Args:
        value: Observed.
        smoothed: The metric at smoothed counts, which is never certain.
        variance: Of the metric, at the smoothed counts; where it is 0, or the value NaN, both bounds are NaN.
        level: The confidence level.
        lower, upper: The metric's range.
        largest: The effective size is at most this.
        quantile: As in :func:`wilson`.
    """
    span = upper - lower
    share = (np.asarray(value, float) - lower) / span
    centre = (np.asarray(smoothed, float) - lower) / span
    spread = np.asarray(variance, float) / span**2
    known = (spread > 0) & np.isfinite(share)
    size = np.where(known, centre * (1 - centre) / np.where(known, spread, 1), np.nan)
    size = np.minimum(np.maximum(size, 1), largest)
    # A mean of ratios that is 1 may miss it by a rounding error.
    share = np.where(np.abs(share - 1) < _ROUNDING, 1.0, np.where(np.abs(share) < _ROUNDING, 0.0, share))
    low, high = wilson(np.where(share == 1, size, share * size), size, level=level, quantile=quantile)
    return lower + span * low, lower + span * high
