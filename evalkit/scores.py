"""Mergeable states of scores: exact sums of per-sample losses, and histograms that keep the ranking.

Both are integers, so batches, shards and their order cannot change them.

>>> bins = ScoreBins.from_scores([True, False], [0.9, 0.2], kind="probability")
>>> bins + ScoreBins.empty("probability") == bins
True
>>> ScoreSums.of([0.5, 1.5], [0.25, 0.25], [0.5, 0.75]).mean("log_loss")
1.0
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Kind = Literal["probability", "score"]
Column = Literal["log_loss", "brier", "confidence"]

_UNIT_BITS = 32  # a sum counts in units of 2**-32, a sum of squares in their squares
_LIMB_BITS = 26  # a value is split into two limbs whose products stay inside int64 ...
_LARGEST = 2.0**25  # ... up to this size; beyond, Python integers take over
_CHUNK = 1 << 18  # samples at a time: the temporaries stay in the cache

_SHIFT = 41  # float64 bits that a bin forgets: 11 of the 52 mantissa bits stay, as float32 >> 12 keeps
_TO_FLOAT32 = 2.0**-896  # the quotient of the exponent biases: scaled, a float64 has float32's exponent
_TOO_LARGE = 2.0**128  # for float32; such scores share its infinity's bin
_TOP = 0xFF << 11  # key of infinity
_HALF = 126 << 11  # key of 1/2


@dataclass(frozen=True, slots=True)
class Moments:
    """The sums of one column.

    Attributes:
        total: Sum of the values, each rounded to a whole number of 2**-32.
        squares: Sum of the squares of those rounded values, in units of 2**-64, so that the variance of
            equal values is exactly 0.
    """

    total: int = 0
    squares: int = 0

    def __add__(self, other: "Moments") -> "Moments":
        """Merge two sums."""
        return Moments(self.total + other.total, self.squares + other.squares)


@dataclass(frozen=True, slots=True)
class ScoreSums:
    """Sums of per-sample log loss, Brier score and confidence, exact in any order.

    Attributes:
        n: Samples.
        log_loss, brier, confidence: Python integers, which cannot overflow.
    """

    n: int
    log_loss: Moments
    brier: Moments
    confidence: Moments

    @classmethod
    def empty(cls) -> "ScoreSums":
        """Return the neutral element of ``+``."""
        return cls(0, Moments(), Moments(), Moments())

    @classmethod
    def of(cls, log_loss: ArrayLike, brier: ArrayLike, confidence: ArrayLike) -> "ScoreSums":
        """Sum per-sample values.

        Args:
            log_loss, brier, confidence: float64, shape (n,), finite.

        Raises:
            ValueError: Shapes differ, or a value is not finite.
        """
        columns = [np.asarray(column, np.float64) for column in (log_loss, brier, confidence)]
        shapes = {column.shape for column in columns}
        if len(shapes) != 1 or columns[0].ndim != 1:
            raise ValueError(f"score sums: expected equal shapes (n,), got {sorted(shapes)}")
        return cls(len(columns[0]), *(_moments(column) for column in columns))

    def __add__(self, other: "ScoreSums") -> "ScoreSums":
        """Merge two states."""
        return ScoreSums(
            self.n + other.n,
            self.log_loss + other.log_loss,
            self.brier + other.brier,
            self.confidence + other.confidence,
        )

    def mean(self, name: Column) -> float:
        """Return the mean of a column, the exact quotient rounded once; NaN without samples."""
        return self._moments(name).total / (self.n << _UNIT_BITS) if self.n else math.nan

    def variance(self, name: Column) -> float:
        """Return the sample variance (n - 1 below) of a column; NaN with fewer than two samples."""
        if self.n < 2:  # noqa: PLR2004
            return math.nan
        moments = self._moments(name)
        above = self.n * moments.squares - moments.total**2
        return above / ((self.n * (self.n - 1)) << (2 * _UNIT_BITS))

    def _moments(self, name: Column) -> Moments:
        columns = {"log_loss": self.log_loss, "brier": self.brier, "confidence": self.confidence}
        return columns[name]


@dataclass(frozen=True, eq=False, slots=True)
class ScoreBins:
    """Positives and negatives per bin of the score; bins follow the score, so the ranking survives.

    A bin is a float32 bit pattern without its last 12 bits (relative width 2**-11), cut from the float64
    score without rounding it first. Probabilities from 1/2 up are binned by 1 - p, so that the bins are as
    fine near 1 as near 0; a grid of equal bins proves nothing for a rare class that is always confident.

    Attributes:
        kind: "probability", or "score" for any number that ranks (log-odds, margins, infinities too).
        keys: int64, shape (b,), strictly increasing with the score; fewer than 2**20 are possible.
        positives, negatives: int64, shape (b,), samples in each bin; no bin is empty.
    """

    kind: Kind
    keys: Counts
    positives: Counts
    negatives: Counts

    def __post_init__(self) -> None:
        """Take read-only copies, so that a state is a value, and refuse what no scores could give.

        Raises:
            ValueError: An unknown kind, shapes that differ, keys that are not sorted or not possible, or
                counts that are negative or zero.
        """
        for name in ("keys", "positives", "negatives"):
            array = _integers(getattr(self, name), name)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if self.kind not in get_args(Kind):
            raise ValueError(f"score bins: expected kind probability or score, got {self.kind!r}")
        if not self.keys.shape == self.positives.shape == self.negatives.shape:
            raise ValueError("score bins: expected keys, positives and negatives of one length")
        low, high = (0, 2 * _HALF) if self.kind == "probability" else (-_TOP, _TOP)
        if self.keys.size and (self.keys[0] < low or self.keys[-1] > high or (np.diff(self.keys) < 1).any()):
            raise ValueError(f"score bins: expected increasing keys from {low} to {high}")
        if (np.minimum(self.positives, self.negatives) < 0).any() or (self.n_samples < 1).any():
            raise ValueError("score bins: expected counts of at least one sample a bin")

    @classmethod
    def empty(cls, kind: Kind) -> "ScoreBins":
        """Return the neutral element of ``+``."""
        none = np.zeros(0, np.int64)
        return cls(kind, none, none, none)

    @classmethod
    def from_scores(cls, positive: ArrayLike, score: ArrayLike, *, kind: Kind) -> "ScoreBins":
        """Count scores, without sorting them.

        Args:
            positive: bool, shape (n,).
            score: float64, shape (n,), higher for the positive class; within [0, 1] for "probability".
            kind: How the score is binned.

        Raises:
            ValueError: Shapes differ, a score is NaN, or a probability lies outside [0, 1].
        """
        truth, values = np.asarray(positive, np.bool_), np.asarray(score, np.float64)
        if truth.shape != values.shape or values.ndim != 1:
            raise ValueError(f"scores: expected equal shapes (n,), got {truth.shape} and {values.shape}")
        if not values.size:
            return cls.empty(kind)
        low, high = values.min(), values.max()  # NaN if any score is
        if np.isnan(low) or (kind == "probability" and not 0 <= low <= high <= 1):
            raise ValueError(f"scores: expected {_RANGE[kind]}, got {low} to {high}")
        first, last = (int(key) for key in score_keys(np.array([low, high]), kind))
        if values.size > (last - first) >> 3:
            return cls(kind, *_count(truth, values, kind=kind, first=first, last=last))
        return cls(kind, *_count_few(truth, score_keys(values, kind)))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "ScoreBins":
        """Build the state that ``to_arrays`` described.

        Raises:
            KeyError: An array is missing.
            ValueError: They are not those of a ScoreBins.
        """
        kind: Any = str(arrays["kind"])  # checked with the rest
        return cls(kind, arrays["keys"], arrays["positives"], arrays["negatives"])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return arrays for an npz file, none of which needs pickle."""
        return {
            "kind": np.array(self.kind),
            "keys": self.keys,
            "positives": self.positives,
            "negatives": self.negatives,
        }

    def __add__(self, other: "ScoreBins") -> "ScoreBins":
        """Merge two states of the same kind."""
        if self.kind != other.kind:
            raise ValueError(f"score bins: cannot add kinds {self.kind} and {other.kind}")
        keys = np.concatenate([self.keys, other.keys])
        if not keys.size:
            return self
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=keys[order[0]] - 1))
        positives = np.concatenate([self.positives, other.positives])[order]
        negatives = np.concatenate([self.negatives, other.negatives])[order]
        return ScoreBins(
            self.kind,
            keys[order][starts],
            np.add.reduceat(positives, starts),
            np.add.reduceat(negatives, starts),
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ScoreBins)
            and self.kind == other.kind
            and np.array_equal(self.keys, other.keys)
            and np.array_equal(self.positives, other.positives)
            and np.array_equal(self.negatives, other.negatives)
        )

    __hash__ = None  # type: ignore[assignment]  # an array has no cheap hash

    @property
    def n_samples(self) -> Counts:
        """Samples in each bin, shape (b,)."""
        return self.positives + self.negatives

    def representatives(self) -> Floats:
        """Return the smallest score that falls into each bin, float64, shape (b,), strictly increasing.

        So ``score >= representative`` holds for exactly the samples of the bin and of those above it (within
        2**-126 of zero: almost exactly). Scores of -2**128 and less share a bin, whose smallest is -inf.
        """
        if self.kind == "score":
            return _smallest(self.keys)
        distance = -_smallest(np.minimum(self.keys - 2 * _HALF, 0))
        # Probabilities in [1/2, 1] are multiples of 2**-53: the largest 1 - p of the bin is one, too.
        mirrored = 1 - np.floor(distance * 2.0**53) / 2.0**53
        return np.where(self.keys < _HALF, _smallest(np.minimum(self.keys, _HALF)), mirrored)


