"""Rows of label sets that look at each sample: averages over samples, and sets that are right as a whole."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from evalkit.catalogue import METRICS, Metric
from evalkit.metrics import Margins, per_class
from evalkit.metrics.estimands import Params
from evalkit.metrics.ratios import Floats, Mask
from evalkit.rows import Column, Measures
from evalkit.samples import Samples
from evalkit.uncertainty import (
    MIN_CLUSTERS,
    clustered_variance,
    normal_quantile,
    t_quantile,
    wilson_effective,
)


def sample_columns(
    samples: Samples, measures: Measures, *, clusters: NDArray[np.int64] | None
) -> Iterator[Column]:
    """Yield ``samples`` averages and subset accuracy, of a multilabel task.

    A ratio of 0/0 in one sample counts as 0 in the mean, or stays out of it (``zero_division: nan``), as in
    scikit-learn.

    Args:
        samples: Label sets, shape (n, L).
        measures: What to compute.
        clusters: A number for each sample's cluster, or None.
    """
    if measures.task != "multilabel":
        return
    for slug, params in measures.asked:
        metric = METRICS[slug]
        if slug == "subset_accuracy":
            right = (samples.y_true == samples.y_pred).all(axis=1)
            yield _mean(metric, params, None, right.astype(float), measures.level, clusters)
        elif "samples" in metric.averages and "samples" in measures.averages:
            values, undefined = sample_values(samples, slug, params)
            kept = ~undefined if measures.policy.zero_division == "nan" else np.ones(len(samples), bool)
            inside = None if clusters is None else clusters[kept]
            yield _mean(metric, params, "samples", values[kept], measures.level, inside)


def sample_values(samples: Samples, slug: str, params: Params) -> tuple[Floats, Mask]:
    """Return a ratio of each sample's labels, shape (n,), 0 where it is undefined, and where that is."""
    ratio = per_class(_transposed(samples), slug, beta=float(params.get("beta", 1)))
    return np.where(ratio.undefined, 0.0, ratio.value), ratio.undefined


def _transposed(samples: Samples) -> Margins:
    """Return the margins of each sample over its labels: samples take the place of classes."""
    true, pred = samples.y_true, samples.y_pred
    return Margins((true & pred).sum(axis=1), true.sum(axis=1), pred.sum(axis=1), np.array([true.shape[1]]))


def _mean(
    metric: Metric,
    params: Params,
    average: str | None,
    values: Floats,
    level: float,
    clusters: NDArray[np.int64] | None,
) -> Column:
    """Return the mean of values from 0 to 1; pseudo-samples 0 and 1 keep its interval from vanishing."""
    n = len(values)
    if n == 0:
        return Column(metric, np.array([np.nan]), np.array([True]), "no_defined_class", params, average)
    mean, smooth = float(values.mean()), float((values.sum() + 1) / (n + 2))
    spread = (float((values**2).sum() + 1) / (n + 2) - smooth**2) / n
    quantile, method, enough = normal_quantile(level), "wilson-effective", True
    if clusters is not None:
        clustered, n_clusters = clustered_variance((values - smooth) / n, clusters)
        spread, enough = max(spread, clustered), n_clusters >= MIN_CLUSTERS
        quantile, method = t_quantile(level, n_clusters - 1), "wilson-effective-clustered"
    low, high = wilson_effective(mean, smooth, spread, level=level, quantile=quantile)
    interval = (np.array([float(low)]), np.array([float(high)])) if enough else None
    return Column(
        metric,
        np.array([mean]),
        np.array([False]),
        "no_defined_class",
        params,
        average,
        interval=interval,
        method=method,
        no_interval="zero_variance" if enough else "too_few_clusters",
    )
