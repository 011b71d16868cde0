"""Batches that do not fit in memory: noticed in any of torch's words for it, and cut in halves."""

import re
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from evalkit.datasets import Inputs
from evalkit.errors import InvalidRunError

Answer = TypeVar("Answer")
_SAYINGS = ("out of memory", "can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out, on a device or on the host."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(saying in str(error).lower() for saying in _SAYINGS)


def peak_memory_mb(device: torch.device) -> float | None:
    """Return the most memory that was held so far, in 2**20 bytes: on CUDA the device's, else the process's.

    None where the system does not tell.
    """
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    try:  # not getrusage, which remembers the parent's
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return None if found is None else round(int(found[1]) / 2**10, 1)


class OutOfMemoryError(Exception):
    """A forward pass ran out of memory."""


@dataclass(slots=True)
class Fitting:
    """How many samples fit into memory at once, as far as is known."""

    largest: int | None = None


def in_halves(
    run: Callable[[slice], Answer],
    n_samples: int,
    position: int,
    *,
    fitting: Fitting,
    halved: MutableMapping[int, int],
) -> list[Answer]:
    """Run over a batch, and over ever smaller cuts of it while memory runs out; later batches keep the size.

    Args:
        run: Answers some of the samples; nothing may be counted inside.
        n_samples: Of the batch.
        position: Of the batch.
        fitting: What is known of earlier batches.
        halved: Takes the size that fitted, by batch.

    Raises:
        InvalidRunError: A single sample does not fit.
    """
    size = n_samples if fitting.largest is None else min(n_samples, fitting.largest)
    while True:
        try:
            return [run(cut) for cut in _cuts(n_samples, size)]
        except OutOfMemoryError as error:
            if size == 1:
                raise InvalidRunError(
                    f"memory ran out for a single sample of batch {position}: {error}", check="forward"
                ) from error
        # Outside of the handler: the exception would keep what the failed pass allocated.
        size = halved[position] = fitting.largest = -(-size // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def some_of(inputs: Inputs, cut: slice) -> Inputs:
    """Return views of some samples."""
    if isinstance(inputs, dict):
        return {name: value[cut] for name, value in inputs.items()}
    return tuple(value[cut] for value in inputs)


def _cuts(n_samples: int, size: int) -> Iterator[slice]:
    for start in range(0, n_samples, size):
        yield slice(start, start + size)
