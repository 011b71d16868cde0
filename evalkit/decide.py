"""From what a model returns to a predicted class: one rule, the same for every sample and batch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.ledger import Output

Ints = NDArray[np.int64]
# A score that was written as text or as float32 may stand so far, of 1, from the one that decided.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision rule.

    Attributes:
        task: ``multiclass`` decides by argmax, the lowest index on a tie; ``binary`` by
            score(positive) >= threshold in float64, never by argmax; ``multilabel`` the same for each label.
        output: What the model returns; for logits the threshold is one of probability.
        positive: The index of the positive class of a binary task.
        threshold: None for multiclass.
    """

    task: str
    output: Output
    positive: int | None = None
    threshold: float | None = None

    def decide(self, outputs: NDArray[Any]) -> tuple[NDArray[Any], int]:
        """Return the predicted classes (n,), or label sets (n, L) as booleans, and the number of ties.

        Args:
            outputs: Finite, float32 or float64, shape (n, K); binary ones from :meth:`two_columns`.
        """
        if self.threshold is None:
            best = outputs.argmax(axis=1)
            equal = outputs == outputs[np.arange(len(outputs)), best][:, None]
            tied = np.count_nonzero(equal) > len(outputs)  # as good as never
            n_ties = int((np.count_nonzero(equal, axis=1) > 1).sum()) if tied else 0
            return best.astype(np.int64), n_ties
        score = self._scores(outputs.astype(np.float64))
        n_ties = int((score == self.threshold).sum())
        if self.positive is None:
            return score >= self.threshold, n_ties
        chosen = np.where(score >= self.threshold, self.positive, 1 - self.positive)
        return chosen.astype(np.int64), n_ties

    def deciding(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Return what a decision hangs on: the outputs, or how far each stands from the threshold.

        Args:
            outputs: As for :meth:`decide`.

        Returns:
            float64, shape (n, K) for argmax; else shape (n, 1) or (n, L), of logits in logits.
        """
        wide = outputs.astype(np.float64)
        if self.threshold is None:
            return wide
        threshold = self.threshold
        if self.output == "logits":
            low = np.finfo(np.float64).tiny
            inside = np.clip(threshold, low, 1 - np.finfo(np.float64).epsneg)
            threshold = float(np.log(inside) - np.log1p(-inside))
        if self.positive is not None:
            positive = wide[:, [self.positive]]
            wide = positive - wide[:, [1 - self.positive]] if self.output == "logits" else positive
        return wide - threshold

    def contradictions(self, outputs: NDArray[Any], y_pred: NDArray[Any]) -> int:
        """Return how many predictions are not what their outputs decide, by more than rounding.

        Args:
            outputs: As for :meth:`decide`.
            y_pred: Class indices, shape (n,), or label sets, shape (n, L).
        """
        found = self.deciding(outputs)
        if self.threshold is None:
            best, said = found.max(axis=1), found[np.arange(len(found)), y_pred]
            return int((best - said > _ROUNDING * np.maximum(1, np.abs(best))).sum())
        yes = y_pred if self.positive is None else (y_pred == self.positive)[:, None]
        far = np.abs(found) > _ROUNDING * max(1.0, abs(self.threshold))
        return int((far & ((found > 0) != yes)).any(axis=1).sum())

    def margins(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Return how far each sample is from being decided otherwise, float64, shape (n,).

        It is the distance of the best two outputs, or that of the nearest threshold.
        """
        found = self.deciding(outputs)
        if self.threshold is None:
            top = np.partition(found, found.shape[1] - 2, axis=1)[:, -2:]
            return np.asarray(top[:, 1] - top[:, 0])
        return np.asarray(np.abs(found).min(axis=1))

    def two_columns(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return one column of the positive class, shape (n, 1), as two in class order.

        The other one is what makes the same decision: 1 - p, logit 0, or the opposite score.
        """
        if self.positive is None or outputs.shape[1] != 1:
            return outputs
        score = outputs[:, 0].astype(np.float64)
        other = {"probabilities": 1 - score, "logits": np.zeros(len(score)), "scores": -score}[self.output]
        columns = (other, score) if self.positive == 1 else (score, other)
        return np.stack(columns, axis=1)

    def _scores(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the threshold is held against: probabilities, or declared scores."""
        if self.positive is None:
            return sigmoid(outputs) if self.output == "logits" else outputs
        positive = outputs[:, self.positive]
        # The softmax of two logits, written so that equal logits give exactly 0.5.
        return sigmoid(positive - outputs[:, 1 - self.positive]) if self.output == "logits" else positive

    @property
    def described(self) -> str:
        """The rule as it is shown, with the threshold's value."""
        return self.text if self.threshold is None else f"{self.text}({self.threshold:g})"

    @property
    def text(self) -> str:
        """The rule as it stands in a signature, without the threshold's value."""
        return "argmax" if self.threshold is None else "threshold"


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-x)): exactly 0.5 at 0, and 0 far below it."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-logits)))
