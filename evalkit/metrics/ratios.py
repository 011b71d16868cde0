"""Ratios of counts: count first, divide last, divide in one place.

Numerators and denominators are linear in the margins, so a formula is a row of coefficients, and values and
derivatives come from the same row. Formulas and names are scikit-learn's
(``precision_recall_fscore_support``, ``jaccard_score``).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.margins import Array, Gradient, Margins

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear form of the margins: coefficients of TP, support, predicted and n."""

    tp: float = 0
    support: float = 0
    predicted: float = 0
    n: float = 0

    def of(self, margins: Margins) -> Array:
        """Evaluate it, shape (..., K)."""
        return (
            self.tp * margins.tp
            + self.support * margins.support
            + self.predicted * margins.predicted
            + self.n * margins.n
        )


_TN = Linear(tp=1, support=-1, predicted=-1, n=1)
_NEGATIVES = Linear(support=-1, n=1)

# slug -> (numerator, denominator)
PER_CLASS: dict[str, tuple[Linear, Linear]] = {
    "precision": (Linear(tp=1), Linear(predicted=1)),
    "recall": (Linear(tp=1), Linear(support=1)),
    "f1": (Linear(tp=2), Linear(support=1, predicted=1)),
    "specificity": (_TN, _NEGATIVES),
    "npv": (_TN, Linear(predicted=-1, n=1)),
    "fpr": (Linear(tp=-1, predicted=1), _NEGATIVES),
    "fnr": (Linear(tp=-1, support=1), Linear(support=1)),
    "jaccard": (Linear(tp=1), Linear(tp=-1, support=1, predicted=1)),
}
# slug -> two ratios whose sum less 1 it is
SUMS = {"informedness": ("recall", "specificity"), "markedness": ("precision", "npv")}


def forms(slug: str, *, beta: float = 1) -> tuple[Linear, Linear]:
    """Return numerator and denominator of a ratio; ``fbeta`` weighs recall beta times precision."""
    if slug == "fbeta":
        square = beta * beta
        return Linear(tp=1 + square), Linear(support=square, predicted=1)
    return PER_CLASS[slug]


@dataclass(frozen=True, slots=True)
class Ratio:
    """Quotients that keep what they were made of.

    Attributes:
        numerator, denominator: Equal shapes.
        value: float64; NaN exactly where undefined.
        undefined: True where the denominator is 0.
    """

    numerator: Array
    denominator: Array
    value: Floats
    undefined: Mask

    @classmethod
    def of(cls, numerator: Array, denominator: Array) -> "Ratio":
        """Divide; 0/0 is undefined, not 0."""
        undefined = denominator == 0
        value = np.where(undefined, np.nan, numerator / np.where(undefined, 1, denominator))
        return cls(numerator, denominator, value, undefined)


def per_class(margins: Margins, slug: str, *, beta: float = 1) -> Ratio:
    """Return a ratio metric of each class against the rest, shape (..., K); undefined where 0/0."""
    if slug in SUMS:
        first, second = (per_class(margins, name) for name in SUMS[slug])
        undefined = first.undefined | second.undefined
        return Ratio(first.numerator, first.denominator, first.value + second.value - 1, undefined)
    numerator, denominator = forms(slug, beta=beta)
    return Ratio.of(numerator.of(margins), denominator.of(margins))


def per_class_gradient(margins: Margins, slug: str, *, beta: float = 1) -> Gradient:
    """Return the derivative of each class's ratio by its own margins, every part of shape (..., K).

    Zero where the ratio is undefined.
    """
    if slug in SUMS:
        first, second = (per_class_gradient(margins, name) for name in SUMS[slug])
        return Gradient(
            first.tp + second.tp,
            first.support + second.support,
            first.predicted + second.predicted,
            first.n + second.n,
        )
    top, bottom = forms(slug, beta=beta)
    ratio = per_class(margins, slug, beta=beta)
    value = np.where(ratio.undefined, 0.0, ratio.value)
    scale = np.where(ratio.undefined, 0.0, 1 / np.where(ratio.undefined, 1, ratio.denominator))
    return Gradient(
        (top.tp - value * bottom.tp) * scale,
        (top.support - value * bottom.support) * scale,
        (top.predicted - value * bottom.predicted) * scale,
        (top.n - value * bottom.n) * scale,
    )
