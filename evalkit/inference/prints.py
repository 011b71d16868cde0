"""The prints of inputs as a model is fed them, without running it."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.datasets import Inputs, Source
from evalkit.digests import input_codes
from evalkit.inference.batches import batch_list, iterate_batches, moved, tensors_of


def host_arrays(inputs: Inputs) -> list[NDArray[np.generic]]:
    """Return inputs on their device as host arrays, in a fixed order."""
    return [_host(value) for value in tensors_of(inputs)]


def prints_of(
    source: Source,
    *,
    batch_size: int,
    workers: int,
    dtype: torch.dtype | None,
    progress: Callable[[int, int], None],
) -> NDArray[np.uint64]:
    """Return 64 bits of each sample's keyed hash, uint64, shape (n,); unreadable samples have none.

    Args:
        source: The samples.
        batch_size, workers: How to read them.
        dtype: The model's floating type, which floating inputs take.
        progress: Called with (samples done, samples in all).
    """
    found, done = [np.zeros(0, np.uint64)], 0
    for batch in iterate_batches(source, batch_list(len(source), batch_size), workers=workers):
        done += len(batch.index) + len(batch.unreadable)
        if len(batch.index):
            fed = host_arrays(moved(batch.inputs, torch.device("cpu"), dtype))
            found.append(input_codes(fed)[:, 0])
        progress(done, len(source))
    return np.concatenate(found)


def _host(value: torch.Tensor) -> NDArray[np.generic]:
    plain = value.view(torch.int16) if value.dtype == torch.bfloat16 else value
    return np.asarray(plain.cpu().numpy())
