"""Metrics of a ranking: areas, curves and thresholds, from samples grouped by score.

Names and conventions are scikit-learn's (``roc_auc_score``, ``average_precision_score``): equal scores form
one group, whose samples are decided together. All of it runs on the groups, in time that does not depend
on the number of samples; groups may also be bins, and then each value carries a certified bound.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.scores import ScoreBins

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Curve = dict[str, list[float | None]]
Point = dict[str, str | float | int]

NO_POSITIVES, NO_NEGATIVES = "no_positives", "no_negatives"


@dataclass(frozen=True, slots=True)
class Ranked:
    """Samples grouped by score, best score first.

    Attributes:
        scores: float64, shape (g,), strictly decreasing; each is also the threshold ``score >= s``.
        positives, negatives: int64, shape (g,), samples of each group.
        exact: Whether a group's samples really have one score. If not, it is a bin, ``scores`` are the
            smallest of each, and the order inside is unknown.
    """

    scores: Floats
    positives: Counts
    negatives: Counts
    exact: bool = True

    @classmethod
    def of(cls, positive: ArrayLike, score: ArrayLike) -> "Ranked":
        """Group samples by their exact score.

        Args:
            positive: bool, shape (n,).
            score: float32 or float64, shape (n,), higher for the positive class.

        Raises:
            ValueError: Shapes differ or a score is NaN.
        """
        truth, values = checked(positive, score)
        if values.dtype == np.float32:
            return cls._of_keys(np.sort((_keys32(values) << np.uint64(1)) | truth))
        sides = [np.unique(values[side], return_counts=True) for side in (truth, ~truth)]
        scores = np.unique(np.concatenate([side[0] for side in sides]))
        counts = np.zeros((2, scores.size), np.int64)
        for row, (found, n) in zip(counts, sides, strict=True):
            row[np.searchsorted(scores, found)] = n
        return cls(scores[::-1].astype(np.float64), counts[0, ::-1], counts[1, ::-1])

    @classmethod
    def _of_keys(cls, ordered: NDArray[np.uint64]) -> "Ranked":
        """Take sorted keys of float32 scores, each with its truth as the last bit."""
        keys = ordered >> np.uint64(1)
        last = (
            np.append(np.flatnonzero(keys[1:] != keys[:-1]), len(keys) - 1) if len(keys) else np.zeros(0, int)
        )
        n = np.diff(last, prepend=-1)
        positives = np.diff(np.cumsum((ordered & np.uint64(1)).astype(np.int64))[last], prepend=0)
        return cls(_scores32(keys[last])[::-1], positives[::-1], (n - positives)[::-1])

    @classmethod
    def of_bins(cls, bins: ScoreBins) -> "Ranked":
        """Take bins as groups whose inner order is unknown."""
        return cls(bins.representatives()[::-1], bins.positives[::-1], bins.negatives[::-1], exact=False)

    @property
    def n_positives(self) -> int:
        """P."""
        return int(self.positives.sum())

    @property
    def n_negatives(self) -> int:
        """N."""
        return int(self.negatives.sum())

    @property
    def tp(self) -> Counts:
        """Positives with at least the group's score, shape (g,)."""
        return np.cumsum(self.positives)

    @property
    def fp(self) -> Counts:
        """Negatives with at least the group's score, shape (g,)."""
        return np.cumsum(self.negatives)


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
    reason = _missing(ranked)
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
    counts = np.stack([ranked.positives, ranked.negatives], axis=1)
    if len(counts) <= max_groups:
        return counts
    share = (counts / np.maximum(counts.sum(axis=0), 1)).sum(axis=1)
    middle = np.cumsum(share) - share / 2
    place = np.minimum((middle / share.sum() * max_groups).astype(np.int64), max_groups - 1)
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    return np.add.reduceat(counts, starts, axis=0)


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
    of_positives, of_negatives = placements(ranked)
    between_positives = float((ranked.positives * (of_positives - auc) ** 2).sum()) / (n_positives - 1)
    between_negatives = float((ranked.negatives * (of_negatives - auc) ** 2).sum()) / (n_negatives - 1)
    return between_positives / n_positives + between_negatives / n_negatives


