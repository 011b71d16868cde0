"""The loop: batches in, predictions out, each sample exactly once or no number at all."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.checkpoints.data import dtype_name
from evalkit.datasets import Batch, Inputs, Unreadable
from evalkit.decide import Decision
from evalkit.digests import OrderFreeDigest, array_items, item_codes
from evalkit.errors import DataError, EvalkitError, InvalidRunError, listed, reason_of
from evalkit.inference.batches import is_of_worker, moved, tensors_of
from evalkit.inference.outputs import check_finite, check_probabilities, host_array, selected
from evalkit.inference.prints import host_arrays
from evalkit.inference.statistics import InputStatistics
from evalkit.labels import check_range
from evalkit.ledger import PredictionBatch

Index = NDArray[np.int64]


@dataclass(slots=True)
class Inference:
    """What the loop learned beside the predictions; filled while it runs.

    Attributes:
        seen: How often each position was seen.
        inputs: The digest of what the model was fed.
        prints: 64 bits of each sample's part of it, in the ledger's order.
        n_ties: Samples that the decision rule could have decided either way.
        output_dtype: The type that the model answered in.
        input_cast: ``float64 -> float32`` where inputs took the model's floating type.
        statistics: Mean, standard deviation and range of what the model was fed.
        unreadable: Samples that could not be read, in order.
        modes: How many images of each mode were decoded.
    """

    seen: NDArray[np.uint8]
    inputs: OrderFreeDigest = field(default_factory=OrderFreeDigest)
    prints: list[NDArray[np.uint64]] = field(default_factory=list)
    n_ties: int = 0
    output_dtype: str = ""
    input_cast: str | None = None
    statistics: InputStatistics = field(default_factory=InputStatistics)
    unreadable: list[Unreadable] = field(default_factory=list)
    modes: Counter[str] = field(default_factory=Counter)

    @property
    def n_evaluated(self) -> int:
        """Samples that were read and run."""
        return int((self.seen > 0).sum()) - len(self.unreadable)

    def check_complete(self) -> None:
        """Raise InvalidRunError unless every position was seen exactly once."""
        wrong = np.flatnonzero(self.seen != 1)
        if wrong.size:
            raise InvalidRunError(
                f"{wrong.size} samples were not seen exactly once (first: {int(wrong[0])})", check="seen_once"
            )


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
    """

    model: Callable[..., object]
    decision: Decision
    n_outputs: int
    select: int | str | None
    device: torch.device
    dtype: torch.dtype | None
    exclude: bool
    state: Inference
    default_select: str | None = None
    valid: Index | None = None
    order: Index | None = None

    def take(self, position: int, batch: Batch) -> PredictionBatch | None:
        """Run the model over one batch; None where none of it can be used.

        Args:
            position: Of the batch.
            batch: The samples.

        Raises:
            DataError: A label is outside the classes.
            InvalidRunError: The forward pass raised, or its outputs cannot be scored.
        """
        state, decision = self.state, self.decision
        state.modes.update(batch.modes)
        state.unreadable += batch.unreadable
        np.add.at(state.seen, [lost.index for lost in batch.unreadable], 1)
        if not len(batch.index) or (state.unreadable and not self.exclude):
            return None  # what else cannot be read is still of interest, numbers are not
        y_true = self.labels(batch)
        inputs = moved(batch.inputs, self.device, self.dtype)
        fed = host_arrays(inputs)
        codes = item_codes(array_items(fed))
        state.inputs += OrderFreeDigest.of_codes(codes)
        state.prints.append(codes[:, 0].copy())
        state.statistics.add(fed[0])
        outputs, state.output_dtype = self.outputs(inputs, position, batch.index)
        y_pred, n_ties = decision.decide(outputs)
        np.add.at(state.seen, batch.index, 1)
        state.n_ties += n_ties
        state.input_cast = _cast(tensors_of(batch.inputs), tensors_of(inputs))
        return PredictionBatch(batch.index, y_true, y_pred, outputs, batch.ids, batch.attributes)

    def labels(self, batch: Batch) -> NDArray[Any]:
        """Return a batch's labels as indices of the outputs that count; DataError for any other."""
        labels = _in_order(batch.y_true, self.order)
        return relabelled(labels, self.valid, n_classes=self.n_outputs, where="the data", index=batch.index)

    def outputs(self, inputs: Inputs, position: int, index: Index) -> tuple[NDArray[Any], str]:
        """Return what the model answers to inputs on its device, shape (n, K), and the type of its answer.

        Raises:
            InvalidRunError: The forward pass raised, or its outputs cannot be scored.
        """
        decision = self.decision
        answer = _forward(self.model, inputs, position, index)
        scores = selected(answer, self.select, self.default_select)
        single = decision.positive is not None
        outputs = host_array(scores, n_samples=len(index), n_classes=self.n_outputs, single=single)
        check_finite(outputs, index)
        if decision.output == "probabilities":
            check_probabilities(outputs, index, exclusive=decision.task != "multilabel")
        outputs = decision.two_columns(outputs)
        return outputs if self.valid is None else outputs[:, self.valid], dtype_name(scores.dtype)

    def ask(self, inputs: Inputs) -> NDArray[Any]:
        """Answer once more, without counting anything."""
        moved_inputs = moved(inputs, self.device, self.dtype)
        n_samples = len(tensors_of(moved_inputs)[0])
        return self.outputs(moved_inputs, 0, np.arange(n_samples, dtype=np.int64))[0]

    def check_readable(self) -> None:
        """Raise DataError where a sample could not be read and must not be left out."""
        if self.state.unreadable and not self.exclude:
            raise unreadable_error(self.state.unreadable, len(self.state.seen))


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


def unreadable_error(unreadable: Sequence[Unreadable], n_samples: int) -> DataError:
    """Say how many samples cannot be read, which are the first, and why."""
    shown = listed([f"{lost.name}: {lost.reason}" for lost in unreadable], limit=5)
    return DataError(
        f"{len(unreadable)} of {n_samples} cannot be read ({shown})",
        hint="Repair them, or set data.on_unreadable to exclude",
    )


def _forward(model: Callable[..., object], inputs: Inputs, position: int, index: Index) -> object:
    try:
        return model(**inputs) if isinstance(inputs, dict) else model(*inputs)
    except EvalkitError:
        raise
    except (Exception, SystemExit) as error:
        if is_of_worker(error):
            raise
        shapes = ", ".join(f"{tuple(value.shape)} {dtype_name(value.dtype)}" for value in tensors_of(inputs))
        where = f"batch {position} (samples {index[0]} to {index[-1]}, input {shapes})"
        raise InvalidRunError(f"the model raised on {where}: {reason_of(error)}", check="forward") from error


def _cast(before: list[torch.Tensor], after: list[torch.Tensor]) -> str | None:
    for old, new in zip(before, after, strict=True):
        if old.dtype != new.dtype:
            return f"{dtype_name(old.dtype)} -> {dtype_name(new.dtype)}"
    return None
