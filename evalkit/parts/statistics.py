"""What the model was fed, in a few numbers: a forgotten division by 255 shows here."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_SAMPLES = 4096
_IMAGE_DIMS = 3
_AT_ONCE = 1 << 16
Sums = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _OfBatch:
    """One batch: values a channel, and their sum, sum of squares, minimum and maximum, each of shape (C,)."""

    n_values: int
    sums: Sums
    squares: Sums
    low: Sums
    high: Sums

    def to_json(self) -> list[Any]:
        return [self.n_values, *(part.tolist() for part in (self.sums, self.squares, self.low, self.high))]


class InputStatistics:
    """Mean, standard deviation, minimum and maximum per channel of the samples in the first 4096 positions.

    Images and other inputs of three or more dimensions, shape (n, C, ...), have C channels; everything else
    counts as one. Sums are kept a batch and added in the order of the batches, so that the numbers have the
    same bits wherever a run was cut into parts.
    """

    def __init__(self) -> None:
        self._batches: dict[int, _OfBatch] = {}

    def add(self, index: NDArray[np.int64], inputs: NDArray[Any]) -> None:
        """Take a batch of the model's first input, shape (n, ...), by the samples' positions."""
        if index.min() >= MAX_SAMPLES:
            return
        taken = inputs[index < MAX_SAMPLES]
        if not len(taken) or taken.dtype.kind not in "fiub":
            return
        channels = taken.shape[1] if taken.ndim >= _IMAGE_DIMS else 1
        values = taken.reshape(len(taken), channels, -1)
        size = max(_AT_ONCE // max(values[0].size, 1), 1)
        sums, squares = np.zeros(channels), np.zeros(channels)
        with np.errstate(invalid="ignore", over="ignore"):  # infinite inputs have no statistics
            for start in range(0, len(values), size):
                block = values[start : start + size].astype(np.float64)  # small enough for the cache
                sums += block.sum(axis=(0, 2))
                squares += np.einsum("ncv,ncv->c", block, block)
            low, high = values.min(axis=(0, 2)), values.max(axis=(0, 2))
        found = _OfBatch(
            len(taken) * values.shape[2], sums, squares, low.astype(np.float64), high.astype(np.float64)
        )
        self._batches[int(index[0])] = found

    @property
    def by_batch(self) -> dict[int, _OfBatch]:
        """What was taken, by the position of a batch's first sample."""
        return dict(self._batches)

    def join(self, other: "InputStatistics") -> None:
        """Take over another part's batches."""
        self._batches |= other.by_batch

    def to_json(self) -> list[list[Any]]:
        """Return everything as JSON."""
        return [[first, *batch.to_json()] for first, batch in self._batches.items()]

    @classmethod
    def from_json(cls, rows: list[list[Any]]) -> "InputStatistics":
        """Read what :meth:`to_json` gave."""
        made = cls()
        for first, n_values, *parts in rows:
            made._batches[first] = _OfBatch(n_values, *(np.array(part, np.float64) for part in parts))
        return made

    def summary(self) -> dict[str, list[float]] | None:
        """Return the four numbers per channel; None without samples or where one is not finite."""
        if not self._batches:
            return None
        batches = [self._batches[first] for first in sorted(self._batches)]
        batches = [batch for batch in batches if batch.sums.shape == batches[0].sums.shape]
        n_values = sum(batch.n_values for batch in batches)
        with np.errstate(invalid="ignore", over="ignore"):
            sums, squares = (
                np.sum([getattr(b, name) for b in batches], axis=0) for name in ("sums", "squares")
            )
            mean = sums / n_values
            std = np.sqrt(np.maximum(squares / n_values - np.square(mean), 0))
        low, high = np.min([b.low for b in batches], axis=0), np.max([b.high for b in batches], axis=0)
        found = {"mean": mean, "std": std, "min": low, "max": high}
        if not all(np.isfinite(values).all() for values in (squares, *found.values())):
            return None
        return {name: [float(f"{value:.6g}") for value in values] for name, values in found.items()}
