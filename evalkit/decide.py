"""From what a model returns to a predicted class: one rule, the same for every sample and batch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.ledger import Output

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision rule.

    Attributes:
        task: ``multiclass`` decides by argmax, the lowest index on a tie; ``binary`` by
            score(positive) >= threshold in float64, never by argmax.
        output: What the model returns; for logits the threshold is one of probability.
        positive: The index of the positive class; None for multiclass.
        threshold: None for multiclass.
    """

    task: str
    output: Output
    positive: int | None = None
    threshold: float | None = None

    def decide(self, outputs: NDArray[Any]) -> tuple[Ints, int]:
        """Return the predicted classes, shape (n,), and the number of ties.

        Args:
            outputs: Finite, float32 or float64, shape (n, K).
        """
        if self.positive is None or self.threshold is None:
            top = outputs.max(axis=1, keepdims=True)
            n_ties = int(((outputs == top).sum(axis=1) > 1).sum())
            return outputs.argmax(axis=1).astype(np.int64), n_ties
        score = self._positive_score(outputs.astype(np.float64))
        chosen = np.where(score >= self.threshold, self.positive, 1 - self.positive)
        return chosen.astype(np.int64), int((score == self.threshold).sum())

    def _positive_score(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        assert self.positive is not None
        positive = outputs[:, self.positive]
        if self.output != "logits":
            return positive
        # The softmax of two logits, written so that equal logits give exactly 0.5.
        difference = positive - outputs[:, 1 - self.positive]
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-difference)))

    @property
    def described(self) -> str:
        """The rule as it is shown, with the threshold's value."""
        return self.text if self.threshold is None else f"{self.text}({self.threshold:g})"

    @property
    def text(self) -> str:
        """The rule as it stands in a signature, without the threshold's value."""
        return "argmax" if self.positive is None else "threshold"
