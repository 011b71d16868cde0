"""What almost every count metric is made of: right answers, true and predicted totals of classes, and n."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Margins:
    """The margins of a count matrix, int64 or (smoothed counts) float64.

    Attributes:
        tp, support, predicted: Shape (..., K).
        n: Samples, shape (..., 1).
        matrix: The cells, shape (..., K, K); None for multilabel counts, whose labels are not exclusive.
    """

    tp: Array
    support: Array
    predicted: Array
    n: Array
    matrix: Array | None = None

    @classmethod
    def of(cls, matrix: Array) -> "Margins":
        """Take a matrix of exclusive classes, shape (..., K, K)."""
        support = matrix.sum(axis=-1)
        return cls(
            np.diagonal(matrix, axis1=-2, axis2=-1),
            support,
            matrix.sum(axis=-2),
            support.sum(axis=-1, keepdims=True),
            matrix,
        )

    @classmethod
    def of_labels(cls, matrix: Array) -> "Margins":
        """Take one table a label, shape (..., L, 2, 2): rows are false and true, columns predicted so."""
        total = matrix.sum(axis=(-2, -1))
        return cls(
            matrix[..., 1, 1], matrix[..., 1, :].sum(axis=-1), matrix[..., :, 1].sum(axis=-1), total[..., :1]
        )

    @property
    def fp(self) -> Array:
        """Samples of other classes, predicted as the class."""
        return self.predicted - self.tp

    @property
    def fn(self) -> Array:
        """Samples of the class, predicted as another."""
        return self.support - self.tp

    @property
    def tn(self) -> Array:
        """Samples of other classes, predicted as others."""
        return self.n - self.support - self.predicted + self.tp


@dataclass(frozen=True, slots=True)
class Gradient:
    """The derivative of a metric by the margins; by the chain rule, a sample's influence on it.

    A sample of true class i that was predicted j adds ``support[i] + predicted[j] + n`` and, where i = j,
    ``tp[i]``; ``cells[i, j]`` on top where the metric looks at single cells.

    Attributes:
        tp, support, predicted: float64, shape (..., K).
        n: float64, shape (...).
        cells: Shape (..., K, K) or None.
    """

    tp: Array
    support: Array
    predicted: Array
    n: Array
    cells: Array | None = None

    def dense(self) -> Array:
        """Return the influence of each cell, shape (..., K, K)."""
        influence = self.support[..., :, None] + self.predicted[..., None, :] + self.n[..., None, None]
        diagonal = np.arange(self.tp.shape[-1])
        influence[..., diagonal, diagonal] += self.tp
        return influence if self.cells is None else influence + self.cells
