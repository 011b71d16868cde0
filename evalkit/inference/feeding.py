"""Feeds a model: batches in its own type with their codes, made while it works on the ones before."""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.checkpoints.data import dtype_name
from evalkit.datasets import Batch, Inputs
from evalkit.digests import input_codes
from evalkit.inference.batches import moved, pinned, tensors_of
from evalkit.inference.prints import host_arrays

_HOST = torch.device("cpu")
# Small batches are read together: one call has as much to do as it costs to make.
_TOGETHER = 1 << 22


@dataclass(frozen=True, slots=True)
class Fed:
    """A batch as a model is fed it.

    Attributes:
        batch: The samples as they were read.
        inputs: Floating ones in the model's own type.
        codes: Of each sample's inputs, uint64, shape (n, 2).
        first: The model's first input as a host array; None where no sample can be read.
    """

    batch: Batch
    inputs: Inputs
    codes: NDArray[np.uint64]
    first: NDArray[np.generic] | None

    @classmethod
    def of(cls, batch: Batch, dtype: torch.dtype | None) -> "Fed":
        """Prepare one batch.

        Args:
            batch: As it was read.
            dtype: The model's floating type, which floating inputs take; None where it has none.
        """
        return _fed([batch], dtype)[0]

    @property
    def cast(self) -> str | None:
        """How inputs were cast, as ``float64 -> float32``; None where they were not."""
        for old, new in zip(tensors_of(self.batch.inputs), tensors_of(self.inputs), strict=True):
            if old.dtype != new.dtype:
                return f"{dtype_name(old.dtype)} -> {dtype_name(new.dtype)}"
        return None


Make = Callable[[list[Batch]], list[Fed]]


def feed(
    batches: Generator[Batch, None, None],
    *,
    dtype: torch.dtype | None,
    ahead: bool,
    pin: bool = False,
) -> Generator[Fed, None, None]:
    """Yield batches in order, ready to be fed; close the generator to end what reads them.

    Args:
        batches: Of the list; what they raise is raised here, after the batches before.
        dtype: The model's floating type.
        ahead: Read and prepare in a thread, some batches ahead: not for code of the user's, which may draw
            from a generator that the model draws from, too.
        pin: Put inputs where a GPU fetches them while it computes.
    """
    make = partial(_fed, dtype=dtype, pin=pin)
    if not ahead:
        with closing(batches):
            for batch in batches:
                yield from make([batch])
        return
    groups = _groups(batches, make)
    pool = ThreadPoolExecutor(1, "evalkit-feed")
    try:
        pending = pool.submit(_next, groups)
        while (group := pending.result()) is not None:
            pending = pool.submit(_next, groups)
            yield from group
    finally:
        pool.shutdown()
        groups.close()
        batches.close()


def _next(groups: Iterator[list[Fed]]) -> list[Fed] | None:
    with torch.inference_mode():  # a mode of the thread
        return next(groups, None)


def _groups(batches: Iterator[Batch], make: Make) -> Generator[list[Fed], None, None]:
    """Yield neighbours that are small together; what raises comes after the ones that were read."""
    waiting: list[Batch] = []
    try:
        for batch in batches:
            if waiting and not _alike(waiting[0], batch):
                yield make(waiting)
                waiting = []
            waiting.append(batch)
            if _size(waiting[0]) * len(waiting) >= _TOGETHER:
                yield make(waiting)
                waiting = []
    except Exception:
        if waiting:
            yield make(waiting)
        raise
    if waiting:
        yield make(waiting)


def _size(batch: Batch) -> int:
    return sum(value.nbytes for value in tensors_of(batch.inputs))


def _alike(one: Batch, other: Batch) -> bool:
    kinds = ([(value.dtype, value.shape[1:]) for value in tensors_of(batch.inputs)] for batch in (one, other))
    first, second = kinds
    return first == second and type(one.inputs) is type(other.inputs)


def _fed(batches: list[Batch], dtype: torch.dtype | None, *, pin: bool = False) -> list[Fed]:
    """Prepare batches whose inputs are of the same types and shapes."""
    inputs = [moved(batch.inputs, _HOST, dtype) for batch in batches]
    arrays = [host_arrays(one) for one in inputs]
    together = (
        arrays[0] if len(arrays) == 1 else [np.concatenate(parts) for parts in zip(*arrays, strict=True)]
    )
    codes = input_codes(together) if together else np.zeros((0, 2), np.uint64)
    stops = np.cumsum([len(parts[0]) if parts else 0 for parts in arrays])
    return [
        Fed(
            batch,
            pinned(one) if pin else one,
            codes[stop - len(parts[0]) if parts else stop : stop],
            parts[0] if parts else None,
        )
        for batch, one, parts, stop in zip(batches, inputs, arrays, stops.tolist(), strict=True)
    ]
