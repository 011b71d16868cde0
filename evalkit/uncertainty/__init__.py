"""Intervals: closed-form and deterministic."""

from evalkit.uncertainty.wilson import normal_quantile, wilson

__all__ = ["normal_quantile", "wilson"]
