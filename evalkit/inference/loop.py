"""The loop: batches in, predictions out, each sample exactly once or no number at all."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.checkpoints.data import dtype_name
from evalkit.datasets import Batch, Inputs
from evalkit.decide import Decision
from evalkit.digests import OrderFreeDigest
from evalkit.errors import DataError, EvalkitError, InvalidRunError, listed, reason_of
from evalkit.inference.batches import copied, is_of_worker, moved, reordered, tensors_of
from evalkit.inference.feeding import Fed
from evalkit.inference.memory import Fitting, OutOfMemoryError, in_halves, is_out_of_memory, some_of
from evalkit.inference.outputs import (
    HALF_TOLERANCE,
    TOLERANCE,
    check_finite,
    check_probabilities,
    host_array,
    selected,
)
from evalkit.inference.precision import HALF, Half, errors_of
from evalkit.labels import check_range
from evalkit.ledger import PredictionBatch
from evalkit.parts import Observed
from evalkit.reads import noting

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Taken:
    """The answers to a batch, and 64 bits of each input's hash, uint64, shape (n,)."""

    batch: PredictionBatch
    prints: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Predictor:
    """A model that takes batches and gives host arrays; in eval mode and inference mode already.

    Attributes:
        model: What is called.
        decision: The rule from scores to classes.
        n_outputs: Columns that the model returns.
        select: Which part of the model's output holds the scores.
        default_select: The same where ``select`` is None and the output is no tensor.
        valid: Which outputs count; None for all.
        order: The output of each of the data's classes, where these come in another order; else None.
        device, dtype: Where the model is, and its floating type.
        exclude: Leave samples out that cannot be read; otherwise all of them are collected and refused.
        state: Filled on the way.
        fitting: How many samples fit into memory at once.
        half: How half precision is used; None where it is not.
        quick: What is called then; None for the model itself.
        clock: Seconds from any start.
    """

    model: Callable[..., object]
    decision: Decision
    n_outputs: int
    select: int | str | None
    device: torch.device
    dtype: torch.dtype | None
    exclude: bool
    state: Observed
    default_select: str | None = None
    valid: Index | None = None
    order: Index | None = None
    fitting: Fitting = field(default_factory=Fitting)
    half: Half | None = None
    quick: Callable[..., object] | None = None
    clock: Callable[[], float] = float

    def take(self, position: int, fed: Fed) -> Taken | None:
        """Run the model over one batch; None where none of it can be used.

        Args:
            position: Of the batch.
            fed: The samples.

        Raises:
            DataError: A label is outside the classes.
            InvalidRunError: The forward pass raised, or its outputs cannot be scored.
        """
        state, decision, batch = self.state, self.decision, fed.batch
        state.modes.update(batch.modes)
        state.unreadable += batch.unreadable
        if not len(batch.index) or (state.unreadable and not self.exclude):
            return None  # what else cannot be read is still of interest, numbers are not
        y_true = self.labels(batch)
        state.inputs += OrderFreeDigest.of_codes(fed.codes)
        if fed.first is not None:
            state.statistics.add(batch.index, fed.first)
        inputs = moved(fed.inputs, self.device, self.dtype)
        start = self.clock()
        outputs, state.output_dtype = self._answers(inputs, position, batch.index)
        seconds = self.clock() - start
        state.spend("forward", seconds)
        state.latencies.add(seconds)
        y_pred, n_ties = decision.decide(outputs)
        state.n_evaluated += len(batch.index)
        state.n_ties += n_ties
        state.input_cast = fed.cast
        found = PredictionBatch(batch.index, y_true, y_pred, outputs, batch.ids, batch.attributes)
        return Taken(found, fed.codes[:, 0].copy())

    def labels(self, batch: Batch) -> NDArray[Any]:
        """Return a batch's labels as indices of the outputs that count; DataError for any other."""
        labels = _in_order(batch.y_true, self.order)
        return relabelled(labels, self.valid, n_classes=self.n_outputs, where="the data", index=batch.index)

    def _answers(self, inputs: Inputs, position: int, index: Index) -> tuple[NDArray[Any], str]:
        """Return what stands in the table for a batch: of ``fast`` full precision where it could matter."""
        if self.half is None:
            return self.outputs(inputs, position, index)
        if not self.half.asks_again:
            return self.outputs(inputs, position, index, half=self.half)[0], HALF
        outputs, _ = self.outputs(self.half.laid_out(inputs), position, index, half=self.half)
        dtype = f"{HALF}+{dtype_name(self.dtype or torch.float32)}"
        near, drawn = self.half.near(self.decision, outputs), self.half.drawn(index)
        rows = np.flatnonzero(near | drawn)
        if not len(rows):
            return outputs, dtype
        full, _ = self.outputs(reordered(inputs, rows), position, index[rows])
        self._compare(outputs[rows], full, near[rows], drawn[rows])
        merged = outputs.astype(np.result_type(outputs, full))
        merged[rows] = full
        return merged, dtype

    def _compare(
        self, quick: NDArray[Any], full: NDArray[Any], near: NDArray[np.bool_], drawn: NDArray[np.bool_]
    ) -> None:
        """Note what full precision says of samples that were asked again."""
        assert self.half is not None
        assert self.half.limit is not None
        again, errors = self.state.again, errors_of(self.decision, quick, full)
        before, after = (self.decision.decide(outputs)[0] for outputs in (quick, full))
        moved = before != after if before.ndim == 1 else (before != after).any(axis=1)
        again.n_near += int(near.sum())
        again.n_audited += int(drawn.sum())
        again.n_changed += int((moved & drawn & ~near).sum())
        again.largest = max(again.largest, float(errors.max()))
        again.excess = max(again.excess, self.half.limit.excess(errors, quick))

    def both(self, batch: Batch, half: Half) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the answers of half and of full precision to a batch, without counting anything."""
        inputs = moved(copied(batch.inputs), self.device, self.dtype)
        quick = self.outputs(half.laid_out(inputs), 0, batch.index, half=half)[0]
        return quick, self.outputs(inputs, 0, batch.index)[0]

    def outputs(
        self, inputs: Inputs, position: int, index: Index, *, half: Half | None = None
    ) -> tuple[NDArray[Any], str]:
        """Return what the model answers to inputs on its device, shape (n, K), and the type of its answer.

        Args:
            inputs: Of the samples.
            position: Of their batch.
            index: Their positions.
            half: How to compute in half precision; None for the model's own.

        Raises:
            InvalidRunError: The forward pass raised, or its outputs cannot be scored.
        """
        with nullcontext() if half is None else half.blamed():
            return self._outputs(inputs, position, index, half)

    def _outputs(
        self, inputs: Inputs, position: int, index: Index, half: Half | None
    ) -> tuple[NDArray[Any], str]:
        decision = self.decision
        single = decision.positive is not None
        called = self.model if half is None or self.quick is None else self.quick

        def answer(cut: slice) -> tuple[NDArray[Any], str]:
            with nullcontext() if half is None else half.autocast(self.device):
                found = _forward(called, some_of(inputs, cut), position, index[cut])
            scores = selected(found, self.select, self.default_select)
            n_samples = len(index[cut])
            host = host_array(scores, n_samples=n_samples, n_classes=self.n_outputs, single=single)
            return host, dtype_name(scores.dtype)

        pieces = in_halves(answer, len(index), position, fitting=self.fitting, halved=self.state.halved)
        outputs = pieces[0][0] if len(pieces) == 1 else np.concatenate([host for host, _ in pieces])
        check_finite(outputs, index)
        if decision.output == "probabilities":
            exclusive, tolerance = (
                decision.task != "multilabel",
                TOLERANCE if half is None else HALF_TOLERANCE,
            )
            check_probabilities(outputs, index, exclusive=exclusive, tolerance=tolerance)
        outputs = decision.two_columns(outputs)
        return outputs if self.valid is None else outputs[:, self.valid], pieces[0][1]

    def ask(self, inputs: Inputs) -> NDArray[Any]:
        """Answer once more, without counting anything; where it matters for ``fast``, in full precision."""
        moved_inputs = moved(inputs, self.device, self.dtype)
        n_samples = len(tensors_of(moved_inputs)[0])
        half = None if self.half is None or self.half.asks_again else self.half
        return self.outputs(moved_inputs, 0, np.arange(n_samples, dtype=np.int64), half=half)[0]


def _in_order(labels: NDArray[Any], order: Index | None) -> NDArray[Any]:
    """Return class indices, or the columns of label sets, in the order of the model's outputs."""
    if order is None:
        return labels
    return labels[:, np.argsort(order)] if labels.ndim == 2 else order[labels]  # noqa: PLR2004 - (n, L)