_RANGE: dict[Kind, str] = {"probability": "probabilities from 0 to 1", "score": "numbers"}


def _integers(values: ArrayLike, name: str) -> Counts:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(
            f"score bins: expected integers of shape (b,) as {name}, got {array.dtype} {array.shape}"
        )
    return array.astype(np.int64)


def score_keys(values: Floats, kind: Kind) -> Counts:
    """Return the bin of each value, never decreasing with it, shape (n,)."""
    if kind == "score":
        return _float32_keys(np.clip(values, -_TOO_LARGE, _TOO_LARGE))
    upper = values >= 0.5  # noqa: PLR2004
    return _float32_keys(values - upper) + upper * np.int64(2 * _HALF)


def _float32_keys(values: Floats) -> Counts:
    """Return float32 bits >> 12 as signed integers that order like the values; rounded down, never up.

    Cut from the float64 bits, because a cast to float32 would round scores across the edge of a bin.
    """
    bits = (values * _TO_FLOAT32).view(np.int64)
    return np.where(bits < 0, np.int64(-(2**63)) - bits, bits) >> _SHIFT


def _smallest(keys: Counts) -> Floats:
    """Return the smallest value of each float32 key."""
    values = np.copysign((np.abs(keys) << _SHIFT).view(np.float64) / _TO_FLOAT32, keys)
    return np.where(keys == -_TOP, -np.inf, values)


