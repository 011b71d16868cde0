"""Candidate less baseline with its interval: paired where both tables are there, else from two intervals."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evalkit.catalogue import METRICS
from evalkit.count_rows import margins_of
from evalkit.metrics import Gradient, Margins
from evalkit.metrics.estimands import Estimand, Scope, class_estimands, summary_estimands
from evalkit.metrics.ranking import auc_influence
from evalkit.metrics.ratios import Floats, Mask
from evalkit.rows import Measures, RowKey
from evalkit.uncertainty import MIN_CLUSTERS, clustered_variance, normal_quantile, smoothed, t_quantile
from evalkit.uncertainty.paired import Flips, tango_interval, tango_statistic

if TYPE_CHECKING:
    from evalkit.compare.joined import Joined

Bounds = tuple[float, float]
# Ratios of a class, and of what it is a share: samples of the class, or of all others.
_SHARES = {"recall": True, "fnr": True, "specificity": False, "fpr": False}


@dataclass(frozen=True, slots=True)
class Gap:
    """An interval of candidate less baseline, or why there is none.

    Attributes:
        bounds: Low and high, or None.
        method: tango, influence, t, delong, or newcombe for two runs that are not paired.
        reason: Why there are no bounds.
        score: The standard normal statistic of the observed difference at a supposed one; None where unknown.
    """

    bounds: Bounds | None
    method: str
    reason: str = ""
    score: Callable[[float], float] | None = None


def paired_gap(
    key: RowKey, joined: "Joined", measures: Measures, members: Mask, names: tuple[str, ...], *, level: float
) -> Gap:
    """Return the interval of candidate less baseline for one row, from the samples of both.

    Args:
        key: The row.
        joined: The two runs' samples.
        measures: The candidate's.
        members: The class set of averages, of both runs.
        names: Class names.
        level: The confidence level.
    """
    metric, params, average, class_name, slice_ = key
    inside = np.ones(len(joined), bool) if slice_ is None else joined.of_slice(dict(slice_))
    k = None if class_name is None else names.index(class_name)
    clusters = None if joined.clusters is None else joined.clusters[inside]
    right = _correct(metric, dict(params), average, k, joined, inside)
    if right is not None and clusters is None:
        return _tango(metric, *right, level)
    influence = _influence(key, joined, measures, members, k, inside)
    if influence is None:
        return Gap(None, "influence", "no_paired_interval")
    difference, spread, method = influence
    if clusters is not None:
        clustered, n_clusters = clustered_variance(spread - spread.mean(), clusters)
        if n_clusters < MIN_CLUSTERS:
            return Gap(None, method, "too_few_clusters")
        quantile, variance = t_quantile(level, n_clusters - 1), clustered
    else:
        quantile, variance = normal_quantile(level), float(((spread - spread.mean()) ** 2).sum())
    variance += _pseudo_flip(key, joined, measures, members, k, inside)
    if not variance > 0:
        return Gap(None, method, "zero_variance")
    error = math.sqrt(variance) * quantile / normal_quantile(level)  # with t quantiles: wider by as much
    half = normal_quantile(level) * error
    return Gap(
        (difference - half, difference + half),
        method,
        score=lambda supposed: (difference - supposed) / error,
    )


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


def _correct(
    metric: str,
    params: dict[str, float | str],
    average: str | None,
    k: int | None,
    joined: "Joined",
    inside: Mask,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Return which samples each model has right, where the row is a share of samples; else None."""
    new, old = joined.new, joined.old
    if metric == "top_k_accuracy" and new.true_rank is not None and old.true_rank is not None:
        best = int(params["k"])
        return (new.true_rank < best)[inside], (old.true_rank < best)[inside]
    if metric == "subset_accuracy":
        mine, theirs = ((one.y_pred == one.y_true).all(axis=1)[inside] for one in (new, old))
        return mine, theirs
    if metric == "accuracy" and "prevalence" not in params:
        mine, theirs = ((one.y_pred == one.y_true)[inside] for one in (new, old))
        return mine, theirs
    if metric in _SHARES and k is not None and average is None:
        of = new.positive(k) == _SHARES[metric]
        said = [one.y_pred[:, k] if one.y_pred.ndim == 2 else one.y_pred == k for one in (new, old)]  # noqa: PLR2004
        mine, theirs = ((answer == new.positive(k))[inside & of] for answer in said)
        return mine, theirs
    return None


def _tango(metric: str, new: NDArray[np.bool_], old: NDArray[np.bool_], level: float) -> Gap:
    if not new.size:
        return Gap(None, "tango", "no_samples")
    flips = Flips(*(np.asarray(part) for part in ((new & ~old).sum(), (old & ~new).sum(), new.size)))
    low, high = (float(bound) for bound in tango_interval(flips, level=level))
    # A rate of errors falls where more is right.
    if metric in ("fnr", "fpr"):
        return Gap((-high, -low), "tango", score=lambda supposed: -float(tango_statistic(flips, -supposed)))
    return Gap((low, high), "tango", score=lambda supposed: float(tango_statistic(flips, supposed)))


