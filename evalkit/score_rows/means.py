"""Means of per-sample values: losses, and whether the true class is among the best."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.catalogue import METRICS
from evalkit.score_rows.number import Number
from evalkit.score_rows.states import ScoreStates, brier_of
from evalkit.uncertainty import MIN_CLUSTERS, clustered_variance, t_quantile, wilson, wilson_effective


class Means:
    """Means of per-sample values."""

    def __init__(
        self, states: ScoreStates, level: float, positive: int | None, clusters: NDArray[np.int64] | None
    ) -> None:
        self.states = states
        self.level = level
        self.positive = positive
        self.clusters = clusters

    def loss(self, slug: Any) -> Number:
        """Return the mean of log loss or Brier score; binary Brier is of the positive class alone."""
        sums = self.states.sums
        if sums is None:
            return Number(math.nan, "no_probabilities")
        mean, n = sums.mean(slug), sums.n
        spread, degrees = sums.variance(slug) / n if n > 1 else 0.0, n - 1
        if self.clusters is not None:
            clustered, n_clusters = clustered_variance((self._values(slug) - mean) / n, self.clusters)
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
        if self.states.ranks is None:
            return Number(math.nan, "scores_not_stored")
        n, hits = self.states.n, int(self.states.ranks[:k].sum())
        counted = Number(hits / n, numerator=hits, denominator=n)
        if self.clusters is None:
            low, high = wilson(hits, n, level=self.level)
            return replace(counted, bounds=(float(low), float(high)), method="wilson")
        right, smooth = self._samples.true_rank < k, (hits + 1) / (n + 2)
        spread, n_clusters = clustered_variance((right - smooth) / n, self.clusters)
        if n_clusters < MIN_CLUSTERS:
            return replace(counted, no_interval="too_few_clusters")
        spread = max(spread, smooth * (1 - smooth) / n)
        quantile = t_quantile(self.level, n_clusters - 1)
        low, high = wilson_effective(hits / n, smooth, spread, level=self.level, quantile=quantile)
        return replace(counted, bounds=(float(low), float(high)), method="wilson-effective-clustered")

    def _values(self, slug: str) -> Any:
        """Return each sample's loss; samples in clusters are always held."""
        return self._samples.log_loss if slug == "log_loss" else brier_of(self._samples, self.positive)

    @property
    def _samples(self) -> Any:
        assert self.states.samples is not None
        return self.states.samples

    @property
    def _suffix(self) -> str:
        return "" if self.clusters is None else "-clustered"
