"""Intervals: closed-form and deterministic."""

from evalkit.uncertainty.exact import share_at_most
from evalkit.uncertainty.sampling import (
    MIN_CLUSTERS,
    BySample,
    Independent,
    Sampling,
    clustered_variance,
    smoothed,
)
from evalkit.uncertainty.wilson import normal_quantile, t_quantile, wilson, wilson_effective, wilson_f1

__all__ = [
    "MIN_CLUSTERS",
    "BySample",
    "Independent",
    "Sampling",
    "clustered_variance",
    "normal_quantile",
    "share_at_most",
    "smoothed",
    "t_quantile",
    "wilson",
    "wilson_effective",
    "wilson_f1",
]
