"""AUC, average precision and curves of each class, and the averages of the areas."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.catalogue import METRICS
from evalkit.metrics.areas import (
    Estimate,
    average_precision,
    average_precision_of,
    coarsened,
    delong_variance,
    roc_auc,
)
from evalkit.metrics.influence import auc_influence
from evalkit.metrics.ranked import Ordered, Ranked
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
Drawn = dict[str, Any]
_ESTIMATES: Mapping[str, Callable[[Ranked], Estimate]] = {
    "roc_auc": roc_auc,
    "average_precision": average_precision,
}


@dataclass(frozen=True, slots=True)
class _OfClass:
    """What is kept of one class once its ranking, which may be as long as the samples, is let go.

    Attributes:
        numbers, estimates: By metric.
        curves: What is drawn.
        influence: Each sample's on the area under the ROC curve, shape (n,), until it is added up.
    """

    numbers: Mapping[str, Number]
    estimates: Mapping[str, Estimate]
    curves: Drawn
    influence: Floats | None = None


class Rankings:
    """AUC, average precision and curves of each class, which is ranked once; two are held at a time.

    Args:
        states: What is known of the scores.
        measures: What to compute.
        n_classes: K.
        clusters: A number for each sample's cluster, or None where samples are independent.
        positive: The positive class of a binary task, the only one that is ranked.
        draw: Gives the curves of a ranking; None where none are drawn.
    """

    def __init__(
        self,
        states: ScoreStates,
        measures: Measures,
        n_classes: int,
        clusters: NDArray[np.int64] | None,
        *,
        positive: int | None,
        draw: Callable[[Ranked], Drawn] | None = None,
    ) -> None:
        self.states = states
        self.measures = measures
        self.clusters = clusters
        self.n_classes = n_classes
        self._classes = range(n_classes) if positive is None else range(positive, positive + 1)
        self._draw = draw
        self._asked = [slug for slug, _ in measures.asked if slug in _ESTIMATES]
        self._exact = states.samples is not None and states.samples.scores is not None
        self._small = self._exact and states.n * n_classes <= _MAX_INFLUENCES
        averaged = positive is None and self._small
        kinds = [kind for kind in ("macro", "weighted") if averaged and kind in measures.averages]
        self._shares = {kind: self._weights("roc_auc", kind) for kind in kinds}
        self._total: dict[str, Floats] = {kind: np.zeros(states.n) for kind in kinds}
        self._found: dict[int, _OfClass | None] = {}

    def number(self, slug: str, k: int) -> Number:
        """Return one class's value."""
        found = self._visited[k]
        return Number(math.nan, "scores_not_stored") if found is None else found.numbers[slug]

    def average(self, slug: str, kind: str) -> Number:
        """Return the mean over the classes whose value is defined, by support where it is weighted."""
        classes = [one for one in self._visited.values() if one is not None]
        if len(classes) < self.n_classes:
            return Number(math.nan, "scores_not_stored")
        found, weights = [one.estimates[slug] for one in classes], self._weights(slug, kind)
        if weights is None:
            return Number(math.nan, "no_defined_class")
        n_defined = sum(one.undefined is None for one in found)
        value = sum(weight * one.value for weight, one in zip(weights, found, strict=True) if weight)
        bound = None
        if not self._exact:
            bound = float(sum(weight * one.bound for weight, one in zip(weights, found, strict=True)))
        bounds, reason = None, "no_closed_form"
        if slug == "roc_auc":
            bounds, reason = self._mean_auc_interval(float(value), kind)
        method = "delong" + ("" if self.clusters is None else "-clustered")
        return Number(float(value), None, bounds, method, reason, n_classes=n_defined, bound=bound)

    def curves(self) -> list[tuple[int, Drawn]]:
        """Return the curves of each class whose scores were stored."""
        if self._draw is None:
            return []
        return [(k, found.curves) for k, found in self._visited.items() if found is not None]

    @property
    def _visited(self) -> Mapping[int, _OfClass | None]:
        """Every class by its number; None where its scores were not stored."""
        if not self._found:
            for k, found in zip(self._classes, each(self._visit, self._classes), strict=True):
                self._found[k] = found if found is None else self._added(k, found)
        return self._found

    def _visit(self, k: int) -> _OfClass | None:
        found = self.states.ranked(k)
        if found is None:
            return None
        ranked = found.ranked if isinstance(found, Ordered) else found
        influence = None
        if isinstance(found, Ordered) and self._bears(k):
            influence = auc_influence(found)[1]
        estimates = {slug: _ESTIMATES[slug](ranked) for slug in self._asked}
        numbers = {slug: self._number(slug, ranked, one, influence) for slug, one in estimates.items()}
        drawn = {} if self._draw is None else self._draw(ranked)
        return _OfClass(numbers, estimates, drawn, influence)

    def _bears(self, k: int) -> bool:
        """Return whether single samples' influence on a class's area is needed."""
        shares = [weights[k] for weights in self._shares.values() if weights is not None]
        return "roc_auc" in self._asked and (self.clusters is not None or any(shares))

    def _added(self, k: int, found: _OfClass) -> _OfClass:
        """Add the samples' influence to that on the means, in the order of the classes, and let go of it."""
        for kind, weights in self._shares.items():
            if weights is not None and weights[k] and found.influence is not None:
                self._total[kind] += weights[k] * found.influence
        return replace(found, influence=None)

    def _weights(self, slug: str, kind: str) -> Floats | None:
        """Return each class's share of a mean over those whose value is defined; None where there is none."""
        support = self.states.support
        defined = support > 0
        if slug == "roc_auc":
            defined &= support < self.states.n
        weights = np.where(defined, support if kind == "weighted" else 1.0, 0.0)
        return weights / weights.sum() if weights.sum() else None

    def _number(self, slug: str, ranked: Ranked, estimate: Estimate, influence: Floats | None) -> Number:
        if estimate.undefined is not None:
            return Number(math.nan, METRICS[slug].undefined)
        bound = None if ranked.exact else estimate.bound
        if slug == "roc_auc":
            bounds, method, reason = self._auc_interval(ranked, estimate.value, influence)
        else:
            bounds, method, reason = self._precision_interval(ranked, estimate.value)
        return Number(estimate.value, None, bounds, method, reason, bound=bound)

    def _auc_interval(
        self, ranked: Ranked, value: float, influence: Floats | None
    ) -> tuple[Bounds | None, str, str]:
        if self.clusters is None:
            return (*self._normal(value, delong_variance(ranked), None), "zero_variance")
        if influence is None:
            return None, "delong", "binned"
        variance, n_clusters = clustered_variance(influence / self.states.n, self.clusters)
        if n_clusters < MIN_CLUSTERS:
            return None, "delong", "too_few_clusters"
        variance = max(variance, delong_variance(ranked))
        return (*self._normal(value, variance, n_clusters), "zero_variance")

    def _mean_auc_interval(self, value: float, kind: str) -> tuple[Bounds | None, str]:
        if not self._small:
            return None, "too_large" if self._exact else "binned"
        total, n = self._total[kind], self.states.n
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
