"""What people pass: arrays, lists, tensors; and the class names where they pass none."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from evalkit.errors import DataError, SpecificationError

# A label beyond this without names is a mistake, and K x K counts would not fit in memory.
_MAX_CLASSES = 10_000


def default_names(*arrays: Any) -> list[str]:
    """Return the sorted names that occur, or 0 to the largest index; SpecificationError for a mix of both."""
    true, pred, scores = arrays
    if true is not None and true.ndim == 2:  # noqa: PLR2004 - (n, L)
        return [str(k) for k in range(true.shape[1])]
    present = [np.asarray(labels) for labels in (true, pred) if labels is not None]
    text = [labels.dtype.kind in "USO" for labels in present]
    if any(text) and not all(text):
        raise SpecificationError(
            "class_names: y_true and y_pred mix names and indices",
            hint="Pass class_names=[...] in output order",
        )
    if any(text):
        return sorted({str(label) for labels in present for label in labels.tolist()})
    if scores is not None and scores.ndim == 2:  # noqa: PLR2004 - (n, K)
        return [str(k) for k in range(scores.shape[1])]
    largest = max(
        (int(labels.max()) for labels in present if labels.size and labels.dtype.kind in "iu"), default=0
    )
    if largest >= _MAX_CLASSES:
        raise DataError(f"labels: {largest} as a class index", hint="Pass class_names=[...] in output order")
    return [str(k) for k in range(max(largest + 1, 2))]


def as_array(values: Any) -> Any:
    """Take arrays, lists and tensors alike."""
    if values is None:
        return None
    if isinstance(values, Iterator):
        values = list(values)
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if str(values.dtype) == "torch.bfloat16" else values
        return values.numpy()
    found = np.asarray(values)
    if (
        found.dtype.kind == "U"
        and isinstance(values, (list, tuple))
        and not all(isinstance(value, str) for value in values)
    ):
        found = np.array(values, dtype=object)  # numpy would write numbers as text
    integers = found.dtype == object and all(type(value) is int for value in found.ravel().tolist())
    return found.astype(np.int64) if integers and found.size and _fits(found) else found


def _fits(values: Any) -> bool:
    return bool(max(abs(value) for value in values.ravel().tolist()) < 1 << 63)
