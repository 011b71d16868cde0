"""Samples in the order of a score, equal scores being one group: sorted once, for whoever asks.

Names and conventions are scikit-learn's: the samples of a group are decided together. Groups may also be
bins, whose inner order is unknown.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.scores import ScoreBins

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
_HALF_WORD = 16


@dataclass(frozen=True)
class Ranked:
    """Samples grouped by score, best score first.

    Attributes:
        scores: float64, shape (g,), strictly decreasing; each is also the threshold ``score >= s``.
        positives, negatives: int64, shape (g,), samples of each group.
        exact: Whether a group's samples really have one score. If not, it is a bin, ``scores`` are the
            smallest of each, and the order inside is unknown.
    """

    scores: Floats
    positives: Counts
    negatives: Counts
    exact: bool = True

    @classmethod
    def of(cls, positive: ArrayLike, score: ArrayLike) -> "Ranked":
        """Group samples by their exact score.

        Args:
            positive: bool, shape (n,).
            score: float32 or float64, shape (n,), higher for the positive class.

        Raises:
            ValueError: Shapes differ or a score is NaN.
        """
        return Ordered.of(positive, score).ranked

    @classmethod
    def of_bins(cls, bins: ScoreBins) -> "Ranked":
        """Take bins as groups whose inner order is unknown."""
        return cls(bins.representatives()[::-1], bins.positives[::-1], bins.negatives[::-1], exact=False)

    @cached_property
    def n_positives(self) -> int:
        """P."""
        return int(self.positives.sum())

    @cached_property
    def n_negatives(self) -> int:
        """N."""
        return int(self.negatives.sum())

    @cached_property
    def tp(self) -> Counts:
        """Positives with at least the group's score, shape (g,)."""
        return np.cumsum(self.positives)

    @cached_property
    def fp(self) -> Counts:
        """Negatives with at least the group's score, shape (g,)."""
        return np.cumsum(self.negatives)

    @cached_property
    def share(self) -> Floats:
        """The shares of positives and of negatives down to the middle of each group, added, shape (g,)."""
        positives, negatives = self.tp - self.positives / 2, self.fp - self.negatives / 2
        return positives / max(self.n_positives, 1) + negatives / max(self.n_negatives, 1)

    @cached_property
    def placements(self) -> tuple[Floats, Floats]:
        """The share of negatives under a positive of each group, and of positives over a negative."""
        below = self.n_negatives - self.fp + self.negatives / 2
        above = self.tp - self.positives / 2
        return below / self.n_negatives, above / self.n_positives


@dataclass(frozen=True, slots=True)
class Ordered:
    """Samples in the order of their scores, best first.

    Attributes:
        ranked: Their groups.
        rows: Which sample stands at each place, int, shape (n,).
        truth: Whether it is positive, bool, shape (n,).
        group: Which group it is in, int, shape (n,).
    """

    ranked: Ranked
    rows: NDArray[np.intp]
    truth: NDArray[np.bool_]
    group: NDArray[np.intp]

    @classmethod
    def of(cls, positive: ArrayLike, score: ArrayLike) -> "Ordered":
        """Sort samples; arguments and errors are those of :meth:`Ranked.of`."""
        truth, values = _checked(positive, score)
        rows = _descending(values)
        values, truth = values[rows], truth[rows]
        last = np.ones(len(values), np.bool_)
        np.not_equal(values[1:], values[:-1], out=last[:-1])
        ends = np.flatnonzero(last)
        positives = np.diff(np.cumsum(truth)[ends], prepend=0)
        negatives = np.diff(ends, prepend=-1) - positives
        ranked = Ranked(values[ends].astype(np.float64) + 0.0, positives, negatives)
        return cls(ranked, rows, truth, np.cumsum(last) - last)

    def by_sample(self, of_positives: Floats, of_negatives: Floats) -> Floats:
        """Give each sample the value of its group and side, float64, shape (n,).

        Args:
            of_positives, of_negatives: Shape (g,).
        """
        found = np.empty(len(self.rows))
        found[self.rows] = np.where(self.truth, of_positives[self.group], of_negatives[self.group])
        return found


def _checked(positive: ArrayLike, score: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    """Return truth and scores as arrays of one shape (n,); ValueError where they are none, or hold NaN."""
    truth, values = np.asarray(positive, np.bool_), np.asarray(score)
    if values.dtype not in (np.float32, np.float64):  # float32 stays: it sorts in a third of the time
        values = values.astype(np.float64)
    if truth.shape != values.shape or values.ndim != 1:
        raise ValueError(f"scores: expected equal shapes (n,), got {truth.shape} and {values.shape}")
    if np.isnan(values).any():
        raise ValueError("scores: expected numbers, got NaN")
    return truth, values


def _descending(values: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the order of values, greatest first; of equal ones in any fixed order."""
    if values.dtype != np.float32:
        return np.argsort(values, kind="stable")[::-1]
    # Keys of 32 bits fall as the values rise; of 16 bits numpy's stable sort is a radix sort.
    bits = (values + np.float32(0)).view(np.int32)  # of two zeros one
    keys = bits ^ (~(bits >> np.int32(31)) & np.int32(0x7FFFFFFF))
    low, high = keys.astype(np.uint16), (keys >> _HALF_WORD).astype(np.uint16)
    rows = np.argsort(low, kind="stable")
    return rows[np.argsort(high[rows], kind="stable")]
