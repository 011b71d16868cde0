"""Calibration: whether a confidence of 0.8 is right in 80 % of cases."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.metrics.ranked import Ranked

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Scheme = Literal["mass", "width"]
N_BINS = 15


@dataclass(frozen=True, slots=True)
class Reliability:
    """Confidence against accuracy, over the bins that hold samples, in ascending order.

    Attributes:
        low, high: float64, shape (b,): by width the edges of [low, high), the last one closed; by mass the
            smallest and the largest confidence of the bin.
        n: int64, shape (b,), samples.
        mean_confidence, share_correct: float64, shape (b,).
    """

    low: Floats
    high: Floats
    n: Counts
    mean_confidence: Floats
    share_correct: Floats

    @property
    def gap(self) -> Floats:
        """Share correct minus mean confidence, shape (b,); negative where overconfident."""
        return self.share_correct - self.mean_confidence

    @property
    def counts(self) -> Counts:
        """Samples wrong and right, int64, shape (b, 2), for resampling."""
        right = np.rint(self.share_correct * self.n).astype(np.int64)
        return np.stack([self.n - right, right], axis=1)


@dataclass(frozen=True, slots=True)
class Confidences:
    """Samples grouped by confidence, in ascending order.

    Attributes:
        values: float64, shape (g,): the confidence of each group, or its mean.
        n, right: int64, shape (g,), samples, and how many of them are right.
        total: float64, shape (g,), the sum of the group's confidences.
    """

    values: Floats
    n: Counts
    right: Counts
    total: Floats

    @classmethod
    def of(cls, confidence: ArrayLike, correct: ArrayLike) -> "Confidences":
        """Group samples of equal confidence.

        Args:
            confidence: float64, shape (n,), from 0 to 1.
            correct: bool, shape (n,).

        Raises:
            ValueError: Shapes differ, or a confidence is NaN or negative.
        """
        distinct = Ranked.of(correct, confidence)
        values, right = distinct.scores[::-1], distinct.positives[::-1]
        if values.size and values[0] < 0:
            raise ValueError(f"calibration: expected confidences from 0 to 1, got {values[0]}")
        n = right + distinct.negatives[::-1]
        return cls(values, n, right, n * values)


def reliability(groups: Confidences, *, n_bins: int = N_BINS, scheme: Scheme = "mass") -> Reliability:
    """Bin samples by confidence.

    By width, bin i is [i/B, (i+1)/B); 1.0, and what rounding put above it, belongs to the last bin. By mass
    the bins are as equal as they can be with each group in one bin, so that the order of the samples never
    matters.

    Args:
        groups: The samples.
        n_bins: B.
        scheme: "mass" or "width".

    Raises:
        ValueError: There is not one bin.
    """
    if n_bins < 1:
        raise ValueError(f"calibration: expected at least 1 bin, got {n_bins}")
    values, edges = groups.values, width_edges(n_bins)
    place = width_bins(values, edges) if scheme == "width" else _by_mass(groups.n, n_bins)
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    low, high = edges[place[starts]], edges[place[starts] + 1]
    if scheme == "mass":
        low, high = values[starts], values[np.append(starts[1:], values.size)[: starts.size] - 1]
    return _reliability(low, high, starts, n=groups.n, right=groups.right, total=groups.total)


def ece(bins: Reliability) -> float:
    """Return the expected calibration error, sum n_b / n |gap_b|; NaN without samples.

    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, "On calibration of modern neural networks", ICML 2017.
    Biased upwards: even a calibrated model has gaps, by chance.
    """
    return _weighted(bins, np.abs(bins.gap))


def ece_debiased(bins: Reliability) -> float:
    """Return the ECE less its estimated bias; may be negative, NaN without samples.

    The bias is what the plug-in gains when each share is drawn anew from Normal(share,
    share (1 - share) / n_b):
    ECE - (E[ECE of the redrawn] - ECE). This is how the authors of A. Kumar, P. Liang and T. Ma, "Verified
    uncertainty calibration", NeurIPS 2019, debias the absolute error in their package, but in closed form, by
    the mean of the folded normal, instead of by simulation. (The formula in the paper, which subtracts
    share (1 - share) / (n_b - 1), is that of the squared error.)
    """
    variance = bins.share_correct * (1 - bins.share_correct) / np.maximum(bins.n, 1)
    expected = [
        _folded(gap, sd) for gap, sd in zip(bins.gap.tolist(), np.sqrt(variance).tolist(), strict=True)
    ]
    return 2 * ece(bins) - _weighted(bins, np.array(expected))


def mce(bins: Reliability) -> float:
    """Return the largest |gap| of a bin, whatever its size; NaN without samples."""
    return float(np.abs(bins.gap).max()) if bins.n.size else math.nan


def ece_by_chance(bins: Reliability, *, level: float, n_replicates: int = 2000, seed: int = 0) -> float:
    """Return the ECE that a calibrated model with these confidences stays under in a ``level`` of cases.

    Up to here an ECE is no evidence of miscalibration, and its interval has to reach down to 0, which the
    bootstrap's never does: its replicates have gaps of their own. NaN without samples. The consistency
    resampling of J. Broecker and L. A. Smith, "Increasing the reliability of reliability diagrams", Weather
    and Forecasting 22 (2007).
    """
    if not bins.n.size:
        return math.nan
    chance = np.clip(bins.mean_confidence, 0, 1)
    right = np.random.default_rng(seed).binomial(bins.n, chance, size=(n_replicates, bins.n.size))
    drawn = ece_of(bins.mean_confidence)(np.stack([bins.n - right, right], axis=-1))
    return float(np.quantile(drawn, level))


def ece_of(mean_confidence: Floats) -> Callable[[Counts], Floats]:
    """Return the ECE as a function of counts (r, b, 2) of wrong and right, for resampling.

    The mean confidences, shape (b,), stay fixed; only which bin a sample falls into, and whether it is right,
    is resampled.
    """

    def statistic(counts: Counts) -> Floats:
        n = counts.sum(axis=-1)
        error = np.abs(counts[..., 1] - mean_confidence * n).sum(axis=-1)
        return np.asarray(error / np.maximum(n.sum(axis=-1), 1), np.float64)

    return statistic


def mce_of(mean_confidence: Floats) -> Callable[[Counts], Floats]:
    """Return the MCE as a function of counts (r, b, 2), as ``ece_of``."""

    def statistic(counts: Counts) -> Floats:
        n = counts.sum(axis=-1)
        error = np.abs(counts[..., 1] - mean_confidence * n) / np.maximum(n, 1)
        return np.asarray(error.max(axis=-1), np.float64)

    return statistic


def width_edges(n_bins: int = N_BINS) -> Floats:
    """Return the edges of bins of equal width, shape (B + 1,)."""
    return np.arange(n_bins + 1) / n_bins


def width_bins(values: Floats, edges: Floats) -> NDArray[np.intp]:
    """Return the bin of each confidence, shape (n,)."""
    # Against the edges themselves: 0.29 * 100 is 28.999999999999996, but 0.29 is an edge.
    return np.minimum(np.searchsorted(edges, values, side="right") - 1, edges.size - 2)


def _by_mass(n: Counts, n_bins: int) -> Counts:
    """Put each group of equal confidences where its middle lies, in integers."""
    middle = 2 * np.cumsum(n) - n
    return middle * n_bins // max(2 * int(n.sum()), 1)


def _reliability(
    low: Floats, high: Floats, starts: NDArray[np.intp], *, n: Counts, right: Counts, total: Floats
) -> Reliability:
    if not starts.size:  # reduceat wants at least one
        return Reliability(low, high, n, total, total)
    size = np.add.reduceat(n, starts)
    return Reliability(
        low, high, size, np.add.reduceat(total, starts) / size, np.add.reduceat(right, starts) / size
    )


def _weighted(bins: Reliability, values: Floats) -> float:
    n = int(bins.n.sum())
    return float((bins.n * values).sum()) / n if n else math.nan


def _folded(mean: float, sd: float) -> float:
    """Return E|X| of X ~ Normal(mean, sd**2)."""
    if not sd:
        return abs(mean)
    ratio = mean / sd
    return sd * math.sqrt(2 / math.pi) * math.exp(-ratio * ratio / 2) + mean * math.erf(ratio / math.sqrt(2))