def _influence(
    key: RowKey, joined: "Joined", measures: Measures, members: Mask, k: int | None, inside: Mask
) -> tuple[float, Floats, str] | None:
    """Return the difference, each sample's influence on it, and the method."""
    metric, params, _, _, _ = key
    if metric in ("log_loss", "brier"):
        losses = [one.log_loss if metric == "log_loss" else one.brier for one in (joined.new, joined.old)]
        if losses[0] is None or losses[1] is None:
            return None
        change = (losses[0] - losses[1])[inside] / (
            2 if metric == "brier" and measures.task == "binary" else 1
        )
        return float(change.mean()), change / len(change), "t"
    if metric == "roc_auc" and key[2] is None:
        return _auc(joined, k, measures, inside)
    estimand = _estimand(key, measures, members)
    if estimand is None or estimand.gradient is None or "prevalence" in dict(params):
        return None
    found = [
        _of_samples(estimand, one.y_true[inside], one.y_pred[inside], len(members), k)
        for one in (joined.new, joined.old)
    ]
    return found[0][0] - found[1][0], found[0][1] - found[1][1], "influence"


def _auc(
    joined: "Joined", k: int | None, measures: Measures, inside: Mask
) -> tuple[float, Floats, str] | None:
    new, old = joined.new, joined.old
    if new.scores is None or old.scores is None or (k is None and measures.positive is None):
        return None
    column = measures.positive if k is None else k
    assert column is not None
    truth = new.positive(column)[inside]
    found = [auc_influence(truth, one.scores[inside, column]) for one in (new, old) if one.scores is not None]
    if math.isnan(found[0][0]):
        return None
    return found[0][0] - found[1][0], (found[0][1] - found[1][1]) / len(truth), "delong"


def _estimand(key: RowKey, measures: Measures, members: Mask) -> Estimand | None:
    metric, params, average, class_name, _ = key
    cost = None if measures.cost is None else np.array(measures.cost, float)
    kinds = (average,) if average else measures.averages
    scope = Scope(measures.task, members, measures.policy, kinds, cost)
    if class_name is None:
        found = [one for one in summary_estimands(metric, dict(params), scope) if one.average == average]
    else:
        found = [one for one in class_estimands([(metric, dict(params))]) if one.metric is METRICS[metric]]
    return found[0] if found else None


def _of_samples(
    estimand: Estimand, y_true: NDArray[np.int64], y_pred: NDArray[np.int64], size: int, k: int | None
) -> tuple[float, Floats]:
    """Return a metric of some samples, and each one's influence on it."""
    matrix = _matrix(y_true, y_pred, size)
    several = y_true.ndim == 2  # noqa: PLR2004 - (n, L)
    task = "multilabel" if several else "multiclass"
    observed, calm = margins_of(matrix, task), margins_of(smoothed(matrix), task)
    value = estimand.value(observed).value
    gradient = _gradient(estimand, calm, observed, k)
    if several:
        influence = y_true @ gradient.support + y_pred @ gradient.predicted + (y_true & y_pred) @ gradient.tp
        return float(value if k is None else value[k]), np.asarray(influence + gradient.n)
    influence = gradient.support[y_true] + gradient.predicted[y_pred] + gradient.n
    influence = influence + np.where(y_true == y_pred, gradient.tp[y_true], 0)
    if gradient.cells is not None:
        influence = influence + gradient.cells[y_true, y_pred]
    return float(value if k is None else value[k]), np.asarray(influence)


def _gradient(estimand: Estimand, calm: Margins, observed: Margins, k: int | None) -> Gradient:
    """Return a metric's derivative; of a class's own metric only that class's margins count."""
    assert estimand.gradient is not None
    gradient = estimand.gradient(calm, observed)
    if k is None:
        return gradient
    one = np.arange(gradient.tp.shape[-1]) == k
    return Gradient(
        np.where(one, gradient.tp, 0),
        np.where(one, gradient.support, 0),
        np.where(one, gradient.predicted, 0),
        gradient.n[k],
    )


def _pseudo_flip(
    key: RowKey, joined: "Joined", measures: Measures, members: Mask, k: int | None, inside: Mask
) -> float:
    """Return what one flip in the smallest class that occurs would add to the variance.

    Without it two models that agree on every sample would be certain to be equal.
    """
    estimand = None if METRICS[key[0]].needs == "scores" else _estimand(key, measures, members)
    if estimand is None or estimand.gradient is None:
        return 0.0
    y_true, y_pred = joined.new.y_true[inside], joined.new.y_pred[inside]
    matrix = _matrix(y_true, y_pred, len(members))
    task = "multilabel" if y_true.ndim == 2 else "multiclass"  # noqa: PLR2004 - (n, L)
    calm = margins_of(smoothed(matrix), task)
    gradient = _gradient(estimand, calm, margins_of(matrix, task), k)
    support = np.where(calm.support > 0, calm.support, np.inf)
    smallest = int(np.argmin(support)) if k is None else k
    tp, predicted = gradient.tp, gradient.predicted
    others = np.arange(len(tp)) != smallest
    if y_true.ndim == 2:  # noqa: PLR2004 - a label goes wrong alone
        flips = (tp[smallest] + predicted[smallest], predicted[smallest])
    else:  # its sample goes to another class, or another's to it
        lost = tp[smallest] + predicted[smallest] - predicted[others].mean()
        flips = (lost, predicted[smallest] - (tp + predicted)[others].mean())
    return float(max(abs(flip) for flip in flips) ** 2)


def _matrix(y_true: NDArray[np.int64], y_pred: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    if y_true.ndim == 1:
        return np.bincount(y_true * size + y_pred, minlength=size * size).reshape(size, size)
    cell = y_true.astype(np.int64) * 2 + y_pred
    return np.stack([np.bincount(cell[:, k], minlength=4).reshape(2, 2) for k in range(size)])
