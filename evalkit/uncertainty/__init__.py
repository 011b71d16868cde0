"""Intervals: closed-form and deterministic."""

from evalkit.uncertainty.sampling import BySample, Independent, Sampling, smoothed
from evalkit.uncertainty.wilson import normal_quantile, wilson, wilson_effective, wilson_f1

__all__ = [
    "BySample",
    "Independent",
    "Sampling",
    "normal_quantile",
    "smoothed",
    "wilson",
    "wilson_effective",
    "wilson_f1",
]
