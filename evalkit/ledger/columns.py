"""The columns of the per-sample table, computed from what a model answered.

Classes are the first axis here, so that everything runs along the samples; what is summed over classes is
summed in their order, and a row is the same however many samples are computed together.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evalkit.errors import DataError
from evalkit.ledger.batch import Output, PredictionBatch

MAX_SCORE_COLUMNS = 64
TOP = 5
RESERVED = frozenset(
    "index sample_id y_true y_pred p_pred p_true margin logloss brier true_rank".split()
)  # and score_<k>, top_<r>, top_<r>_score

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def reserved(name: str) -> bool:
    """Return whether an attribute's name is one of the ledger's own columns."""
    return name in RESERVED or name.startswith(("score_", "top_"))


def check_attributes(names: Iterable[object], *, where: str) -> None:
    """Raise DataError where an attribute has the name of one of the ledger's own columns, or none."""
    for name in names:
        if not isinstance(name, str) or reserved(name):
            raise DataError(
                f"{where}: the attribute {name!r} has the name of one of the ledger's own columns"
            )


def arrow_table(columns: Mapping[str, Any]) -> pa.Table:
    """Return columns as a table, without a copy of numbers and without pandas, which arrow would load."""
    return pa.table({name: _column(values) for name, values in columns.items()})


def _column(values: Any) -> Any:
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf" or not values.dtype.isnative:
        return values
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, buffer])


def ledger_columns(batch: PredictionBatch, output: Output) -> dict[str, Any]:
    """Compute the columns of a batch.

    Probabilities are softmax in float64, stored as float32; declared probabilities and scores are stored as
    they are. ``true_rank`` is 0 for the best: #(greater) + #(equal, lower index). ``logloss`` comes from
    log-softmax for logits and is clipped at float64's epsilon for probabilities; it, ``brier`` and the
    probabilities are null for mere scores. Of label sets probabilities are sigmoids, and the two losses means
    over labels.
    """
    named = _named_columns(batch)
    if batch.outputs is None:
        return named | _unscored(len(batch.index)) | dict(batch.attributes)
    if batch.y_true.ndim == 2:  # noqa: PLR2004 - (n, L)
        return named | _label_columns(batch, output) | dict(batch.attributes)
    raw = np.ascontiguousarray(batch.outputs.T, np.float64)
    scores, loss = _probabilities(raw, batch.y_true, output)
    rows = np.arange(len(batch.index))
    true, predicted = scores[batch.y_true, rows], scores[batch.y_pred, rows]
    columns: dict[str, Any] = {
        **named,
        "p_pred": _float32(predicted, known=loss is not None),
        "p_true": _float32(true, known=loss is not None),
        "margin": _float32(_margin(scores)),
        "logloss": pa.nulls(len(rows), pa.float64()) if loss is None else loss + 0.0,
        "brier": pa.nulls(len(rows), pa.float64()) if loss is None else _brier(scores, true),
        "true_rank": _true_rank(raw, batch.y_true),
    }
    return columns | _score_columns(scores.astype(np.float32)) | dict(batch.attributes)


def _probabilities(raw: Floats, y_true: Ints, output: Output) -> tuple[Floats, Floats | None]:
    """Return scores, shape (K, n), and the log loss of each sample, shape (n,), of probabilities."""
    rows = np.arange(raw.shape[1])
    if output == "scores":
        return raw, None
    if output == "probabilities":
        eps = np.finfo(np.float64).eps
        return raw, -np.log(np.clip(raw[y_true, rows], eps, 1 - eps))
    shifted = raw - raw.max(axis=0)
    true = shifted[y_true, rows]
    scores = np.exp(shifted, out=shifted)
    total = _sum(scores)
    scores /= total
    return scores, np.log(total) - true


def _sum(values: Iterable[Floats]) -> Floats:
    """Add up arrays in their order, which numpy's own sum does not keep for a single sample."""
    first, *others = values
    total = first.copy()
    for one in others:
        total += one
    return total


def _brier(scores: Floats, true: Floats) -> Floats:
    others = np.maximum(_sum(one * one for one in scores) - true * true, 0)
    return np.asarray(others + (1 - true) ** 2)


