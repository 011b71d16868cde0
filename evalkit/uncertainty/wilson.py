"""The score interval of a proportion.

E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
"""

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray


def normal_quantile(level: float) -> float:
    """Return the two-sided normal quantile of a confidence level in (0, 1), such as 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def wilson(
    numerator: ArrayLike, denominator: ArrayLike, *, level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and upper bounds of proportions, vectorised.

    The width is never zero, not even at 0/n and n/n; where the denominator is 0 both bounds are NaN.

    Args:
        numerator, denominator: Successes and trials, broadcastable.
        level: The confidence level, such as 0.95.
    """
    successes, trials = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    z2 = normal_quantile(level) ** 2
    n = np.where(trials > 0, trials, np.nan)
    share = successes / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (share * (1 - share) + z2 / (4 * n)) / n) / (1 + z2 / n)
    low = np.where(successes == 0, np.minimum(0.0, n), np.clip(centre - half, 0, 1))
    high = np.where(successes == trials, np.minimum(1.0, n), np.clip(centre + half, 0, 1))
    return low, high