def _count(
    positive: NDArray[np.bool_], score: Floats, *, kind: Kind, first: int, last: int
) -> tuple[Counts, Counts, Counts]:
    """Count into a dense table of the keys first to last: keys that occur, positives and negatives."""
    table = np.zeros(2 * (last - first + 1), np.int64)
    for start in range(0, score.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        cells = 2 * (score_keys(score[part], kind) - first) + positive[part]
        table += np.bincount(cells, minlength=table.size)
    negatives, positives = table.reshape(-1, 2).T
    occurring = np.flatnonzero(positives + negatives)
    return occurring + first, positives[occurring], negatives[occurring]


def _count_few(positive: NDArray[np.bool_], keys: Counts) -> tuple[Counts, Counts, Counts]:
    """Count by sorting, for fewer samples than a dense table has cells."""
    occurring, place = np.unique(keys, return_inverse=True)
    positives = np.bincount(place[positive], minlength=occurring.size)
    return occurring, positives, np.bincount(place, minlength=occurring.size) - positives


def _moments(values: Floats) -> Moments:
    if not np.isfinite(values).all():
        raise ValueError("score sums: expected finite values, got NaN or infinity")
    total = Moments()
    for start in range(0, values.size, _CHUNK):
        part = values[start : start + _CHUNK]
        large = np.abs(part) > _LARGEST
        total = total + _moments_of_small(part[~large]) + _moments_of_large(part[large])
    return total


def _moments_of_small(values: Floats) -> Moments:
    """Sum at the speed of numpy: (high * 2**26 + low)**2, limb by limb."""
    units = np.rint(values * 2.0**_UNIT_BITS).astype(np.int64)
    high, low = units >> _LIMB_BITS, units & ((1 << _LIMB_BITS) - 1)
    squares = _sum(high * high) << (2 * _LIMB_BITS)
    squares += (_sum(high * low) << (_LIMB_BITS + 1)) + _sum(low * low)
    return Moments(_sum(units), squares)


def _moments_of_large(values: Floats) -> Moments:
    """Sum one by one; a float beyond 2**25 is a whole number of units."""
    ratios = (value.as_integer_ratio() for value in values.tolist())
    units = [(above << _UNIT_BITS) // below for above, below in ratios]
    return Moments(sum(units), sum(unit * unit for unit in units))


def _sum(values: Counts) -> int:
    """Sum up to 2**31 integers of any size; their halves cannot overflow, their sum could."""
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())
