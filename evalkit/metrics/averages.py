"""Averages over classes, and the policy that says which classes go in."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from evalkit.metrics.margins import Array, Gradient, Margins
from evalkit.metrics.ratios import Floats, Mask, Ratio, forms, per_class, per_class_gradient

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
    n_classes: Array
    ratio: Ratio | None = None


def class_members(margins: Margins, policy: Policy, *, multilabel: bool = False) -> Mask:
    """Return which classes an average is over, shape (K,): one set for all leading axes.

    Labels of a multilabel task all go in, as in scikit-learn; ``supported`` still leaves out those without
    samples.
    """
    size = margins.tp.shape[-1]
    supported = margins.support.reshape(-1, size).sum(axis=0) > 0
    if policy.classes == "declared" or (multilabel and policy.classes == "present"):
        return np.ones(size, bool)
    predicted = margins.predicted.reshape(-1, size).sum(axis=0) > 0
    return np.asarray(supported if policy.classes == "supported" else supported | predicted, dtype=np.bool_)


def average(
    margins: Margins,
    slug: str,
    kind: str,
    *,
    members: Mask,
    zero_division: ZeroDivision = 0,
    beta: float = 1,
) -> Average:
    """Average a ratio metric over classes, as scikit-learn does with ``labels`` = the members.

    Args:
        margins: Of shape (..., K).
        slug: A ratio of :mod:`evalkit.metrics.ratios`.
        kind: micro, macro or weighted (by support).
        members: Which classes, shape (K,).
        zero_division: As in :class:`Policy`.
        beta: Of ``fbeta``.
    """
    ratio = per_class(margins, slug, beta=beta)
    if kind == "micro":
        return _micro(ratio, members)
    taken, weight = _weights(margins, ratio, kind, members, zero_division)
    total = weight.sum(axis=-1)
    undefined = np.asarray(total == 0)
    filled = np.where(ratio.undefined, 0.0, ratio.value)
    value = np.where(undefined, np.nan, (weight * filled).sum(axis=-1) / np.where(undefined, 1, total))
    return Average(value, undefined, np.asarray(taken.sum(axis=-1), dtype=np.int64))


def average_gradient(
    margins: Margins,
    slug: str,
    kind: str,
    *,
    members: Mask,
    left_out: Mask | None = None,
    beta: float = 1,
) -> Gradient:
    """Return the derivative of an average by the margins, shapes (..., K) and (...).

    Args:
        margins: As in :func:`average`, smoothed so that no class that counts has 0/0.
        slug, kind, members, beta: As in :func:`average`.
        left_out: Classes that were undefined in the counts themselves, and therefore are not in the average
            (``zero_division: nan``), shape (..., K).
    """
    if kind == "micro":
        return _micro_gradient(margins, slug, members, beta)
    ratio = per_class(margins, slug, beta=beta)
    taken = np.broadcast_to(members, ratio.value.shape)
    taken = taken if left_out is None else taken & ~left_out
    inner = per_class_gradient(margins, slug, beta=beta)
    weight = np.where(taken, margins.support if kind == "weighted" else 1.0, 0.0)
    total = weight.sum(axis=-1, keepdims=True)
    weight = np.where(total == 0, taken, weight) / np.maximum(
        np.where(total == 0, taken.sum(-1)[..., None], total), 1
    )
    support = weight * inner.support
    if kind == "weighted":
        value = np.where(ratio.undefined, 0.0, ratio.value)
        mean = (weight * value).sum(axis=-1, keepdims=True)
        support = support + np.where(taken & (total > 0), (value - mean) / np.where(total > 0, total, 1), 0.0)
    return Gradient(weight * inner.tp, support, weight * inner.predicted, (weight * inner.n).sum(axis=-1))


def _micro(ratio: Ratio, members: Mask) -> Average:
    numerator = np.asarray(np.where(members, ratio.numerator, 0).sum(axis=-1))
    denominator = np.asarray(np.where(members, ratio.denominator, 0).sum(axis=-1))
    total = Ratio.of(numerator, denominator)
    n_classes = np.full(numerator.shape, members.sum(), np.int64)
    return Average(total.value, total.undefined, n_classes, total)


def _micro_gradient(margins: Margins, slug: str, members: Mask, beta: float) -> Gradient:
    top, bottom = forms(slug, beta=beta)
    pooled = _micro(per_class(margins, slug, beta=beta), members)
    assert pooled.ratio is not None
    value = np.where(pooled.undefined, 0.0, pooled.value)[..., None]
    scale = np.where(pooled.undefined, 0.0, 1 / np.where(pooled.undefined, 1, pooled.ratio.denominator))
    inside = np.where(members, scale[..., None], 0.0)
    return Gradient(
        (top.tp - value * bottom.tp) * inside,
        (top.support - value * bottom.support) * inside,
        (top.predicted - value * bottom.predicted) * inside,
        ((top.n - value * bottom.n) * inside).sum(axis=-1),
    )


def _weights(
    margins: Margins, ratio: Ratio, kind: str, members: Mask, zero_division: ZeroDivision
) -> tuple[Mask, Array]:
    taken = np.broadcast_to(members, ratio.value.shape)
    if zero_division == "nan":
        taken = taken & ~ratio.undefined
    weight = np.where(taken, margins.support if kind == "weighted" else 1, 0)
    # scikit-learn: where every class that remains has weight 0, they weigh the same.
    return taken, np.where(weight.sum(axis=-1, keepdims=True) == 0, taken.astype(weight.dtype), weight)
