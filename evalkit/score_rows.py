"""The rows that scores determine, with their intervals; computed from the stored values."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.catalogue import METRICS
from evalkit.metrics.calibration import ece, ece_by_chance, ece_debiased, ece_of, mce, reliability
from evalkit.metrics.estimands import Params
from evalkit.metrics.ranking import (
    Ranked,
    auc_influence,
    average_precision,
    average_precision_of,
    coarsened,
    delong_variance,
    roc_auc,
)
from evalkit.metrics.ratios import Floats
from evalkit.rows import Column, Measures
from evalkit.samples import Samples
from evalkit.scores import ScoreSums
from evalkit.uncertainty import MIN_CLUSTERS, normal_quantile, t_quantile, wilson, wilson_effective
from evalkit.uncertainty.bootstrap import bootstrap_interval

_SEED = 20_240_229
_N_REPLICATES = 1000
_GROUPS = 256
# Above these no interval is worth its time: of one class's average precision, of an average of AUCs.
_MAX_RESAMPLED = 10
_MAX_INFLUENCES = 20_000_000

Bounds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Number:
    """One value before it becomes a row."""

    value: float
    undefined: str | None = None
    bounds: Bounds | None = None
    method: str | None = None
    no_interval: str = "zero_variance"
    n_classes: int | None = None
    numerator: int | None = None
    denominator: int | None = None
    bound: float | None = None
    trivial: float = math.nan


def score_columns(
    samples: Samples,
    measures: Measures,
    n_classes: int,
    *,
    positive: int | None,
    clusters: NDArray[np.int64] | None,
) -> Iterator[Column]:
    """Yield the columns of every score metric that was asked for.

    Args:
        samples: What every sample gave.
        measures: What to compute.
        n_classes: K.
        positive: The index of the positive class of a binary task.
        clusters: A number for each sample's cluster, or None where samples are independent.
    """
    means = _Means(samples, measures.level, clusters)
    prior = Prior.of(samples, n_classes, positive)
    rankings: _Rankings | None = None
    for slug, params in measures.asked:
        metric = METRICS[slug]
        if metric.needs != "scores":
            continue
        if slug in ("log_loss", "brier"):
            number = means.loss(slug, halved=positive is not None)
            yield _column(slug, params, [replace(number, trivial=prior.loss(slug))])
        elif slug == "top_k_accuracy":
            number = means.top(int(params["k"]))
            yield _column(slug, params, [replace(number, trivial=prior.top(int(params["k"])))])
        elif slug in ("ece", "mce"):
            yield _column(slug, params, [_calibration(samples, slug, params, measures, positive, clusters)])
        else:
            rankings = rankings or _Rankings(samples, measures, n_classes, clusters)
            if positive is not None:
                number = rankings.number(slug, positive)
                yield _column(slug, params, [replace(number, trivial=prior.ranking(slug, "macro"))])
                continue
            for kind in ("macro", "weighted"):
                if kind in measures.averages:
                    number = replace(rankings.average(slug, kind), trivial=prior.ranking(slug, kind))
                    yield _column(slug, params, [number], average=kind)
            numbers = [rankings.number(slug, k) for k in range(rankings.n_classes)]
            yield _column(slug, params, numbers, by_class=True)


@dataclass(frozen=True, slots=True)
class Prior:
    """What a model has that gives every sample the classes' shares as its probabilities.

    Attributes:
        shares: Of each class, or label, shape (K,).
        positive: The positive class of a binary task.
        exclusive: False for label sets.
    """

    shares: Floats
    positive: int | None
    exclusive: bool

    @classmethod
    def of(cls, samples: Samples, n_classes: int, positive: int | None) -> "Prior":
        """Take the shares of the samples themselves."""
        exclusive = samples.y_true.ndim == 1
        counts = np.bincount(samples.y_true, minlength=n_classes) if exclusive else samples.y_true.sum(axis=0)
        return cls(counts / len(samples), positive, exclusive)

    def loss(self, slug: str) -> float:
        """Return its log loss or Brier score."""
        shares = self.shares
        if slug == "brier":
            found = shares * (1 - shares)
            return float(found.sum() if self.positive is None and self.exclusive else found.mean())
        if self.exclusive:
            return _entropy(shares)
        return float(np.mean([_entropy(np.array([share, 1 - share])) for share in shares]))

    def top(self, k: int) -> float:
        """Return the share of the k commonest classes."""
        return float(np.sort(self.shares)[::-1][:k].sum())

    def ranking(self, slug: str, kind: str) -> float:
        """Return one half, or for average precision the share of positives."""
        if slug == "roc_auc":
            return 0.5
        if self.positive is not None:
            return float(self.shares[self.positive])
        present = self.shares[self.shares > 0]
        weights = present if kind == "weighted" else np.ones(len(present))
        return float((weights * present).sum() / weights.sum())


def _entropy(shares: Floats) -> float:
    present = shares[shares > 0]
    return float(-(present * np.log(present)).sum())


class _Means:
    """Means of per-sample values."""

    def __init__(self, samples: Samples, level: float, clusters: NDArray[np.int64] | None) -> None:
        self.samples = samples
        self.level = level
        self.clusters = clusters

    def loss(self, slug: str, *, halved: bool) -> Number:
        """Return the mean of log loss or Brier score; binary Brier is of the positive class alone."""
        values = self.samples.log_loss if slug == "log_loss" else self.samples.brier
        if values is None:
            return Number(math.nan, "no_probabilities")
        values = values / 2 if halved and slug == "brier" else values
        sums = ScoreSums.of(values, values, values)
        mean, n = sums.mean("log_loss"), sums.n
        spread, degrees = sums.variance("log_loss") / n if n > 1 else 0.0, n - 1
        if self.clusters is not None:
            clustered, n_clusters = clustered_variance((values - mean) / n, self.clusters)
            if n_clusters < MIN_CLUSTERS:
                return Number(mean, no_interval="too_few_clusters")
            spread, degrees = max(spread, clustered), n_clusters - 1
        if not spread > 0:
            return Number(mean)
        half = t_quantile(self.level, degrees) * math.sqrt(spread)
        upper = METRICS[slug].upper
        high = mean + half if upper is None else min(mean + half, upper)
        return Number(mean, None, (max(mean - half, 0.0), high), "t" + self._suffix)

    def top(self, k: int) -> Number:
        """Return the share of samples whose true class is among the k best."""
        if self.samples.true_rank is None:
            return Number(math.nan, "scores_not_stored")
        right = self.samples.true_rank < k
        n, hits = len(right), int(right.sum())
        counted = Number(hits / n, numerator=hits, denominator=n)
        if self.clusters is None:
            low, high = wilson(hits, n, level=self.level)
            return replace(counted, bounds=(float(low), float(high)), method="wilson")
        smooth = (hits + 1) / (n + 2)
        spread, n_clusters = clustered_variance((right - smooth) / n, self.clusters)
        if n_clusters < MIN_CLUSTERS:
            return replace(counted, no_interval="too_few_clusters")
        spread = max(spread, smooth * (1 - smooth) / n)
        quantile = t_quantile(self.level, n_clusters - 1)
        low, high = wilson_effective(hits / n, smooth, spread, level=self.level, quantile=quantile)
        return replace(counted, bounds=(float(low), float(high)), method="wilson-effective-clustered")

    @property
    def _suffix(self) -> str:
        return "" if self.clusters is None else "-clustered"


class _Rankings:
    """AUC and average precision of each class, computed once."""

    def __init__(
        self, samples: Samples, measures: Measures, n_classes: int, clusters: NDArray[np.int64] | None
    ) -> None:
        self.samples = samples
        self.measures = measures
        self.clusters = clusters
        self.n_classes = n_classes
        self._ranked: dict[int, Ranked | None] = {}
        self._influence: dict[int, Floats] = {}

    def number(self, slug: str, k: int) -> Number:
        """Return one class's value."""
        ranked = self.ranked(k)
        if ranked is None:
            return Number(math.nan, "scores_not_stored")
        estimate = roc_auc(ranked) if slug == "roc_auc" else average_precision(ranked)
        if estimate.undefined is not None:
            return Number(math.nan, METRICS[slug].undefined)
        bound = None if ranked.exact else estimate.bound
        if slug == "roc_auc":
            bounds, method, reason = self._auc_interval(k, ranked, estimate.value)
        else:
            bounds, method, reason = self._precision_interval(ranked, estimate.value)
        return Number(estimate.value, None, bounds, method, reason, bound=bound)

    def average(self, slug: str, kind: str) -> Number:
        """Return the mean over the classes whose value is defined, by support where it is weighted."""
        ranked = [self.ranked(k) for k in range(self.n_classes)]
        if any(one is None for one in ranked):
            return Number(math.nan, "scores_not_stored")
        function = roc_auc if slug == "roc_auc" else average_precision
        found = [function(one) for one in ranked if one is not None]
        support = np.array([one.n_positives for one in ranked if one is not None], float)
        defined = np.array([one.undefined is None for one in found])
        weights = np.where(defined, support if kind == "weighted" else 1.0, 0.0)
        if not weights.sum():
            return Number(math.nan, "no_defined_class")
        weights = weights / weights.sum()
        value = sum(weight * one.value for weight, one in zip(weights, found, strict=True) if weight)
        exact = self.samples.scores is not None
        bound = None if exact else float(sum(w * one.bound for w, one in zip(weights, found, strict=True)))
        bounds, reason = None, "no_closed_form"
        if slug == "roc_auc":
            bounds, reason = self._mean_auc_interval(float(value), weights)
        method = "delong" + ("" if self.clusters is None else "-clustered")
        return Number(float(value), None, bounds, method, reason, n_classes=int(defined.sum()), bound=bound)

    def ranked(self, k: int) -> Ranked | None:
        """Return a class's ranking."""
        if k not in self._ranked:
            self._ranked[k] = self.samples.ranked(k)
        return self._ranked[k]

    def influence(self, k: int) -> Floats:
        """Return each sample's influence on a class's AUC."""
        if k not in self._influence:
            assert self.samples.scores is not None
            self._influence[k] = auc_influence(self.samples.positive(k), self.samples.scores[:, k])[1]
        return self._influence[k]

    def _auc_interval(self, k: int, ranked: Ranked, value: float) -> tuple[Bounds | None, str, str]:
        if self.clusters is None:
            return (*self._normal(value, delong_variance(ranked), None), "zero_variance")
        if self.samples.scores is None:
            return None, "delong", "binned"
        variance, n_clusters = clustered_variance(self.influence(k) / len(self.samples), self.clusters)
        if n_clusters < MIN_CLUSTERS:
            return None, "delong", "too_few_clusters"
        variance = max(variance, delong_variance(ranked))
        return (*self._normal(value, variance, n_clusters), "zero_variance")

    def _mean_auc_interval(self, value: float, weights: Floats) -> tuple[Bounds | None, str]:
        if self.samples.scores is None:
            return None, "binned"
        n = len(self.samples)
        if n * self.n_classes > _MAX_INFLUENCES:
            return None, "too_large"
        total = np.zeros(n)
        for k, weight in enumerate(weights.tolist()):
            if weight:
                total += weight * self.influence(k)
        variance, n_clusters = float((total**2).sum()) / n**2, None
        if self.clusters is not None:
            clustered, n_clusters = clustered_variance(total / n, self.clusters)
            if n_clusters < MIN_CLUSTERS:
                return None, "too_few_clusters"
            variance = max(variance, clustered)
        return self._normal(value, variance, n_clusters)[0], "zero_variance"

    def _precision_interval(self, ranked: Ranked, value: float) -> tuple[Bounds | None, str, str]:
        if self.clusters is not None:
            return None, "bootstrap", "clustered"
        if not ranked.exact:
            return None, "bootstrap", "binned"
        if self.n_classes > _MAX_RESAMPLED:
            return None, "bootstrap", "no_closed_form"
        counts = coarsened(ranked, max_groups=_GROUPS)
        bounds = bootstrap_interval(
            counts,
            average_precision_of,
            level=self.measures.level,
            n_replicates=_N_REPLICATES,
            seed=_SEED,
            centre=value,
        )
        if bounds is not None:
            bounds = max(bounds[0], 0.0), min(bounds[1], 1.0)
        return bounds, "bootstrap", "zero_variance"

    def _normal(self, value: float, variance: float, n_clusters: int | None) -> tuple[Bounds | None, str]:
        method = "delong" if n_clusters is None else "delong-clustered"
        if not variance > 0:  # NaN with one positive or negative
            return None, method
        level = self.measures.level
        quantile = normal_quantile(level) if n_clusters is None else t_quantile(level, n_clusters - 1)
        half = quantile * math.sqrt(variance)
        return (max(value - half, 0.0), min(value + half, 1.0)), method


