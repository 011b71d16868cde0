"""The percentile bootstrap over the cells of a count matrix: an option, and an oracle where it is valid.

B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979). It under-covers
near 0 and 1 and has no width at all for a perfect run; there evalkit prints no interval.
"""

from collections.abc import Callable, Sequence

import numpy as np

from evalkit.metrics import Margins, Value
from evalkit.metrics.margins import Array
from evalkit.uncertainty.wilson import Floats

N_REPLICATES = 2000
_SEED = 20_240_229
_CELLS_AT_ONCE = 1 << 23


def percentile_intervals(
    matrix: Array, values: Sequence[Callable[[Margins], Value]], *, level: float
) -> list[tuple[Floats, Floats]]:
    """Return bounds of several metrics from the same replicates.

    Args:
        matrix: Counts, shape (S, K, K).
        values: The metrics, each giving shape (R,) or (R, K) from R matrices.
        level: The confidence level.

    Returns:
        For each metric its bounds of shape (S,) or (S, K); NaN where a replicate is undefined, or all are
        equal.
    """
    by_slice = [_of_one(cells, values, level) for cells in matrix]
    return [
        (np.array([found[k][0] for found in by_slice]), np.array([found[k][1] for found in by_slice]))
        for k in range(len(values))
    ]


def _of_one(
    cells: Array, values: Sequence[Callable[[Margins], Value]], level: float
) -> list[tuple[Floats, Floats]]:
    rng, n_samples = np.random.default_rng(_SEED), int(cells.sum())
    if n_samples == 0:
        return [(np.array(np.nan), np.array(np.nan)) for _ in values]
    shares, chunk = cells.ravel() / n_samples, max(1, _CELLS_AT_ONCE // cells.size)
    drawn: list[list[Floats]] = [[] for _ in values]
    for start in range(0, N_REPLICATES, chunk):
        size = min(chunk, N_REPLICATES - start)
        margins = Margins.of(rng.multinomial(n_samples, shares, size).reshape(size, *cells.shape))
        for replicates, value in zip(drawn, values, strict=True):
            replicates.append(np.asarray(value(margins).value, float))
    tails = [(1 - level) / 2, (1 + level) / 2]
    bounds = []
    for replicates in drawn:
        low, high = np.quantile(np.concatenate(replicates), tails, axis=0)
        bounds.append((np.where(high > low, low, np.nan), np.where(high > low, high, np.nan)))
    return bounds
