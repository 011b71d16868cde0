"""How a metric varies from sample to sample: variances by influence functions, also for dependent samples.

F. R. Hampel, "The influence curve and its role in robust estimation", JASA 69 (1974); clusters as in
linearised variances of survey sampling.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.margins import Gradient, Margins
from evalkit.uncertainty.wilson import Floats, normal_quantile, t_quantile

Ints = NDArray[np.int64]
MIN_CLUSTERS = 20


class Sampling(Protocol):
    """Which samples there are; every array has a leading axis of slices, S."""

    @property
    def margins(self) -> Margins:
        """Of the smoothed counts, at which derivatives are taken."""

    @property
    def name(self) -> str:
        """The suffix of the method's name."""

    @property
    def independent(self) -> bool:
        """Whether each sample is a trial of its own."""

    def variance(self, gradient: Gradient) -> Floats:
        """Return the variance of a metric, shape (S,), from its derivative."""

    def class_variance(self, gradient: Gradient) -> Floats:
        """Return the variance of each class's own metric, shape (S, K)."""

    def quantile(self, level: float) -> Floats:
        """Return the quantile to use, shape (S,)."""

    def enough(self) -> NDArray[np.bool_]:
        """Return where there is enough to say anything, shape (S,)."""


def smoothed(matrix: NDArray[Any]) -> Floats:
    """Return counts in which nothing is certain, shape (..., K, K).

    Every true class that occurs gets one pseudo-right sample and one pseudo-wrong one, spread evenly over the
    other classes, and is scaled back to its size.
    """
    size = matrix.shape[-1]
    pseudo = np.full((size, size), 1 / (size - 1))
    np.fill_diagonal(pseudo, 1.0)
    support = matrix.sum(axis=-1, keepdims=True)
    return np.asarray(np.where(support > 0, (matrix + pseudo) * (support / (support + 2)), 0.0))


@dataclass(frozen=True, slots=True)
class Independent:
    """Samples of exclusive classes, each a trial of its own."""

    margins: Margins
    name: str = ""
    independent: bool = True

    @classmethod
    def of(cls, matrix: NDArray[Any]) -> "Independent":
        """Take counts, shape (S, K, K)."""
        return cls(Margins.of(smoothed(matrix)))

    def variance(self, gradient: Gradient) -> Floats:
        """Sum squared influences over the cells."""
        matrix, n = self.margins.matrix, self.margins.n[..., 0]
        assert matrix is not None
        if gradient.cells is not None:
            influence = gradient.dense()
            squares, mean = (
                (matrix * influence**2).sum(axis=(-2, -1)),
                (matrix * influence).sum(axis=(-2, -1)),
            )
        else:
            squares, mean = self._structured(gradient)
        return np.asarray(np.maximum(squares - mean**2 / n, 0))

    def class_variance(self, gradient: Gradient) -> Floats:
        """Sum over the four cells of each class against the rest."""
        m = self.margins
        both = gradient.tp + gradient.support + gradient.predicted + gradient.n
        cells = (
            (m.tp, both),
            (m.fn, gradient.support + gradient.n),
            (m.fp, gradient.predicted + gradient.n),
            (m.tn, gradient.n),
        )
        squares = sum(count * influence**2 for count, influence in cells)
        mean = sum(count * influence for count, influence in cells)
        return np.asarray(np.maximum(squares - mean**2 / m.n, 0))

    def quantile(self, level: float) -> Floats:
        """Return the normal one."""
        return np.full(self.margins.n.shape[:-1], normal_quantile(level))

    def enough(self) -> NDArray[np.bool_]:
        """Return True: Wilson's interval needs no minimum."""
        return np.ones(self.margins.n.shape[:-1], bool)

    def _structured(self, gradient: Gradient) -> tuple[Floats, Floats]:
        """Sum without building the K x K influences: they are a row part, a column part and a diagonal."""
        m = self.margins
        assert m.matrix is not None
        row, column, diagonal = gradient.support + gradient.n[..., None], gradient.predicted, gradient.tp
        crossed = (m.matrix @ column[..., None])[..., 0]
        squares = (
            m.support * row**2
            + m.predicted * column**2
            + 2 * row * crossed
            + m.tp * diagonal * (2 * (row + column) + diagonal)
        )
        mean = m.support * row + m.predicted * column + m.tp * diagonal
        return squares.sum(axis=-1), mean.sum(axis=-1)


