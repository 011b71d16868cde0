"""The per-sample table, predictions.parquet: the contract with other tools.

One row a sample, in index order of the batches: who it was, what was true, what was predicted, and the
scores, from which every score metric is computed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evalkit.errors import DataError, OutputError, os_reason
from evalkit.files import Sink

FILE_NAME = "predictions.parquet"
ROW_GROUP = 65_536
MAX_SCORE_COLUMNS = 64
TOP = 5
RESERVED = frozenset(
    "index sample_id y_true y_pred p_pred p_true margin logloss brier true_rank".split()
)  # and score_<k>, top_<r>, top_<r>_score

Output = Literal["logits", "probabilities", "scores"]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PredictionBatch:
    """What one batch gave, as host arrays.

    Attributes:
        index: Positions in the data set, int64, shape (n,).
        y_true, y_pred: Class indices, int64, shape (n,); of a multilabel task booleans, shape (n, L).
        outputs: What the model returned, float32 or float64, shape (n, K); None where only classes are known.
        ids: Sample ids, as a list or an arrow array; None where samples are known by position.
        attributes: Further columns by name, each of shape (n,).
    """

    index: Ints
    y_true: NDArray[Any]
    y_pred: NDArray[Any]
    outputs: NDArray[Any] | None
    ids: Any = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def kept(self) -> "PredictionBatch":
        """Return the same with outputs of its own: a model may give the same memory again."""
        return self if self.outputs is None else replace(self, outputs=self.outputs.copy())


def alike(one: PredictionBatch, other: PredictionBatch) -> bool:
    """Return whether two batches have columns of the same types, so that they can be joined."""
    kinds = _kinds(one)
    return kinds == _kinds(other) and not any(kind.endswith("O") for kind in kinds.values())


def joined_batch(batches: Sequence[PredictionBatch]) -> PredictionBatch:
    """Return the samples of batches that are alike as one."""
    first = batches[0]
    if len(batches) == 1:
        return first
    outputs = None if first.outputs is None else _joined([one.outputs for one in batches])
    columns = {
        name: _joined([getattr(one, name) for one in batches]) for name in ("index", "y_true", "y_pred")
    }
    return PredictionBatch(
        **columns,
        outputs=outputs,
        ids=_joined_ids([one.ids for one in batches]),
        attributes={name: _joined([one.attributes[name] for one in batches]) for name in first.attributes},
    )


def _joined(parts: Sequence[Any]) -> NDArray[Any]:
    return np.concatenate([np.asarray(part) for part in parts])


def _joined_ids(parts: Sequence[Any]) -> Any:
    if parts[0] is None:
        return None
    if isinstance(parts[0], pa.Array):
        return pa.concat_arrays(parts)
    return [name for part in parts for name in part]


def _kinds(batch: PredictionBatch) -> dict[str, str]:
    """Return the type of each column, text of whatever length being one; ``O`` where numpy has none."""
    types = {name: np.asarray(values).dtype for name, values in batch.attributes.items()}
    kinds = {name: "U" if one.kind == "U" else one.str for name, one in types.items()}
    wide = "" if batch.outputs is None else batch.outputs.dtype.str
    return {**kinds, "evalkit:outputs": wide, "evalkit:ids": type(batch.ids).__name__}


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
    raw = batch.outputs.astype(np.float64)
    rows = np.arange(len(raw))
    log_p = _log_softmax(raw) if output == "logits" else None
    scores = raw if log_p is None else np.exp(log_p)
    true_score, pred_score = scores[rows, batch.y_true], scores[rows, batch.y_pred]
    columns: dict[str, Any] = {
        **named,
        "p_pred": _float32(pred_score, known=output != "scores"),
        "p_true": _float32(true_score, known=output != "scores"),
        "margin": _float32(_margin(scores)),
        **_losses(scores, batch.y_true, log_p, known=output != "scores"),
        "true_rank": _true_rank(batch.outputs, batch.y_true),
    }
    return columns | _score_columns(scores.astype(np.float32)) | dict(batch.attributes)


def _named_columns(batch: PredictionBatch) -> dict[str, Any]:
    return {
        "index": batch.index,
        "sample_id": pa.array(batch.index).cast(pa.string()) if batch.ids is None else _texts(batch.ids),
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
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(indices, pa.int32()))


def _label_columns(batch: PredictionBatch, output: Output) -> dict[str, Any]:
    """Compute the score columns of label sets; what belongs to exclusive classes is null."""
    assert batch.outputs is not None
    raw = batch.outputs.astype(np.float64)
    nothing = _unscored(len(raw))
    if output == "scores":
        return nothing | _score_columns(raw.astype(np.float32))
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
    return nothing | losses | _score_columns(scores.astype(np.float32))


def _unscored(n_samples: int) -> dict[str, Any]:
    floats = dict.fromkeys(("p_pred", "p_true", "margin"), pa.nulls(n_samples, pa.float32()))
    losses = dict.fromkeys(("logloss", "brier"), pa.nulls(n_samples, pa.float64()))
    return {**floats, **losses, "true_rank": pa.nulls(n_samples, pa.int32())}


class Conforming:
    """Gives tables the first one's types: attributes of one's own may come as 1 here and 1.5 there."""

    def __init__(self) -> None:
        self._schema: pa.Schema | None = None

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return a table with the first one's columns and types; DataError where that cannot be."""
        if self._schema is None:
            self._schema = table.schema
        if table.schema == self._schema:
            return table
        try:
            return table.select(self._schema.names).cast(self._schema)
        except (pa.ArrowException, KeyError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"attributes change their names or types between batches: {reason}") from error


