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


def check_range(
    y: NDArray[np.int64], *, n_classes: int, where: str, index: NDArray[np.int64] | None = None
) -> None:
    """Raise DataError with the first rows whose label is outside 0 to n_classes - 1.

    Args:
        y: Class indices, shape (n,).
        n_classes: K.
        where: Names the data.
        index: The rows' positions in the data; by default 0 to n - 1.
    """
    rows = np.arange(len(y)) if index is None else index
    wrong = np.flatnonzero((y < 0) | (y >= n_classes))
    if wrong.size:
        shown = listed([f"row {rows[i]}: {y[i]}" for i in wrong[:_SHOWN].tolist()])
        raise DataError(f"{where}: {wrong.size} labels outside 0 to {n_classes - 1} ({shown})")
