"""The percentile bootstrap over a table of counts, for metrics that have no closed form.

B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979). It covers too
little near the ends of a metric's range, so wherever there is a closed form, that one is used.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

_MAX_CELLS = 1 << 18  # counts held at a time: 2 MB, and as much for each temporary of a statistic


def bootstrap_interval(
    counts: Counts,
    statistic: Callable[[Counts], Floats],
    *,
    level: float,
    n_replicates: int = 2000,
    seed: int = 0,
    centre: float | None = None,
) -> tuple[float, float] | None:
    """Return the percentile interval of a statistic of counts; the same seed gives the same interval.

    Args:
        counts: int64, shape (b, c), samples in each cell; few enough cells (1,024 rows) that drawing is fast.
        statistic: Takes tables (r, b, c), gives values (r,), NaN where undefined.
        level: The confidence level, such as 0.95.
        n_replicates: Tables that are drawn.
        seed: Of the random numbers.
        centre: The value that the interval is for, where the statistic is a biased stand-in for it (of merged
            groups; not debiased): the replicates are moved so that their median is this. Nothing is clipped.

    Returns:
        Low and high; None without samples, where over half the replicates are undefined, or where the
        interval would have no width, which would claim certainty.
    """
    if not counts.sum():
        return None
    values = _replicates(counts, statistic, n_replicates, seed)
    values = values[np.isfinite(values)]
    if values.size <= n_replicates / 2:
        return None
    low, middle, high = np.quantile(values, [0.5 - level / 2, 0.5, 0.5 + level / 2])
    shift = 0.0 if centre is None else centre - middle
    return (float(low + shift), float(high + shift)) if low < high else None


def _replicates(
    counts: Counts, statistic: Callable[[Counts], Floats], n_replicates: int, seed: int
) -> Floats:
    """Draw tables of as many samples, and return their statistics, shape (n_replicates,)."""
    rng = np.random.default_rng(seed)
    occurring = counts > 0  # a cell without samples is never drawn, and need not be asked
    cells = counts[occurring]
    at_a_time = max(_MAX_CELLS // counts.size, 1)
    values = []
    for start in range(0, n_replicates, at_a_time):
        drawn = np.zeros((min(at_a_time, n_replicates - start), *counts.shape), np.int64)
        drawn[:, occurring] = rng.multinomial(cells.sum(), cells / cells.sum(), size=len(drawn))
        values.append(statistic(drawn))
    return np.concatenate(values)
