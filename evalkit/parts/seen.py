"""Which samples were seen: one bit each."""

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import InvalidRunError

Index = NDArray[np.int64]


class Seen:
    """Notes positions, and those that come a second time.

    Args:
        n_samples: Positions run from 0 to n - 1.
    """

    def __init__(self, n_samples: int) -> None:
        self._n_samples = n_samples
        self._bits = np.zeros(-(-n_samples // 8), np.uint8)
        self._twice: int | None = None
        self._n_twice = 0

    def add(self, index: Index) -> None:
        """Note some positions, int64, shape (n,); cheap where they are neighbours."""
        if not len(index):
            return
        if index.min() < 0 or index.max() >= self._n_samples:
            raise InvalidRunError(
                f"positions {index.min()} to {index.max()} of {self._n_samples} samples", check="seen_once"
            )
        start, stop = int(index.min()) // 8, int(index.max()) // 8 + 1
        window = np.unpackbits(self._bits[start:stop])
        times = window + np.bincount(index - 8 * start, minlength=len(window))
        again = np.flatnonzero(times > 1)
        if again.size:
            self._n_twice += len(again)
            self._twice = int(again[0]) + 8 * start if self._twice is None else self._twice
        self._bits[start:stop] = np.packbits(times > 0)

    def missing(self, first: int = 0, stop: int | None = None) -> list[tuple[int, int]]:
        """Return the ranges [first, stop) of positions that were never seen, among those asked for."""
        stop = self._n_samples if stop is None else stop
        known = np.unpackbits(self._bits, count=self._n_samples)[first:stop]
        edges = np.flatnonzero(np.diff(np.concatenate([[1], known, [1]]).astype(np.int8))) + first
        return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))

    def check(self, first: int, stop: int) -> None:
        """Raise InvalidRunError unless each of the positions [first, stop) was seen exactly once."""
        missing = self.missing(first, stop)
        n_wrong = sum(end - begin for begin, end in missing) + self._n_twice
        if n_wrong:
            where = missing[0][0] if self._twice is None else self._twice
            raise InvalidRunError(
                f"{n_wrong} samples were not seen exactly once (first: {where})", check="seen_once"
            )
