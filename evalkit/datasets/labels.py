"""Labels as class indices: integers inside the contract, or the first rows that are not."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import DataError, listed

_SHOWN = 5


def integral_labels(y: NDArray[Any], *, where: str) -> NDArray[np.int64]:
    """Return labels as int64; DataError unless they are integers, shape (n,)."""
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise DataError(
            f"{where}: y must hold integers of shape (n,), got {y.dtype} of shape {y.shape}",
            hint="Class indices are never rounded or parsed",
        )
    if y.dtype == np.uint64:
        y = np.minimum(y, np.uint64(np.iinfo(np.int64).max))  # a huge label must not wrap to a negative one
    return y.astype(np.int64)


def check_range(y: NDArray[np.int64], *, n_classes: int, where: str) -> None:
    """Raise DataError with the first rows whose label is outside 0 to n_classes - 1."""
    wrong = np.flatnonzero((y < 0) | (y >= n_classes))
    if wrong.size:
        shown = listed([f"row {row}: {y[row]}" for row in wrong[:_SHOWN].tolist()])
        raise DataError(f"{where}: {wrong.size} labels outside 0 to {n_classes - 1} ({shown})")