def relabelled(
    y_true: NDArray[Any], valid: Index | None, *, n_classes: int, where: str, index: Index | None = None
) -> NDArray[Any]:
    """Return labels as indices of the outputs that count; DataError for any other.

    Args:
        y_true: Class indices (n,), or label sets (n, L).
        valid: The outputs that count, or None for all.
        n_classes: Outputs of the model.
        where: Names the data.
        index: The rows' positions in the data.
    """
    if y_true.ndim == 2:  # noqa: PLR2004 - (n, L)
        return y_true if valid is None else y_true[:, valid]
    check_range(y_true, n_classes=n_classes, where=where, index=index)
    if valid is None:
        return y_true
    position = np.full(n_classes, -1)
    position[valid] = np.arange(len(valid))
    found = np.asarray(position[y_true])
    wrong = np.flatnonzero(found < 0)
    if wrong.size:
        rows = (np.arange(len(y_true)) if index is None else index)[wrong].tolist()
        raise DataError(
            f"{where}: {wrong.size} labels are outside model.valid_classes (rows {listed(rows, limit=5)})"
        )
    return found


def _forward(model: Callable[..., object], inputs: Inputs, position: int, index: Index) -> object:
    try:
        with noting("run"):
            return model(**inputs) if isinstance(inputs, dict) else model(*inputs)
    except EvalkitError:
        raise
    except (Exception, SystemExit) as error:
        if is_of_worker(error):
            raise
        if is_out_of_memory(error):
            raise OutOfMemoryError(reason_of(error)) from None
        shapes = ", ".join(f"{tuple(value.shape)} {dtype_name(value.dtype)}" for value in tensors_of(inputs))
        where = f"batch {position} (samples {index[0]} to {index[-1]}, input {shapes})"
        raise InvalidRunError(f"the model raised on {where}: {reason_of(error)}", check="forward") from error
