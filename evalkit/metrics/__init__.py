"""Metrics as pure, vectorised functions of the mergeable states."""

from evalkit.metrics.averages import Average, ClassPolicy, Policy, ZeroDivision, average, class_members
from evalkit.metrics.ratios import PER_CLASS, Ratio, accuracy, balanced_accuracy, per_class

__all__ = [
    "PER_CLASS",
    "Average",
    "ClassPolicy",
    "Policy",
    "Ratio",
    "ZeroDivision",
    "accuracy",
    "average",
    "balanced_accuracy",
    "class_members",
    "per_class",
]
