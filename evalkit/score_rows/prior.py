"""The trivial model of scores: the classes' shares as probabilities."""

from dataclasses import dataclass

import numpy as np

from evalkit.metrics.ratios import Floats
from evalkit.score_rows.states import ScoreStates


@dataclass(frozen=True, slots=True)
class Prior:
    """What a model has that gives every sample the classes' shares as its probabilities.

    Attributes:
        shares: Of each class, or label, shape (K,).
        positive: The positive class of a binary task.
        exclusive: False for label sets.
    """

    shares: Floats
    positive: int | None
    exclusive: bool

    @classmethod
    def of(cls, states: ScoreStates, positive: int | None) -> "Prior":
        """Take the shares of the samples themselves."""
        return cls(states.support / states.n, positive, states.exclusive)

    def loss(self, slug: str) -> float:
        """Return its log loss or Brier score."""
        shares = self.shares
        if slug == "brier":
            found = shares * (1 - shares)
            return float(found.sum() if self.positive is None and self.exclusive else found.mean())
        if self.exclusive:
            return _entropy(shares)
        return float(np.mean([_entropy(np.array([share, 1 - share])) for share in shares]))

    def top(self, k: int) -> float:
        """Return the share of the k commonest classes."""
        return float(np.sort(self.shares)[::-1][:k].sum())

    def ranking(self, slug: str, kind: str) -> float:
        """Return one half, or for average precision the share of positives."""
        if slug == "roc_auc":
            return 0.5
        if self.positive is not None:
            return float(self.shares[self.positive])
        present = self.shares[self.shares > 0]
        weights = present if kind == "weighted" else np.ones(len(present))
        return float((weights * present).sum() / weights.sum())


def _entropy(shares: Floats) -> float:
    present = shares[shares > 0]
    return float(-(present * np.log(present)).sum()) + 0.0  # of one class 0, not -0
