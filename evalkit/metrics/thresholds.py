"""Curves and thresholds of samples grouped by score; conventions are scikit-learn's."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.metrics.areas import missing, precisions, spread
from evalkit.metrics.ranked import Ranked

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Curve = dict[str, list[float | None]]
Point = dict[str, str | float | int]
_CANDIDATES = 100  # so many for each point that is kept


def roc_curve(ranked: Ranked, *, max_points: int = 200) -> Curve:
    """Return points of the ROC curve, from (0, 0), which has no threshold, to (1, 1).

    Args:
        ranked: The samples.
        max_points: At most so many points, at least 2: the ends and corners, evenly along the curve.

    Returns:
        Lists ``fpr``, ``tpr`` and ``threshold`` (None where infinite); empty without positives or negatives.
    """
    if missing(ranked):
        return {"fpr": [], "tpr": [], "threshold": []}
    some = _candidates(ranked, max_points)
    fpr = np.concatenate([[0], ranked.fp[some]]) / ranked.n_negatives
    tpr = np.concatenate([[0], ranked.tp[some]]) / ranked.n_positives
    kept = _thinned(fpr, tpr, max_points)
    thresholds = np.concatenate([[np.inf], ranked.scores[some]])[kept]
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
    some = _candidates(ranked, max_points)
    tp, fp = ranked.tp[some], ranked.fp[some]
    recall, precision = tp / ranked.n_positives, tp / (tp + fp)
    kept = _thinned(recall, precision, max_points)
    return {
        "recall": recall[kept].tolist(),
        "precision": precision[kept].tolist(),
        "threshold": _finite(ranked.scores[some][kept]),
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


def _candidates(ranked: Ranked, max_points: int) -> NDArray[np.intp] | slice:
    """Return the groups among which points are looked for: all, or of very many some that are spread."""
    n_groups = max_points * _CANDIDATES
    return slice(None) if len(ranked.scores) <= n_groups else np.union1d([0], spread(ranked, n_groups))


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