@dataclass(frozen=True, slots=True)
class BySample:
    """Samples that are looked at one by one: clustered ones, or those with several labels.

    Attributes:
        margins: Of the smoothed counts.
        y_true, y_pred: Class indices (n,), or labels (n, L) as booleans.
        rows: The samples of each slice.
        clusters: A number for each sample's cluster, or None where samples are independent.
        floor: Independent samples with the same counts; clustered ones know no more than they.
    """

    margins: Margins
    y_true: NDArray[Any]
    y_pred: NDArray[Any]
    rows: tuple[Ints, ...]
    clusters: Ints | None
    floor: Independent | None
    name: str = ""
    independent: bool = False

    @classmethod
    def of(
        cls,
        matrix: NDArray[Any],
        y_true: NDArray[Any],
        y_pred: NDArray[Any],
        *,
        rows: tuple[Ints, ...] | None = None,
        clusters: Ints | None = None,
    ) -> "BySample":
        """Take counts (S, K, K) or (S, L, 2, 2), the labels that they come from, and each slice's samples."""
        multilabel = y_true.ndim == 2  # noqa: PLR2004 - (n, L)
        calm = smoothed(matrix)
        return cls(
            Margins.of_labels(calm) if multilabel else Margins.of(calm),
            y_true,
            y_pred,
            (np.arange(len(y_true)),) if rows is None else rows,
            clusters,
            None if multilabel else Independent(Margins.of(calm)),
            "" if clusters is None else "-clustered",
        )

    def variance(self, gradient: Gradient) -> Floats:
        """Sum each sample's influence, by cluster where there are any."""
        found = np.array(
            [
                self._spread(self._influence(gradient, position), position)
                for position in range(len(self.rows))
            ]
        )
        return np.asarray(np.maximum(found, self._floor(gradient, found)))

    def class_variance(self, gradient: Gradient) -> Floats:
        """Do the same for each class against the rest."""
        size = self.margins.tp.shape[-1]
        found = np.array(
            [
                [self._spread(self._class_influence(gradient, position, k), position) for k in range(size)]
                for position in range(len(self.rows))
            ]
        )
        if self.floor is not None:
            return np.asarray(np.maximum(found, self.floor.class_variance(gradient)))
        return np.asarray(found + self._pseudo(gradient))

    def quantile(self, level: float) -> Floats:
        """Return the t quantile of the number of clusters less one, or the normal one."""
        if self.clusters is None:
            return np.full(len(self.rows), normal_quantile(level))
        return np.array([t_quantile(level, count - 1) for count in self._n_clusters()])

    def enough(self) -> NDArray[np.bool_]:
        """Return where there are at least 20 clusters."""
        if self.clusters is None:
            return np.ones(len(self.rows), bool)
        return np.array(self._n_clusters()) >= MIN_CLUSTERS

    def _n_clusters(self) -> list[int]:
        assert self.clusters is not None
        return [len(np.unique(self.clusters[rows])) for rows in self.rows]

    def _influence(self, gradient: Gradient, position: int) -> Floats:
        rows = self.rows[position]
        true, pred = self.y_true[rows], self.y_pred[rows]
        tp, support, predicted = (
            part[position] for part in (gradient.tp, gradient.support, gradient.predicted)
        )
        if true.ndim == 2:  # noqa: PLR2004 - (n, L)
            return np.asarray(true @ support + pred @ predicted + (true & pred) @ tp + gradient.n[position])
        influence = (
            support[true] + predicted[pred] + np.where(true == pred, tp[true], 0) + gradient.n[position]
        )
        return (
            influence
            if gradient.cells is None
            else np.asarray(influence + gradient.cells[position][true, pred])
        )

    def _class_influence(self, gradient: Gradient, position: int, k: int) -> Floats:
        rows = self.rows[position]
        true, pred = self.y_true[rows], self.y_pred[rows]
        true, pred = (true[:, k], pred[:, k]) if true.ndim == 2 else (true == k, pred == k)  # noqa: PLR2004
        tp, support, predicted, n = (
            part[position, k] for part in (gradient.tp, gradient.support, gradient.predicted, gradient.n)
        )
        return np.asarray(true * support + pred * predicted + (true & pred) * tp + n)

    def _spread(self, influence: Floats, position: int) -> float:
        if self.clusters is None:
            return float(((influence - influence.mean()) ** 2).sum())
        _, codes = np.unique(self.clusters[self.rows[position]], return_inverse=True)
        sums = np.bincount(codes, influence)
        return float((sums**2).sum() * len(sums) / max(len(sums) - 1, 1))

    def _floor(self, gradient: Gradient, found: Floats) -> Floats:
        """Clustered samples know no more than independent ones; labels get one pseudo-error each."""
        if self.floor is not None:
            return self.floor.variance(gradient)
        return np.asarray(found + self._pseudo(gradient).sum(axis=-1))

    def _pseudo(self, gradient: Gradient) -> Floats:
        """What one wrong sample of each kind of each label would add, shape (S, L)."""
        missed = np.where(self.margins.support > 0, (gradient.tp + gradient.predicted) ** 2, 0)
        raised = np.where(self.margins.support < self.margins.n, gradient.predicted**2, 0)
        return np.asarray(missed + raised)


def clustered_variance(influence: Floats, clusters: NDArray[np.int64]) -> tuple[float, int]:
    """Return G / (G - 1) times the sum of squared cluster sums, and G."""
    _, codes = np.unique(clusters, return_inverse=True)
    sums = np.bincount(codes, influence)
    n_clusters = len(sums)
    return float((sums**2).sum()) * n_clusters / max(n_clusters - 1, 1), n_clusters
