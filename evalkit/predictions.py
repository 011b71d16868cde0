"""What predictions from outside must look like: labels, scores and ids, each refused with its rows."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.decide import Decision
from evalkit.errors import DataError, listed
from evalkit.labels import is_missing, label_sets, match_labels

_TOLERANCE = 1e-3
_SHOWN = 5


def check_labels(
    values: ArrayLike, class_names: Sequence[str], *, task: str, what: str, n_samples: int | None = None
) -> NDArray[Any]:
    """Return class indices (n,), or label sets (n, L) as booleans; DataError for anything else."""
    found = np.asarray(values)
    if task == "multilabel":
        labels: NDArray[Any] = label_sets(found, class_names, where=what)
    else:
        labels = match_labels(found, class_names, where=what)
    if n_samples is not None and len(labels) != n_samples:
        raise DataError(f"{what}: expected {n_samples} rows, got {len(labels)}")
    return labels


def check_scores(values: ArrayLike, decision: Decision, *, n_samples: int, n_classes: int) -> NDArray[Any]:
    """Return scores as floats, shape (n, K).

    A binary task may give those of the positive class alone, shape (n,) or (n, 1).

    Raises:
        DataError: Another shape, no finite numbers, or declared probabilities that are none.
    """
    scores = np.asarray(values)
    if scores.dtype.kind not in "fiub":
        raise DataError(f"y_score: expected numbers, got {scores.dtype}")
    if decision.positive is not None and scores.shape in ((n_samples,), (n_samples, 1)):
        scores = scores.reshape(n_samples, 1)
    elif scores.shape != (n_samples, n_classes):
        raise DataError(f"y_score: expected shape ({n_samples}, {n_classes}), got {scores.shape}")
    scores = scores.astype(np.float32 if scores.dtype in (np.float16, np.float32) else np.float64)
    rows = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if rows.size:
        raise DataError(f"y_score: NaN or infinite in rows {listed(rows[:_SHOWN].tolist())}")
    if decision.output == "probabilities":
        check_probabilities(scores.astype(np.float64), exclusive=decision.task != "multilabel")
    return decision.two_columns(scores)


def check_ids(ids: Sequence[object], *, n_samples: int, known: Collection[str]) -> list[str]:
    """Return ids as text; DataError where one is missing or stands twice."""
    rows = [row for row, name in enumerate(ids) if is_missing(name)]
    if rows:
        raise DataError(f"ids: {len(rows)} are missing (rows {listed(rows, limit=_SHOWN)})")
    names = [str(name) for name in ids]
    broken = [row for row, name in enumerate(names) if any("\ud800" <= char <= "\udfff" for char in name)]
    if broken:
        raise DataError(f"ids: {len(broken)} are no text (rows {listed(broken, limit=_SHOWN)})")
    if len(names) != n_samples:
        raise DataError(f"ids: expected {n_samples}, got {len(names)}")
    repeated = [name for name, count in Counter(names).items() if count > 1 or name in known]
    if repeated:
        raise DataError(f"ids: must be unique, repeated: {listed(repeated, limit=_SHOWN)}")
    return names


def check_probabilities(
    scores: NDArray[np.float64],
    *,
    exclusive: bool,
    start: int = 0,
    what: str = "y_score",
    option: str = "output=",
) -> None:
    """Raise DataError where declared probabilities are none.

    Args:
        scores: Shape (n, K).
        exclusive: Whether a row sums to 1.
        start: The number of the first row.
        what, option: How the caller names the scores, and what they are.
    """
    bad = ((scores < 0) | (scores > 1)).any(axis=1)
    if exclusive and scores.shape[1] > 1:
        bad |= np.abs(scores.sum(axis=1) - 1) > _TOLERANCE
    if bad.any():
        rows = (np.flatnonzero(bad) + start).tolist()
        many = f"{len(rows)} rows are" if len(rows) > 1 else "one row is"
        raise DataError(
            f"{what}: {many} no probability distribution (row {listed(rows, limit=_SHOWN)})",
            hint=f"Say {option}logits or {option}scores if that is what it is",
        )
