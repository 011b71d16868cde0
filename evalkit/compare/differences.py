"""Candidate less baseline with its interval, from the samples of both."""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evalkit.compare.gap import Gap
from evalkit.compare.influences import Asked, influence_of, influence_of_right
from evalkit.metrics.ratios import Mask
from evalkit.rows import Measures, RowKey
from evalkit.uncertainty import MIN_CLUSTERS, clustered_variance, normal_quantile, t_quantile
from evalkit.uncertainty.paired import Flips, tango_interval, tango_statistic

if TYPE_CHECKING:
    from evalkit.compare.joined import Joined

Rights = NDArray[np.bool_]
# Ratios of a class, and of what it is a share: samples of the class, or of all others.
_SHARES = {"recall": True, "fnr": True, "specificity": False, "fpr": False}


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
    if not inside.any():
        return Gap(None, "none", "no_samples")
    clusters = None if joined.clusters is None else joined.clusters[inside]
    right = _correct(metric, dict(params), average, k, joined, inside)
    if right is not None and clusters is None:
        return _tango(metric, *right, level)
    found = influence_of(Asked(key, joined, measures, members, k, inside))
    if found is None and right is not None and right[0].size == inside.sum():
        found = influence_of_right(*right)
    if found is None:
        return Gap(None, "influence", "no_paired_interval")
    centred = found.spread - found.spread.mean()
    widened, variance = 1.0, float((centred**2).sum())
    if clusters is not None:
        variance, n_clusters = clustered_variance(centred, clusters)
        if n_clusters < MIN_CLUSTERS:
            return Gap(None, found.method, "too_few_clusters")
        widened = t_quantile(level, n_clusters - 1) / normal_quantile(level)
    variance += found.pseudo
    if not variance > 0:
        return Gap(None, found.method, "zero_variance")
    return _normal(found.difference, math.sqrt(variance) * widened, found.method, level)


def _normal(difference: float, error: float, method: str, level: float) -> Gap:
    half = normal_quantile(level) * error
    return Gap(
        (difference - half, difference + half),
        method,
        score=lambda supposed: (difference - supposed) / error,
        error=error,
    )


def _correct(
    metric: str,
    params: dict[str, float | str],
    average: str | None,
    k: int | None,
    joined: "Joined",
    inside: Mask,
) -> tuple[Rights, Rights] | None:
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


def _tango(metric: str, new: Rights, old: Rights, level: float) -> Gap:
    if not new.size:
        return Gap(None, "tango", "no_samples")
    flips = Flips(*(np.asarray(part) for part in ((new & ~old).sum(), (old & ~new).sum(), new.size)))
    low, high = (float(bound) for bound in tango_interval(flips, level=level))
    if metric in ("fnr", "fpr"):  # a rate of errors falls where more is right
        low, high, sign = -high, -low, -1
    else:
        sign = 1
    return Gap(
        (low, high),
        "tango",
        score=lambda supposed: sign * float(tango_statistic(flips, sign * supposed)),
        flips=flips,
    )