class LedgerWriter:
    """Streams rows into row groups of a Parquet file; these are the same however the rows came in.

    A group is packed behind the caller's back, while the next one comes together; one waits at a time.
    """

    def __init__(self, file: BinaryIO, output: Output, *, row_group: int = ROW_GROUP) -> None:
        self._file = file
        self._output: Output = output
        self._row_group = row_group
        self._writer: pq.ParquetWriter | None = None
        self._conforming = Conforming()
        self._tables: list[pa.Table] = []
        self._rows = 0
        self._behind = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None

    def write(self, batch: PredictionBatch) -> None:
        """Add a batch."""
        self.write_rows(pa.table(ledger_columns(batch, self._output)))

    def write_rows(self, table: pa.Table) -> None:
        """Add rows of the table's own columns."""
        self._tables.append(self._conforming(table))
        self._rows += table.num_rows
        if self._rows >= self._row_group:
            self._flush(self._rows // self._row_group * self._row_group)

    def close(self) -> None:
        """Write what is buffered and the footer."""
        self._flush(self._rows)
        self._wait()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def abandon(self) -> None:
        """Let go of what is being written."""
        self._behind.shutdown()
        if self._writer is not None:
            with suppress(Exception):  # it would complain of the closed file when it is collected
                self._writer.close()

    def _flush(self, n_rows: int) -> None:
        if not self._tables:
            return
        table = pa.concat_tables(self._tables)
        self._wait()
        self._pending = self._behind.submit(self._pack, table.slice(0, n_rows))
        rest = table.slice(n_rows)
        self._tables, self._rows = [rest] if rest.num_rows else [], rest.num_rows

    def _pack(self, table: pa.Table) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(Sink(self._file), table.schema, **_encoding(table.schema))
        self._writer.write_table(table.combine_chunks(), row_group_size=self._row_group)

    def _wait(self) -> None:
        """Wait for the group before; its error is raised here."""
        if self._pending is not None:
            self._pending.result()
            self._pending = None


def _encoding(schema: pa.Schema) -> dict[str, Any]:
    """Return how columns are packed: what is different in every row takes no dictionary."""
    named = {"index": "DELTA_BINARY_PACKED", "sample_id": "DELTA_LENGTH_BYTE_ARRAY"}
    own = {name: encoding for name, encoding in named.items() if name in schema.names}
    return {"use_dictionary": [name for name in schema.names if name not in own], "column_encoding": own}


@contextmanager
def open_ledger(path: Path, output: Output, *, row_group: int = ROW_GROUP) -> Iterator[LedgerWriter]:
    """Open a ledger for writing and close it; a full disk is an OutputError."""
    try:
        # An open file, because arrow takes no path that is not UTF-8.
        with path.open("wb") as file:
            writer = LedgerWriter(file, output, row_group=row_group)
            try:
                yield writer
                writer.close()
            finally:
                writer.abandon()
    except (OSError, pa.ArrowException) as error:
        raise OutputError(f"{path.parent}: the ledger cannot be written: {os_reason(error)}") from error


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _losses(scores: Floats, y_true: Ints, log_p: Floats | None, *, known: bool) -> dict[str, Any]:
    if not known:
        nothing = pa.nulls(len(scores), pa.float64())
        return {"logloss": nothing, "brier": nothing}
    rows = np.arange(len(scores))
    if log_p is not None:
        logloss = -log_p[rows, y_true]
    else:
        eps = np.finfo(np.float64).eps
        logloss = -np.log(np.clip(scores[rows, y_true], eps, 1 - eps))
    true = scores[rows, y_true]
    others = np.maximum(np.einsum("ij,ij->i", scores, scores) - true**2, 0)
    return {"logloss": logloss + 0.0, "brier": others + (1 - true) ** 2}


def _margin(scores: Floats) -> Floats:
    top = np.partition(scores, scores.shape[1] - 2, axis=1)[:, -2:]
    return np.asarray(top[:, 1] - top[:, 0])


def _true_rank(outputs: NDArray[Any], y_true: Ints) -> NDArray[np.int32]:
    true = outputs[np.arange(len(outputs)), y_true][:, None]
    before = np.arange(outputs.shape[1]) < y_true[:, None]
    return np.asarray(((outputs > true) | ((outputs == true) & before)).sum(axis=1), dtype=np.int32)


def _score_columns(scores: NDArray[np.float32]) -> dict[str, Any]:
    n_classes = scores.shape[1]
    if n_classes <= MAX_SCORE_COLUMNS:
        return {f"score_{k}": scores[:, k] for k in range(n_classes)}
    best = np.sort(np.argpartition(-scores, TOP, axis=1)[:, :TOP], axis=1)
    by_score = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    order = np.take_along_axis(best, by_score, axis=1)
    columns: dict[str, Any] = {}
    for rank in range(TOP):
        columns[f"top_{rank}"] = order[:, rank].astype(np.int32)
        columns[f"top_{rank}_score"] = np.take_along_axis(scores, order[:, rank : rank + 1], axis=1)[:, 0]
    return columns


def _float32(values: Floats, *, known: bool = True) -> Any:
    return values.astype(np.float32) if known else pa.nulls(len(values), pa.float32())