def _calibration(
    samples: Samples,
    slug: str,
    params: Params,
    measures: Measures,
    positive: int | None,
    clusters: NDArray[np.int64] | None,
) -> Number:
    found = confidences(samples, positive)
    if found is None:
        return Number(math.nan, "no_probabilities")
    scheme: Literal["mass", "width"] = "width" if params.get("bins") == "width" else "mass"
    bins = reliability(*found, scheme=scheme)
    if slug == "mce":
        return Number(mce(bins), no_interval="no_closed_form")
    value = ece(bins) if scheme == "width" else ece_debiased(bins)
    if clusters is not None:
        return Number(value, no_interval="clustered")
    level = measures.level
    bounds = bootstrap_interval(
        bins.counts,
        ece_of(bins.mean_confidence),
        level=level,
        n_replicates=_N_REPLICATES,
        seed=_SEED,
        centre=value,
    )
    if bounds is not None and ece(bins) <= ece_by_chance(bins, level=0.5 + level / 2, seed=_SEED):
        bounds = min(value, 0.0), bounds[1]  # a calibrated model's gaps are no smaller
    return Number(value, None, bounds, "bootstrap")


def confidences(
    samples: Samples, positive: int | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
    """Return confidences and whether they were right: of the positive class, or of the predicted one."""
    if not samples.probable:
        return None
    if positive is not None and samples.scores is not None:
        return samples.scores[:, positive], samples.y_true == positive
    if positive is not None or samples.confidence is None:
        return None
    return samples.confidence, samples.y_true == samples.y_pred


def clustered_variance(influence: Floats, clusters: NDArray[np.int64]) -> tuple[float, int]:
    """Return G / (G - 1) times the sum of squared cluster sums, and G."""
    _, codes = np.unique(clusters, return_inverse=True)
    sums = np.bincount(codes, influence)
    n_clusters = len(sums)
    return float((sums**2).sum()) * n_clusters / max(n_clusters - 1, 1), n_clusters


def _column(
    slug: str,
    params: Params,
    numbers: Sequence[Number],
    *,
    average: str | None = None,
    by_class: bool = False,
) -> Column:
    shape = (1, len(numbers)) if by_class else (1,)

    def array(values: list[float]) -> Floats:
        return np.array(values, float).reshape(shape)

    bounds = [(math.nan, math.nan) if one.bounds is None else one.bounds for one in numbers]
    first = numbers[0]
    counted = first.numerator is not None
    # A column has one method and one reason for all of its cells: those of a cell that has them.
    told = next((one for one in numbers if one.undefined is None), first)
    return Column(
        METRICS[slug],
        array([one.value for one in numbers]),
        np.array([one.undefined is not None for one in numbers]).reshape(shape),
        next((one.undefined for one in numbers if one.undefined), "no_probabilities"),
        params,
        average,
        by_class,
        (array([low for low, _ in bounds]), array([high for _, high in bounds])),
        told.method,
        told.no_interval,
        np.array([first.numerator]) if counted else None,
        np.array([first.denominator]) if counted else None,
        None if first.n_classes is None else np.array([first.n_classes]),
        None if told.bound is None else array([one.bound or 0.0 for one in numbers]),
        None if by_class else array([one.trivial for one in numbers]),
    )