def roc_curve(ranked: Ranked, *, max_points: int = 200) -> Curve:
    """Return points of the ROC curve, from (0, 0), which has no threshold, to (1, 1).

    Args:
        ranked: The samples.
        max_points: At most so many points, at least 2: the ends and corners, evenly along the curve.

    Returns:
        Lists ``fpr``, ``tpr`` and ``threshold`` (None where infinite); empty without positives or negatives.
    """
    if _missing(ranked):
        return {"fpr": [], "tpr": [], "threshold": []}
    fpr = np.concatenate([[0], ranked.fp]) / ranked.n_negatives
    tpr = np.concatenate([[0], ranked.tp]) / ranked.n_positives
    kept = _thinned(fpr, tpr, max_points)
    thresholds = np.concatenate([[np.inf], ranked.scores])[kept]
    return {"fpr": fpr[kept].tolist(), "tpr": tpr[kept].tolist(), "threshold": _finite(thresholds)}


def pr_curve(ranked: Ranked, *, max_points: int = 200) -> Curve:
    """Return points of the precision-recall curve, highest threshold first.

    Args:
        ranked: The samples.
        max_points: At most so many points, at least 2: the ends and corners, evenly along the curve.

    Returns:
        Lists ``recall``, ``precision`` and ``threshold`` (None where infinite); empty without positives.
        Unlike scikit-learn's there is no point (0, 1), which no threshold gives.
    """
    if not ranked.n_positives:
        return {"recall": [], "precision": [], "threshold": []}
    recall, precision = ranked.tp / ranked.n_positives, precisions(ranked)
    kept = _thinned(recall, precision, max_points)
    return {
        "recall": recall[kept].tolist(),
        "precision": precision[kept].tolist(),
        "threshold": _finite(ranked.scores[kept]),
    }


def threshold_table(ranked: Ranked, thresholds: ArrayLike) -> dict[str, Counts]:
    """Return the counts ``tp``, ``fp``, ``fn`` and ``tn`` of the rule ``score >= threshold``.

    Args:
        ranked: The samples; of bins, one that the threshold cuts counts as below it.
        thresholds: float64, shape (t,), in any order.

    Returns:
        int64 arrays of shape (t,).
    """
    n_groups = np.searchsorted(-ranked.scores, -np.asarray(thresholds, np.float64), side="right")
    tp = np.concatenate([[0], ranked.tp])[n_groups]
    fp = np.concatenate([[0], ranked.fp])[n_groups]
    return {"tp": tp, "fp": fp, "fn": ranked.n_positives - tp, "tn": ranked.n_negatives - fp}


def operating_points(
    ranked: Ranked,
    *,
    cost: tuple[float, float] | None = None,
    min_recall: float | None = None,
    min_precision: float | None = None,
) -> list[Point]:
    """Return the best thresholds among the scores that occur, by several rules.

    They are chosen on the samples that they are then counted on, therefore optimistic: other samples will
    give less. Of equally good thresholds the highest is taken.

    Args:
        ranked: The samples.
        cost: Cost of a false positive and of a false negative, for ``min_cost``.
        min_recall: r, for ``recall>=r``: the highest precision with at least this recall.
        min_precision: p, for ``precision>=p``: the highest recall with at least this precision.

    Returns:
        Entries with ``name``, ``threshold``, ``tp``, ``fp``, ``fn`` and ``tn``; ``max_f1`` and ``youden``
        (the greatest recall + specificity - 1) come first. A rule is left out where it means nothing (no
        positives, for Youden no negatives, no samples) or where no threshold satisfies it.
    """
    merits = _merits(ranked, cost=cost, min_recall=min_recall, min_precision=min_precision)
    best = {name: int(np.argmax(merit)) for name, merit in merits.items() if merit.max() > -np.inf}
    return [_point(ranked, name, group) for name, group in best.items()]


def _merits(
    ranked: Ranked,
    *,
    cost: tuple[float, float] | None,
    min_recall: float | None,
    min_precision: float | None,
) -> dict[str, Floats]:
    """Return what each rule maximises, shape (g,), -inf where the rule forbids a threshold."""
    tp, fp, n_positives, n_negatives = ranked.tp, ranked.fp, ranked.n_positives, ranked.n_negatives
    merits: dict[str, Floats] = {}
    if n_positives:
        recall, precision = tp / n_positives, precisions(ranked)
        merits["max_f1"] = 2 * tp / (tp + fp + n_positives)
        if n_negatives:  # in integers, so that equal merits are equal
            merits["youden"] = (tp * n_negatives - fp * n_positives).astype(np.float64)
        if min_recall is not None:
            merits[f"recall>={min_recall}"] = np.where(recall >= min_recall, precision, -np.inf)
        if min_precision is not None:
            merits[f"precision>={min_precision}"] = np.where(precision >= min_precision, recall, -np.inf)
    if cost is not None and tp.size:
        merits["min_cost"] = -(cost[0] * fp + cost[1] * (n_positives - tp))
    return merits


