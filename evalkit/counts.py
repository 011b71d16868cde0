"""The mergeable state behind every count metric: an integer confusion matrix with any leading axes.

>>> counts = ConfusionCounts.from_labels([0, 1, 1], [0, 1, 0], n_classes=2)
>>> counts.matrix.tolist()
[[1, 0], [1, 1]]
>>> (counts + ConfusionCounts.empty(2)) == counts
True
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.labels import all_below

Counts = NDArray[np.int64]
_PART = 1 << 15


@dataclass(frozen=True, eq=False, slots=True)
class ConfusionCounts:
    """Counts of (true class, predicted class) pairs.

    Attributes:
        matrix: int64, shape (..., K, K), read-only; rows are true classes, columns predicted ones
            (scikit-learn's order). Leading axes are slices, thresholds or replicates.
    """

    matrix: Counts

    def __post_init__(self) -> None:
        """Take a read-only copy, so that a state is a value."""
        matrix = np.array(self.matrix, dtype=np.int64)
        if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:  # noqa: PLR2004
            raise ValueError(f"counts: expected shape (..., K, K), got {matrix.shape}")
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def empty(cls, n_classes: int, *, leading: tuple[int, ...] = ()) -> "ConfusionCounts":
        """Return the neutral element of ``+``."""
        return cls(np.zeros((*leading, n_classes, n_classes), np.int64))

    @classmethod
    def from_labels(cls, y_true: ArrayLike, y_pred: ArrayLike, *, n_classes: int) -> "ConfusionCounts":
        """Count label pairs.

        Args:
            y_true, y_pred: Integers in [0, n_classes), shape (n,).
            n_classes: K.

        Raises:
            ValueError: Shapes differ, or a label lies outside the range. Nothing is clipped or dropped.
        """
        true, pred = _labels(y_true, n_classes), _labels(y_pred, n_classes)
        if true.shape != pred.shape:
            raise ValueError(f"labels: expected equal shapes, got {true.shape} and {pred.shape}")
        return cls(_cells(true, pred, n_classes).reshape(n_classes, n_classes))

    def __add__(self, other: "ConfusionCounts") -> "ConfusionCounts":
        """Merge two states over the same classes and leading axes."""
        if self.matrix.shape != other.matrix.shape:
            raise ValueError(f"counts: cannot add shapes {self.matrix.shape} and {other.matrix.shape}")
        return ConfusionCounts(self.matrix + other.matrix)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConfusionCounts) and np.array_equal(self.matrix, other.matrix)

    __hash__ = None  # type: ignore[assignment]  # an array has no cheap hash

    def sum(self, axis: int = 0) -> "ConfusionCounts":
        """Merge along one leading axis."""
        leading = self.matrix.ndim - 2
        if not 0 <= axis < leading:
            raise ValueError(f"counts: no leading axis {axis} in shape {self.matrix.shape}")
        return ConfusionCounts(self.matrix.sum(axis=axis))

    def reordered(self, positions: ArrayLike) -> "ConfusionCounts":
        """Return the same counts with class ``positions[k]`` at place k."""
        order = np.asarray(positions)
        return ConfusionCounts(self.matrix[..., order[:, None], order[None, :]])

    @property
    def n_classes(self) -> int:
        """K."""
        return int(self.matrix.shape[-1])

    @property
    def n_samples(self) -> Counts:
        """All samples, shape (...)."""
        return self._int(self.matrix.sum(axis=(-2, -1)))

    @property
    def support(self) -> Counts:
        """Samples of each true class, shape (..., K)."""
        return self._int(self.matrix.sum(axis=-1))

    @property
    def n_predicted(self) -> Counts:
        """Samples predicted as each class, shape (..., K)."""
        return self._int(self.matrix.sum(axis=-2))

    @property
    def tp(self) -> Counts:
        """Samples of the class, predicted as it, shape (..., K)."""
        return self._int(np.diagonal(self.matrix, axis1=-2, axis2=-1))

    @property
    def fp(self) -> Counts:
        """Samples of other classes, predicted as the class, shape (..., K)."""
        return self.n_predicted - self.tp

    @property
    def fn(self) -> Counts:
        """Samples of the class, predicted as another, shape (..., K)."""
        return self.support - self.tp

    @property
    def tn(self) -> Counts:
        """Samples of other classes, predicted as others, shape (..., K)."""
        return self.n_samples[..., None] - self.support - self.n_predicted + self.tp

    @staticmethod
    def _int(values: NDArray[np.int64]) -> Counts:
        return np.asarray(values, dtype=np.int64)


class LabelCounter:
    """Counts batches of label pairs, many batches at a time: a large K costs K x K a flush, not a batch."""

    def __init__(self, n_classes: int) -> None:
        self._n_classes = n_classes
        self._flush_at = max(2 * _PART, 4 * n_classes * n_classes)
        self._cells = np.zeros(n_classes * n_classes, np.int64)
        self._pairs: list[tuple[NDArray[Any], NDArray[Any]]] = []
        self._waiting = 0

    def add(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> None:
        """Take label pairs, each of shape (n,)."""
        self._pairs.append((y_true, y_pred))
        self._waiting += len(y_true)
        if self._waiting >= self._flush_at:
            self._flush()

    def result(self) -> ConfusionCounts:
        """Return the counts of everything that was added."""
        self._flush()
        return ConfusionCounts(self._cells.reshape(self._n_classes, self._n_classes))

    def _flush(self) -> None:
        if self._pairs:
            y_true, y_pred = (_joined(parts) for parts in zip(*self._pairs, strict=True))
            true, pred = _labels(y_true, self._n_classes), _labels(y_pred, self._n_classes)
            self._cells += _cells(true, pred, self._n_classes)
        self._pairs, self._waiting = [], 0


class LabelSetCounter:
    """Counts batches of label sets: one table of 2 x 2 a label, rows false and true."""

    def __init__(self, n_labels: int) -> None:
        self._matrix = np.zeros((n_labels, 2, 2), np.int64)

    def add(self, y_true: NDArray[np.bool_], y_pred: NDArray[np.bool_]) -> None:
        """Take label sets, each of shape (n, L)."""
        both, true, pred = (y_true & y_pred).sum(axis=0), y_true.sum(axis=0), y_pred.sum(axis=0)
        self._matrix[:, 1, 1] += both
        self._matrix[:, 1, 0] += true - both
        self._matrix[:, 0, 1] += pred - both
        self._matrix[:, 0, 0] += len(y_true) - true - pred + both

    def result(self) -> ConfusionCounts:
        """Return the counts of everything that was added, shape (L, 2, 2)."""
        return ConfusionCounts(self._matrix)


def counter_of(task: str, n_classes: int) -> "LabelCounter | LabelSetCounter":
    """Return the counter of a task."""
    return LabelSetCounter(n_classes) if task == "multilabel" else LabelCounter(n_classes)


def _joined(parts: tuple[NDArray[Any], ...]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def narrow(labels: NDArray[Any], n_classes: int) -> NDArray[Any]:
    """Return a copy of class indices in the smallest unsigned type that holds them all."""
    return labels.astype(np.min_scalar_type(max(n_classes - 1, 0)))


def _cells(true: NDArray[Any], pred: NDArray[Any], n_classes: int) -> Counts:
    """Count pairs, shape (K * K,): a part at a time that stays in the processor's cache."""
    n_cells = n_classes * n_classes
    size = max(_PART, 4 * n_cells)  # a part's counts cost n_cells
    cells, places = np.zeros(n_cells, np.int64), np.empty(min(size, len(true)), np.int64)
    for start in range(0, len(true), size):
        here = places[: len(true) - start]
        for offset in range(0, len(here), _PART):
            part = slice(start + offset, start + min(offset + _PART, len(here)))
            place = here[offset : offset + _PART]
            np.multiply(true[part], n_classes, out=place, dtype=np.int64)
            np.add(place, pred[part], out=place, dtype=np.int64)
        cells += np.bincount(here, minlength=n_cells)
    return cells


def _labels(values: ArrayLike, n_classes: int) -> NDArray[Any]:
    labels = np.asarray(values)
    if labels.ndim != 1 or (labels.size and labels.dtype.kind not in "iu"):
        raise ValueError(f"labels: expected integers of shape (n,), got {labels.dtype} {labels.shape}")
    if not all_below(labels, n_classes):
        raise ValueError(f"labels: expected 0 to {n_classes - 1}, got {labels.min()} to {labels.max()}")
    return labels if labels.dtype != np.uint64 else labels.astype(np.int64)