def _margin(scores: Floats) -> Floats:
    best, second = np.maximum(scores[0], scores[1]), np.minimum(scores[0], scores[1])
    for one in scores[2:]:
        np.maximum(second, np.minimum(best, one), out=second)
        np.maximum(best, one, out=best)
    return np.asarray(best - second)


def _true_rank(raw: Floats, y_true: Ints) -> NDArray[np.int32]:
    true, rank = raw[y_true, np.arange(raw.shape[1])], np.zeros(raw.shape[1], np.int32)
    for k, one in enumerate(raw):
        rank += (one > true) | ((one == true) & (k < y_true))
    return rank


def _named_columns(batch: PredictionBatch) -> dict[str, Any]:
    return {
        "index": batch.index,
        "sample_id": _column(batch.index).cast(pa.string()) if batch.ids is None else _texts(batch.ids),
        "y_true": _classes(batch.y_true),
        "y_pred": _classes(batch.y_pred),
    }


def _texts(ids: Any) -> Any:
    return ids if isinstance(ids, pa.Array) else list(ids)


def slim_columns(batch: PredictionBatch) -> dict[str, Any]:
    """Return the columns of samples without scores: labels, and ids where there are any."""
    named = _named_columns(replace(batch, ids=() if batch.ids is None else batch.ids))
    if batch.ids is None:
        del named["sample_id"]
    return named | dict(batch.attributes)


def _classes(labels: NDArray[Any]) -> Any:
    """Return class indices as they are, label sets as lists of indices."""
    if labels.ndim == 1:
        return labels.astype(np.int32)
    rows, indices = np.nonzero(labels)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(labels)))])
    return pa.ListArray.from_arrays(_column(offsets.astype(np.int32)), _column(indices.astype(np.int32)))


def _label_columns(batch: PredictionBatch, output: Output) -> dict[str, Any]:
    """Compute the score columns of label sets; what belongs to exclusive classes is null."""
    assert batch.outputs is not None
    raw = batch.outputs.astype(np.float64)
    nothing = _unscored(len(raw))
    if output == "scores":
        return nothing | _score_columns(raw.T.astype(np.float32, order="C"))
    scores = raw
    with np.errstate(over="ignore"):
        if output == "logits":
            # -log sigmoid(x) = log(1 + exp(-x)), of the true side of each label.
            loss = np.logaddexp(0, np.where(batch.y_true, -raw, raw))
            scores = 1 / (1 + np.exp(-raw))
        else:
            eps = np.finfo(np.float64).eps
            loss = -np.log(np.clip(np.where(batch.y_true, raw, 1 - raw), eps, 1 - eps))
    losses = {"logloss": loss.mean(axis=1), "brier": ((scores - batch.y_true) ** 2).mean(axis=1)}
    return nothing | losses | _score_columns(scores.T.astype(np.float32, order="C"))


def _unscored(n_samples: int) -> dict[str, Any]:
    floats = dict.fromkeys(("p_pred", "p_true", "margin"), pa.nulls(n_samples, pa.float32()))
    losses = dict.fromkeys(("logloss", "brier"), pa.nulls(n_samples, pa.float64()))
    return {**floats, **losses, "true_rank": pa.nulls(n_samples, pa.int32())}


def _score_columns(scores: NDArray[np.float32]) -> dict[str, Any]:
    """Return the columns of scores, shape (K, n): all classes, or the best of very many."""
    if len(scores) <= MAX_SCORE_COLUMNS:
        return {f"score_{k}": one for k, one in enumerate(scores)}
    rows = np.ascontiguousarray(scores.T)
    best = np.sort(np.argpartition(-rows, TOP, axis=1)[:, :TOP], axis=1)
    by_score = np.argsort(-np.take_along_axis(rows, best, axis=1), axis=1, kind="stable")
    order = np.take_along_axis(best, by_score, axis=1)
    columns: dict[str, Any] = {}
    for rank in range(TOP):
        columns[f"top_{rank}"] = order[:, rank].astype(np.int32)
        columns[f"top_{rank}_score"] = np.take_along_axis(rows, order[:, rank : rank + 1], axis=1)[:, 0]
    return columns


def _float32(values: Floats, *, known: bool = True) -> Any:
    return values.astype(np.float32) if known else pa.nulls(len(values), pa.float32())
