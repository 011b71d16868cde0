"""Metrics as pure, vectorised functions of the mergeable states."""

from evalkit.metrics.averages import (
    Average,
    ClassPolicy,
    Policy,
    ZeroDivision,
    average,
    average_gradient,
    class_members,
)
from evalkit.metrics.margins import Gradient, Margins
from evalkit.metrics.overall import OVERALL, Value, expected_cost, expected_cost_gradient
from evalkit.metrics.ratios import PER_CLASS, SUMS, Ratio, per_class, per_class_gradient

__all__ = [
    "OVERALL",
    "PER_CLASS",
    "SUMS",
    "Average",
    "ClassPolicy",
    "Gradient",
    "Margins",
    "Policy",
    "Ratio",
    "Value",
    "ZeroDivision",
    "average",
    "average_gradient",
    "class_members",
    "expected_cost",
    "expected_cost_gradient",
    "per_class",
    "per_class_gradient",
]
