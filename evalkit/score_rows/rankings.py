"""AUC and average precision of each class, and their averages."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.catalogue import METRICS
from evalkit.metrics.influence import auc_influence
from evalkit.metrics.ranking import (
    Estimate,
    Ranked,
    average_precision,
    average_precision_of,
    coarsened,
    delong_variance,
    roc_auc,
)
from evalkit.metrics.ratios import Floats
from evalkit.rows import Measures
from evalkit.score_rows.number import N_REPLICATES, SEED, Bounds, Number
from evalkit.score_rows.states import ScoreStates
from evalkit.score_rows.threads import each
from evalkit.uncertainty import MIN_CLUSTERS, clustered_variance, normal_quantile, t_quantile
from evalkit.uncertainty.bootstrap import bootstrap_interval

_GROUPS = 256
# Above these no interval is worth its time: of one class's average precision, of an average of AUCs.
_MAX_RESAMPLED = 10
_MAX_INFLUENCES = 20_000_000
_ESTIMATES: Mapping[str, Callable[[Ranked], Estimate]] = {
    "roc_auc": roc_auc,
    "average_precision": average_precision,
}


@dataclass(frozen=True, slots=True)
class _OfClass:
    """What is kept of one class once its ranking, which may be as long as the samples, is let go."""

    numbers: Mapping[str, Number]
    estimates: Mapping[str, Estimate]
    n_positives: int


class Rankings:
    """AUC and average precision of each class, computed once; two rankings are held at a time."""

    def __init__(
        self,
        states: ScoreStates,
        measures: Measures,
        n_classes: int,
        clusters: NDArray[np.int64] | None,
        *,
        single: bool,
    ) -> None:
        self.states = states
        self.scores = None if states.samples is None else states.samples.scores
        self.measures = measures
        self.clusters = clusters
        self.n_classes = n_classes
        self._single = single
        self._found: dict[int, _OfClass | None] = {}
        self._total: dict[str, Floats] = {}

    def number(self, slug: str, k: int) -> Number:
        """Return one class's value."""
        found = self._class(k)
        return Number(math.nan, "scores_not_stored") if found is None else found.numbers[slug]

    def average(self, slug: str, kind: str) -> Number:
        """Return the mean over the classes whose value is defined, by support where it is weighted."""
        classes = [one for k in range(self.n_classes) if (one := self._class(k)) is not None]
        if len(classes) < self.n_classes:
            return Number(math.nan, "scores_not_stored")
        found = [one.estimates[slug] for one in classes]
        defined = np.array([one.undefined is None for one in found])
        weights = _weights(classes, slug, kind)
        if weights is None:
            return Number(math.nan, "no_defined_class")
        value = sum(weight * one.value for weight, one in zip(weights, found, strict=True) if weight)
        exact = self.scores is not None
        bound = None if exact else float(sum(w * one.bound for w, one in zip(weights, found, strict=True)))
        bounds, reason = None, "no_closed_form"
        if slug == "roc_auc":
            bounds, reason = self._mean_auc_interval(float(value), kind, classes)
        method = "delong" + ("" if self.clusters is None else "-clustered")
        return Number(float(value), None, bounds, method, reason, n_classes=int(defined.sum()), bound=bound)

    def _class(self, k: int) -> _OfClass | None:
        """Rank the samples by a class's score; None where its scores were not stored."""
        if not self._found:
            # Of a binary task only the positive class is asked for.
            classes = [k] if self._single else range(self.n_classes)
            self._found = dict(zip(classes, each(self._rank, classes), strict=True))
        return self._found[k]

    def _rank(self, k: int) -> _OfClass | None:
        ranked = self.states.ranked(k)
        return None if ranked is None else self._of(k, ranked)

    def _of(self, k: int, ranked: Ranked) -> _OfClass:
        asked = [slug for slug, _ in self.measures.asked if slug in _ESTIMATES]
        estimates = {slug: _ESTIMATES[slug](ranked) for slug in asked}
        numbers = {slug: self._number(slug, k, ranked, one) for slug, one in estimates.items()}
        return _OfClass(numbers, estimates, ranked.n_positives)

    def _number(self, slug: str, k: int, ranked: Ranked, estimate: Estimate) -> Number:
        if estimate.undefined is not None:
            return Number(math.nan, METRICS[slug].undefined)
        bound = None if ranked.exact else estimate.bound
        if slug == "roc_auc":
            bounds, method, reason = self._auc_interval(k, ranked, estimate.value)
        else:
            bounds, method, reason = self._precision_interval(ranked, estimate.value)
        return Number(estimate.value, None, bounds, method, reason, bound=bound)

    def influence(self, k: int) -> Floats:
        """Return each sample's influence on a class's AUC."""
        assert self.scores is not None
        assert self.states.samples is not None
        return auc_influence(self.states.samples.positive(k), self.scores[:, k])[1]

    def _totals(self, classes: Sequence[_OfClass]) -> dict[str, Floats]:
        """Return each sample's influence on the means of AUCs; two classes' influences are held at a time."""
        if not self._total:
            kinds = {kind: _weights(classes, "roc_auc", kind) for kind in ("macro", "weighted")}
            self._total = {kind: np.zeros(self.states.n) for kind in kinds}
            known = {kind: weights for kind, weights in kinds.items() if weights is not None}
            asked = [k for k in range(self.n_classes) if any(weights[k] for weights in known.values())]
            for k, found in zip(asked, each(self.influence, asked), strict=True):
                for kind, weights in known.items():
                    if weights[k]:
                        self._total[kind] += weights[k] * found
        return self._total

    def _auc_interval(self, k: int, ranked: Ranked, value: float) -> tuple[Bounds | None, str, str]:
        if self.clusters is None:
            return (*self._normal(value, delong_variance(ranked), None), "zero_variance")
        if self.scores is None:
            return None, "delong", "binned"
        variance, n_clusters = clustered_variance(self.influence(k) / self.states.n, self.clusters)
        if n_clusters < MIN_CLUSTERS:
            return None, "delong", "too_few_clusters"
        variance = max(variance, delong_variance(ranked))
        return (*self._normal(value, variance, n_clusters), "zero_variance")

    def _mean_auc_interval(
        self, value: float, kind: str, classes: Sequence[_OfClass]
    ) -> tuple[Bounds | None, str]:
        if self.scores is None:
            return None, "binned"
        n = self.states.n
        if n * self.n_classes > _MAX_INFLUENCES:
            return None, "too_large"
        total = self._totals(classes)[kind]
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
            n_replicates=N_REPLICATES,
            seed=SEED,
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


def _weights(classes: Sequence[_OfClass], slug: str, kind: str) -> Floats | None:
    """Return each class's share of a mean over those whose value is defined; None where there is none."""
    support = np.array([one.n_positives for one in classes], float)
    defined = np.array([one.estimates[slug].undefined is None for one in classes])
    weights = np.where(defined, support if kind == "weighted" else 1.0, 0.0)
    return weights / weights.sum() if weights.sum() else None
