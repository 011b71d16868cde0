"""The loop: batches in, predictions out, each sample exactly once or no number at all."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.checkpoints.data import dtype_name
from evalkit.datasets import Source
from evalkit.digests import OrderFreeDigest, array_items
from evalkit.errors import EvalkitError, InvalidRunError, reason_of
from evalkit.inference.batches import iterate_batches, moved
from evalkit.inference.decide import Decision
from evalkit.inference.outputs import check_finite, check_probabilities, host_array, selected
from evalkit.ledger import PredictionBatch

Index = NDArray[np.int64]


@dataclass(slots=True)
class Inference:
    """What the loop learned beside the predictions; filled while it runs.

    Attributes:
        seen: How often each position was seen.
        inputs: The digest of what the model was fed.
        n_ties: Samples that the decision rule could have decided either way.
        output_dtype: The type that the model answered in.
        input_cast: ``float64 -> float32`` where inputs took the model's floating type.
    """

    seen: NDArray[np.uint8]
    inputs: OrderFreeDigest = field(default_factory=OrderFreeDigest)
    n_ties: int = 0
    output_dtype: str = ""
    input_cast: str | None = None

    def check_complete(self) -> None:
        """Raise InvalidRunError unless every position was seen exactly once."""
        wrong = np.flatnonzero(self.seen != 1)
        if wrong.size:
            raise InvalidRunError(
                f"{wrong.size} samples were not seen exactly once (first: {int(wrong[0])})", check="seen_once"
            )


def predict(
    model: Callable[..., object],
    source: Source,
    batches: Sequence[Index],
    *,
    decision: Decision,
    n_classes: int,
    select: int | str | None,
    device: torch.device,
    dtype: torch.dtype | None,
    workers: int,
    state: Inference,
) -> Iterator[PredictionBatch]:
    """Run the model over a batch list and yield host arrays.

    Args:
        model: In eval mode and inference mode already.
        source: The samples.
        batches: Positions, batch by batch.
        decision: The rule from scores to classes.
        n_classes: K.
        select: Which part of the model's output holds the scores.
        device, dtype: Where the model is, and its floating type.
        workers: Loader processes.
        state: Filled on the way.

    Raises:
        InvalidRunError: The forward pass raised, or its outputs cannot be scored.
    """
    for position, batch in enumerate(iterate_batches(source, batches, workers=workers)):
        inputs = moved(batch.inputs, device, dtype)
        state.inputs += OrderFreeDigest.of(array_items([_host(value) for value in inputs]))
        raw = _forward(model, inputs, position, batch.index)
        scores = selected(raw, select)
        outputs = host_array(scores, n_samples=len(batch.index), n_classes=n_classes)
        check_finite(outputs, batch.index)
        if decision.output == "probabilities":
            check_probabilities(outputs, batch.index)
        y_pred, n_ties = decision.decide(outputs)
        np.add.at(state.seen, batch.index, 1)
        state.n_ties += n_ties
        state.output_dtype = dtype_name(scores.dtype)
        state.input_cast = _cast(batch.inputs, inputs)
        yield PredictionBatch(
            index=batch.index,
            y_true=batch.y_true,
            y_pred=y_pred,
            outputs=outputs,
            ids=None if source.ids is None else [source.ids[i] for i in batch.index.tolist()],
            attributes={name: values[batch.index] for name, values in source.attributes.items()},
        )


def _forward(
    model: Callable[..., object], inputs: tuple[torch.Tensor, ...], position: int, index: Index
) -> object:
    try:
        return model(*inputs)
    except EvalkitError:
        raise
    except (Exception, SystemExit) as error:
        shapes = ", ".join(f"{tuple(value.shape)} {dtype_name(value.dtype)}" for value in inputs)
        where = f"batch {position} (samples {index[0]} to {index[-1]}, input {shapes})"
        raise InvalidRunError(f"the model raised on {where}: {reason_of(error)}", check="forward") from error


def _host(value: torch.Tensor) -> NDArray[np.generic]:
    plain = value.view(torch.int16) if value.dtype == torch.bfloat16 else value
    return np.asarray(plain.cpu().numpy())


def _cast(before: tuple[torch.Tensor, ...], after: tuple[torch.Tensor, ...]) -> str | None:
    for old, new in zip(before, after, strict=True):
        if old.dtype != new.dtype:
            return f"{dtype_name(old.dtype)} -> {dtype_name(new.dtype)}"
    return None
