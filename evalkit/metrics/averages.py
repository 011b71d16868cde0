"""Averages over classes, and the policy that says which classes go in."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from evalkit.counts import ConfusionCounts, Counts
from evalkit.metrics.ratios import Floats, Mask, Ratio, per_class

ClassPolicy = Literal["present", "declared", "supported"]
ZeroDivision = Literal[0, "nan"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What an average means; part of the signature.

    Attributes:
        classes: ``present``: the classes that occur in y_true or y_pred (scikit-learn's ``labels=None``);
            ``declared``: all; ``supported``: those that occur in y_true.
        zero_division: A 0/0 cell counts as 0 in an average, or (``nan``) stays out of it.
    """

    classes: ClassPolicy = "present"
    zero_division: ZeroDivision = 0


@dataclass(frozen=True, slots=True)
class Average:
    """An average over classes, arrays over the leading axes.

    Attributes:
        value: float64; NaN exactly where undefined.
        undefined: True where no class went in, or (micro) the summed denominator is 0.
        n_classes: How many classes went in.
        ratio: The summed numerator and denominator of a micro average, else None.
    """

    value: Floats
    undefined: Mask
    n_classes: Counts
    ratio: Ratio | None = None


def class_members(counts: ConfusionCounts, policy: Policy) -> Mask:
    """Return which classes an average is over, shape (K,): one set for all leading axes."""
    flat = counts.matrix.reshape(-1, counts.n_classes, counts.n_classes).sum(axis=0)
    supported = flat.sum(axis=1) > 0
    if policy.classes == "declared":
        return np.ones(counts.n_classes, bool)
    chosen = supported if policy.classes == "supported" else supported | (flat.sum(axis=0) > 0)
    return np.asarray(chosen, dtype=np.bool_)


def average(
    counts: ConfusionCounts, slug: str, kind: str, *, members: Mask, zero_division: ZeroDivision = 0
) -> Average:
    """Average a ratio metric over classes, as scikit-learn does with ``labels`` = the members.

    Args:
        counts: Shape (..., K, K).
        slug: A key of :data:`~evalkit.metrics.ratios.PER_CLASS`.
        kind: micro, macro or weighted (by support).
        members: Which classes, shape (K,).
        zero_division: As in :class:`Policy`.
    """
    ratio = per_class(counts, slug)
    if kind == "micro":
        return _micro(ratio, members)
    weights = counts.support if kind == "weighted" else np.ones_like(counts.support)
    return _mean(ratio, weights, members, zero_division)


def _micro(ratio: Ratio, members: Mask) -> Average:
    numerator = np.asarray(np.where(members, ratio.numerator, 0).sum(axis=-1))
    denominator = np.asarray(np.where(members, ratio.denominator, 0).sum(axis=-1))
    total = Ratio.of(numerator, denominator)
    n_classes = np.full(numerator.shape, members.sum(), np.int64)
    return Average(total.value, total.undefined, n_classes, total)


def _mean(ratio: Ratio, weights: Counts, members: Mask, zero_division: ZeroDivision) -> Average:
    taken = np.broadcast_to(members, ratio.value.shape)
    if zero_division == "nan":
        taken = taken & ~ratio.undefined
    weight = np.where(taken, weights, 0)
    # scikit-learn: where every class that remains has weight 0, they weigh the same.
    weight = np.where(weight.sum(axis=-1, keepdims=True) == 0, taken.astype(np.int64), weight)
    total = weight.sum(axis=-1)
    undefined = np.asarray(total == 0)
    filled = np.where(ratio.undefined, 0.0, ratio.value)
    value = np.where(undefined, np.nan, (weight * filled).sum(axis=-1) / np.maximum(total, 1))
    return Average(value, undefined, np.asarray(taken.sum(axis=-1), dtype=np.int64))