def _point(ranked: Ranked, name: str, group: int) -> Point:
    tp, fp = int(ranked.tp[group]), int(ranked.fp[group])
    counts = {"tp": tp, "fp": fp, "fn": ranked.n_positives - tp, "tn": ranked.n_negatives - fp}
    return {"name": name, "threshold": float(ranked.scores[group]), **counts}


def checked(positive: ArrayLike, score: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    """Return truth and scores as arrays of one shape (n,); ValueError where they are none, or hold NaN."""
    truth, values = np.asarray(positive, np.bool_), np.asarray(score)
    if values.dtype not in (np.float32, np.float64):  # float32 stays: it sorts in half the time
        values = values.astype(np.float64)
    if truth.shape != values.shape or values.ndim != 1:
        raise ValueError(f"scores: expected equal shapes (n,), got {truth.shape} and {values.shape}")
    if np.isnan(values).any():
        raise ValueError("scores: expected numbers, got NaN")
    return truth, values


def _keys32(values: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return 32 bits of each float32 that order like the values; equal values have equal bits."""
    bits = (values + np.float32(0)).view(np.uint32)  # of two zeros one
    return (bits ^ np.where(bits >> 31, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))).astype(np.uint64)


def _scores32(keys: NDArray[np.uint64]) -> Floats:
    """Return the values of such keys."""
    bits = keys.astype(np.uint32)
    return (
        (bits ^ np.where(bits >> 31, np.uint32(0x80000000), np.uint32(0xFFFFFFFF)))
        .view(np.float32)
        .astype(np.float64)
    )


def groups_of(ranked: Ranked, values: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return each sample's group in a ranking of these very values, shape (n,)."""
    if values.dtype != np.float32 or len(values) >= 1 << 32:
        return np.searchsorted(-ranked.scores, -values.astype(np.float64))
    # One sort gives the order as well: a key's lower half says whose it is.
    ordered = np.sort((_keys32(values) << np.uint64(32)) | np.arange(len(values), dtype=np.uint64))
    keys, rows = ordered >> np.uint64(32), (ordered & np.uint64(0xFFFFFFFF)).astype(np.int64)
    found = np.empty(len(values), np.intp)
    found[rows] = len(ranked.scores) - 1 - np.cumsum(np.diff(keys, prepend=keys[:1]) != 0)
    return found


def _missing(ranked: Ranked) -> str | None:
    if not ranked.n_positives:
        return NO_POSITIVES
    return None if ranked.n_negatives else NO_NEGATIVES


def _divide(numerator: Counts, denominator: Counts) -> Floats:
    """Divide where 0/0 stands for nothing that is counted."""
    return numerator / np.maximum(denominator, 1)


def precisions(ranked: Ranked) -> Floats:
    """Return the precision at each group's score, shape (g,)."""
    return _divide(ranked.tp, ranked.tp + ranked.fp)


def placements(ranked: Ranked) -> tuple[Floats, Floats]:
    """Return the share of negatives under a positive of each group, and of positives over a negative."""
    below = ranked.n_negatives - ranked.fp + ranked.negatives / 2
    above = ranked.tp - ranked.positives / 2
    return below / ranked.n_negatives, above / ranked.n_positives


def _thinned(x: Floats, y: Floats, max_points: int) -> NDArray[np.intp]:
    """Return which points of a curve to keep: all, or the ends and corners spread along its length."""
    if x.size <= max_points:
        return np.arange(x.size)
    dx, dy = np.diff(x), np.diff(y)
    bends = dx[:-1] * dy[1:] != dx[1:] * dy[:-1]
    corners = np.concatenate([[0], np.flatnonzero(bends) + 1, [x.size - 1]])
    if corners.size <= max_points:
        return corners
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x[corners]), np.diff(y[corners])))])
    places = np.searchsorted(length, np.linspace(0, length[-1], max_points))
    places[-1] = corners.size - 1  # also where the last steps have no length
    return corners[np.unique(places)]


def _finite(values: Floats) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]
