"""Ratios of counts: count first, divide last, divide in one place.

Every function takes counts of shape (..., K, K) and gives arrays over the leading axes. Formulas and names
are scikit-learn's (``precision_recall_fscore_support``, ``balanced_accuracy_score``).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.counts import ConfusionCounts, Counts

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Ratio:
    """Quotients that keep what they were made of.

    Attributes:
        numerator, denominator: int64, equal shapes.
        value: float64; NaN exactly where undefined.
        undefined: True where the denominator is 0.
    """

    numerator: Counts
    denominator: Counts
    value: Floats
    undefined: Mask

    @classmethod
    def of(cls, numerator: Counts, denominator: Counts) -> "Ratio":
        """Divide; 0/0 is undefined, not 0."""
        undefined = denominator == 0
        value = np.where(undefined, np.nan, numerator / np.where(undefined, 1, denominator))
        return cls(numerator, denominator, value, undefined)


def _precision(counts: ConfusionCounts) -> tuple[Counts, Counts]:
    return counts.tp, counts.n_predicted


def _recall(counts: ConfusionCounts) -> tuple[Counts, Counts]:
    return counts.tp, counts.support


def _f1(counts: ConfusionCounts) -> tuple[Counts, Counts]:
    return 2 * counts.tp, counts.support + counts.n_predicted


def _specificity(counts: ConfusionCounts) -> tuple[Counts, Counts]:
    return counts.tn, counts.tn + counts.fp


PER_CLASS: dict[str, Callable[[ConfusionCounts], tuple[Counts, Counts]]] = {
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
    "specificity": _specificity,
}


def per_class(counts: ConfusionCounts, slug: str) -> Ratio:
    """Return a ratio metric of each class against the rest, shape (..., K); undefined where 0/0."""
    return Ratio.of(*PER_CLASS[slug](counts))


def accuracy(counts: ConfusionCounts) -> Ratio:
    """Return right / all, shape (...); undefined without samples."""
    return Ratio.of(np.asarray(counts.tp.sum(axis=-1)), counts.n_samples)


def balanced_accuracy(counts: ConfusionCounts) -> tuple[Floats, Mask, Counts]:
    """Return the mean recall of the classes that occur, shape (...), undefined mask, number of classes.

    Classes without samples never go in, whatever the averaging policy (scikit-learn's rule); undefined
    where no class occurs.
    """
    recall = per_class(counts, "recall")
    n_classes = np.asarray((~recall.undefined).sum(axis=-1), dtype=np.int64)
    total = np.where(recall.undefined, 0.0, recall.value).sum(axis=-1)
    undefined = n_classes == 0
    return np.where(undefined, np.nan, total / np.maximum(n_classes, 1)), undefined, n_classes
