"""Asks a model again: an answer must not depend on chance, on its neighbours, or on the order of a batch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.datasets import Batch, Inputs, Source
from evalkit.decide import Decision
from evalkit.errors import InvalidRunError, ModelError, reason_of
from evalkit.inference.batches import reordered, tensors_of
from evalkit.integrity import IntegrityLog

# How many of the first samples are asked again: twice as they were, in reverse order, in sevens, and singly.
N_TWICE, N_REVERSED, N_SEVENS, N_SINGLE = 20, 12, 14, 4
N_READ_AGAIN = 8
_SEVEN = 7
# Of the outputs' standard deviation; what batches of other sizes change in the last bits is far below.
SHARE, HALF_SHARE = 1e-3, 5e-2
_HALF = ("float16", "bfloat16")
_LAST_BITS = 64 * float(np.finfo(np.float32).eps)

Outputs = NDArray[np.floating]
Ask = Callable[[Inputs], Outputs]


@dataclass(frozen=True, slots=True)
class Auditor:
    """Compares answers to the same samples.

    Attributes:
        ask: Runs the model over inputs and gives host outputs, shape (n, K).
        decision: From outputs to classes.
        dtype: The type that the model answers in.
        on_cpu: Whether equal batches give equal bits.
    """

    ask: Ask
    decision: Decision
    dtype: str
    on_cpu: bool

    def audit(self, inputs: Inputs, recorded: Outputs, integrity: IntegrityLog) -> None:
        """Ask again about some samples of one batch.

        Args:
            inputs: Of the batch's first samples.
            recorded: What was answered to them in the batch.
            integrity: Takes what is found.

        Raises:
            InvalidRunError: The answers depend on chance, or on the other samples of a batch.
        """
        n = min(N_TWICE, len(recorded))
        first = self.ask(reordered(inputs, np.arange(n)))
        again = self.ask(reordered(inputs, np.arange(n)))
        limit = self._limit(first)
        self._check_twice(first, again, limit)
        integrity.ok(["deterministic"])
        moved = self._moved(first, recorded[:n], limit, "in the run's own batch")
        for order, what in _regroupings(n):
            try:
                answers = np.concatenate([self.ask(reordered(inputs, part)) for part in order])
            except (InvalidRunError, ModelError) as error:
                # No batch of the run was of this size, so its numbers stand; other sizes have none.
                text = f"the model cannot be asked {what}: {error.message}"
                integrity.record("batch_independent", "warn", text)
                continue
            moved += self._moved(first[np.concatenate(order)], answers, limit, what)
        if moved:
            integrity.record(
                "batch_independent", "warn", f"{moved} predictions move with the batch, at near-ties"
            )
        integrity.ok(["batch_independent"])

    def _limit(self, outputs: Outputs) -> float:
        share = HALF_SHARE if self.dtype in _HALF else SHARE
        wide = outputs.astype(np.float64)
        return max(share * float(wide.std()), _LAST_BITS * float(np.abs(wide).max()))

    def _check_twice(self, first: Outputs, again: Outputs, limit: float) -> None:
        largest = _difference(first, again)
        if largest <= limit and not (self.on_cpu and largest):
            return
        rows = int((first != again).any(axis=1).sum())
        raise InvalidRunError(
            f"the same batch twice gives other answers for {rows} of {len(first)} samples "
            f"(by up to {largest:.2g}): something in the model is random in eval mode",
            check="deterministic",
            hint="F.dropout needs training=self.training; a model that is meant to be random needs "
            "run.stochastic: true",
        )

    def _moved(self, expected: Outputs, answers: Outputs, limit: float, what: str) -> int:
        """Return how many predictions moved inside the limit; beyond it the run is invalid."""
        before, after = (self.decision.decide(outputs)[0] for outputs in (expected, answers))
        moved = before != after if before.ndim == 1 else (before != after).any(axis=1)
        largest = _difference(expected, answers)
        if largest > limit:
            raise InvalidRunError(
                f"answers depend on the rest of the batch: {what} they change by up to {largest:.2g}, "
                f"and {int(moved.sum())} of {len(answers)} predictions",
                check="batch_independent",
                hint="BatchNorm without running statistics, or an operation across samples, does this",
            )
        return int(moved.sum())


def check_repeatable(source: Source, batch: Batch) -> None:
    """Read the first samples of a batch again.

    Raises:
        InvalidRunError: Another input or label comes back: something in the data set is random.
    """
    index = batch.index[:N_READ_AGAIN]
    try:
        again = source.batch(index)
    except (Exception, SystemExit) as error:
        raise InvalidRunError(
            f"sample {index[0]} cannot be read a second time: {reason_of(error)}", check="data_repeatable"
        ) from error
    pairs = zip(tensors_of(batch.inputs), tensors_of(again.inputs), strict=False)
    same = all(torch.equal(first[: len(index)], second) for first, second in pairs)
    if same and np.array_equal(batch.y_true[: len(index)], again.y_true):
        return
    raise InvalidRunError(
        f"samples {index[0]} to {index[-1]} are not the same when they are read again",
        check="data_repeatable",
        hint="Random augmentation belongs to training; a data set that is meant to be random needs "
        "run.stochastic: true",
    )


def _regroupings(n: int) -> Iterator[tuple[list[NDArray[np.int64]], str]]:
    """Yield other ways to make batches of the first samples: lists of positions, and what they are."""
    positions = np.arange(n, dtype=np.int64)
    yield [positions[:N_REVERSED][::-1]], "in reverse order"
    yield (
        [part for k in range(0, min(n, N_SEVENS), _SEVEN) if len(part := positions[k : k + _SEVEN])],
        "in sevens",
    )
    yield [positions[k : k + 1] for k in range(min(n, N_SINGLE))], "singly"


def _difference(a: Outputs, b: Outputs) -> float:
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max(initial=0.0))
