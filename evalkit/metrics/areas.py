"""Areas under curves, from samples grouped by score, and what their variances are made of.

Names and conventions are scikit-learn's (``roc_auc_score``, ``average_precision_score``). All of it runs on
the groups; groups may also be bins, and then each value carries a certified bound.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.ranked import Ranked

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

NO_POSITIVES, NO_NEGATIVES = "no_positives", "no_negatives"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and how far binning may have moved it.

    Attributes:
        value: NaN exactly where undefined.
        undefined: Why there is no value: "no_positives" or "no_negatives".
        bound: The value of the unbinned samples lies within ``value - bound`` and ``value + bound``, whatever
            their order and ties; 0.0 if the groups are exact.
    """

    value: float
    undefined: str | None = None
    bound: float = 0.0


def roc_auc(ranked: Ranked) -> Estimate:
    """Return the share of pairs (positive, negative) that are ranked rightly, ties counting half.

    Undefined without positives or without negatives. In a bin a pair may be right or wrong, so that half
    of its pairs is the bound.
    """
    reason = missing(ranked)
    if reason:
        return Estimate(math.nan, reason)
    n_pairs = ranked.n_positives * ranked.n_negatives
    below = ranked.n_negatives - ranked.fp
    twice_right = int((ranked.positives * (2 * below + ranked.negatives)).sum())
    unknown = 0 if ranked.exact else int((ranked.positives * ranked.negatives).sum())
    return Estimate(twice_right / (2 * n_pairs), bound=unknown / (2 * n_pairs))


def average_precision(ranked: Ranked) -> Estimate:
    """Return the mean, over positives, of the precision at the positive's own score.

    This is sum (R_k - R_(k-1)) P_k, without interpolation; undefined without positives. Of bins it is the
    middle of what orders inside the bins, ties among them, could give.
    """
    n_positives = ranked.n_positives
    if not n_positives:
        return Estimate(math.nan, NO_POSITIVES)
    if ranked.exact:
        return Estimate(float((ranked.positives * precisions(ranked)).sum()) / n_positives)
    low, high = _average_precision_range(ranked)
    return Estimate((low + high) / 2, bound=(high - low) / 2)


def _average_precision_range(ranked: Ranked) -> tuple[float, float]:
    """Return the least and the greatest average precision that bins allow.

    With t positives and f negatives above a bin of p and m, a positive's precision is at most
    (t + p) / (t + p + f): all positives tied at the bin's top. The i-th positive's is at least
    (t + i) / (t + i + f + m): negatives first, no ties. That sum over i = 1 to p is at least the integral
    from t + 1/2 to t + p + 1/2, because x / (x + c) is concave.
    """
    n_positives, positives = ranked.n_positives, ranked.positives
    above, fp = ranked.tp - positives, ranked.fp
    best = _divide(ranked.tp, ranked.tp + fp - ranked.negatives)
    worst = positives - fp * np.log1p(positives / (above + 0.5 + fp))
    high = float((positives * best).sum()) / n_positives
    return min(float(worst.sum()) / n_positives, high), high


def average_precision_of(counts: Counts) -> Floats:
    """Return average precisions of tables of exact groups, for resampling.

    Args:
        counts: int64, shape (r, g, 2): positives and negatives of each group, best score first.

    Returns:
        float64, shape (r,); NaN without positives.
    """
    positives = counts[..., 0]
    tp = np.cumsum(positives, axis=-1)
    precision = _divide(tp, np.cumsum(counts.sum(axis=-1), axis=-1))
    n_positives = tp[..., -1]
    value = (positives * precision).sum(axis=-1) / np.maximum(n_positives, 1)
    return np.where(n_positives > 0, value, np.nan)


def coarsened(ranked: Ranked, *, max_groups: int = 512) -> Counts:
    """Merge neighbouring groups for resampling, int64, shape (min(g, max_groups), 2) at most.

    The merged groups hold about equal shares of positives plus shares of negatives, so that neither side
    of a rare class is lumped together. Columns are positives and negatives.
    """
    if len(ranked.scores) <= max_groups:
        return np.stack([ranked.positives, ranked.negatives], axis=1)
    ends = spread(ranked, max_groups)
    return np.stack([np.diff(sums[ends], prepend=0) for sums in (ranked.tp, ranked.fp)], axis=1)


def spread(ranked: Ranked, n_groups: int) -> NDArray[np.intp]:
    """Return the last groups of so many parts at most, with about equal shares of both sides, sorted."""
    whole = (ranked.n_positives > 0) + (ranked.n_negatives > 0)
    starts = np.searchsorted(ranked.share, whole * np.arange(1, n_groups) / n_groups)
    n = len(ranked.scores)
    return np.append(np.unique(starts[(starts > 0) & (starts < n)]), n) - 1


def delong_variance(ranked: Ranked) -> float:
    """Return the variance of the AUC; NaN with fewer than two positives or two negatives.

    E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson, "Comparing the areas under two or more correlated
    receiver operating characteristic curves: a nonparametric approach", Biometrics 44 (1988). Of bins, ties
    count as ties.
    """
    n_positives, n_negatives = ranked.n_positives, ranked.n_negatives
    if min(n_positives, n_negatives) < 2:  # noqa: PLR2004
        return math.nan
    auc = roc_auc(ranked).value
    of_positives, of_negatives = ranked.placements
    between_positives = float((ranked.positives * (of_positives - auc) ** 2).sum()) / (n_positives - 1)
    between_negatives = float((ranked.negatives * (of_negatives - auc) ** 2).sum()) / (n_negatives - 1)
    return between_positives / n_positives + between_negatives / n_negatives


def missing(ranked: Ranked) -> str | None:
    """Return which side there is none of; None where both are there."""
    if not ranked.n_positives:
        return NO_POSITIVES
    return None if ranked.n_negatives else NO_NEGATIVES


def _divide(numerator: Counts, denominator: Counts) -> Floats:
    """Divide where 0/0 stands for nothing that is counted."""
    return numerator / np.maximum(denominator, 1)


def precisions(ranked: Ranked) -> Floats:
    """Return the precision at each group's score, shape (g,)."""
    return _divide(ranked.tp, ranked.tp + ranked.fp)
