"""What the model was fed, in a few numbers: a forgotten division by 255 shows here."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_SAMPLES = 4096
_IMAGE_DIMS = 3


class InputStatistics:
    """Mean, standard deviation, minimum and maximum per channel of the first samples.

    Images and other inputs of three or more dimensions, shape (n, C, ...), have C channels; everything else
    counts as one.
    """

    def __init__(self) -> None:
        self._left = MAX_SAMPLES
        self._sums: NDArray[np.float64] | None = None
        self._n_values = 0
        self._low: NDArray[np.float64] | None = None
        self._high: NDArray[np.float64] | None = None

    def add(self, inputs: NDArray[Any]) -> None:
        """Take a batch of the model's first input, shape (n, ...)."""
        taken = inputs[: self._left]
        if not len(taken) or taken.dtype.kind not in "fiub":
            return
        self._left -= len(taken)
        channels = taken.shape[1] if taken.ndim >= _IMAGE_DIMS else 1
        values = taken.astype(np.float64).reshape(len(taken), channels, -1)
        with np.errstate(invalid="ignore", over="ignore"):  # infinite inputs have no statistics
            sums = np.stack([values.sum(axis=(0, 2)), np.square(values).sum(axis=(0, 2))])
        low, high = values.min(axis=(0, 2)), values.max(axis=(0, 2))
        if self._sums is None or self._low is None or self._high is None:
            self._sums, self._low, self._high = sums, low, high
        elif sums.shape == self._sums.shape:
            self._sums = self._sums + sums
            self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)
        self._n_values += values.shape[0] * values.shape[2]

    def summary(self) -> dict[str, list[float]] | None:
        """Return the four numbers per channel; None without samples or where one is not finite."""
        if self._sums is None or self._low is None or self._high is None:
            return None
        if not np.isfinite(self._sums).all():
            return None
        mean = self._sums[0] / self._n_values
        std = np.sqrt(np.maximum(self._sums[1] / self._n_values - np.square(mean), 0))
        found = {"mean": mean, "std": std, "min": self._low, "max": self._high}
        if not all(np.isfinite(values).all() for values in found.values()):
            return None
        return {name: [float(f"{value:.6g}") for value in values] for name, values in found.items()}
