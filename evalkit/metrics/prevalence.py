"""Precision, NPV and accuracy as they would be at a stated prevalence of the classes.

The prevalence is taken as known: only the sampling error inside each true class is in the variance, by the
delta method on the independent rows of shares.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.metrics.margins import Array
from evalkit.metrics.ratios import Floats, Mask

_TOLERANCE = 1e-9
# The metrics that can be re-weighted, and the parameters of their rows.
REWEIGHTED = ("accuracy", "precision", "npv")
STATED: Mapping[str, str] = {"prevalence": "stated"}


def stated_shares(
    prevalence: float | Mapping[str, float] | None, class_names: Sequence[str], positive: str | None
) -> tuple[float, ...] | None:
    """Return each class's share from a stated prevalence: of the positive class, or of every class by name.

    Raises:
        ValueError: Names are missing or unknown, or the shares do not sum to 1.
    """
    if prevalence is None:
        return None
    if not isinstance(prevalence, Mapping):
        if positive is None:
            raise ValueError("a single number belongs to task: binary; name every class's share")
        return tuple(prevalence if name == positive else 1 - prevalence for name in class_names)
    if set(prevalence) != set(class_names):
        raise ValueError(f"expected a share of each of {', '.join(class_names)}")
    shares = tuple(float(prevalence[name]) for name in class_names)
    if min(shares) < 0 or abs(sum(shares) - 1) > _TOLERANCE:
        raise ValueError(f"shares must sum to 1, got {sum(shares):g}")
    return shares


@dataclass(frozen=True, slots=True)
class Reweighted:
    """Values with variances; NaN and True where a class with a share has no samples, or 0/0.

    Attributes:
        value: Shape (...) for accuracy, (..., K) for the others.
        undefined: Mask of the same shape.
        variance: Of the same shape.
    """

    value: Floats
    undefined: Mask
    variance: Floats


def reweighted(matrix: Array, shares: Floats, slug: str) -> Reweighted:
    """Compute ``accuracy``, ``precision`` or ``npv`` at stated class shares.

    Args:
        matrix: Counts or smoothed counts, shape (..., K, K).
        shares: The prevalence of each class, shape (K,), summing to 1.
        slug: The metric.
    """
    support = matrix.sum(axis=-1, keepdims=True)
    filled = np.where(support > 0, support, 1)
    rates = matrix / filled
    spread = rates * (1 - rates) / filled
    missing = ((support[..., 0] == 0) & (shares > 0)).any(axis=-1)
    right, right_spread = (np.diagonal(part, axis1=-2, axis2=-1) for part in (rates, spread))
    if slug == "accuracy":
        variance = (shares**2 * right_spread).sum(axis=-1)
        return _result((shares * right).sum(axis=-1), np.ones(missing.shape), missing, variance)
    weighted, wide = shares[:, None] * rates, shares[:, None] ** 2 * spread
    hit, hit_spread = shares * right, shares**2 * right_spread
    if slug == "precision":
        other, other_spread = weighted.sum(axis=-2) - hit, wide.sum(axis=-2) - hit_spread
    else:
        # Of the samples not predicted as the class: those of other classes are the right ones.
        other, other_spread = shares - hit, hit_spread
        hit, hit_spread = (
            (1 - shares) - (weighted.sum(axis=-2) - shares * right),
            wide.sum(axis=-2) - shares**2 * right_spread,
        )
    total = hit + other
    value = hit / np.where(total > 0, total, 1)
    variance = ((1 - value) ** 2 * hit_spread + value**2 * other_spread) / np.where(total > 0, total, 1) ** 2
    return _result(hit, total, missing[..., None] | (total <= 0), variance)


def _result(numerator: Array, denominator: Array, undefined: Mask, variance: Array) -> Reweighted:
    value = np.where(undefined, np.nan, numerator / np.where(denominator > 0, denominator, 1))
    return Reweighted(value, np.broadcast_to(undefined, value.shape), np.broadcast_to(variance, value.shape))
