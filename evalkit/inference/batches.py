"""The one global list of batches: consecutive positions, every one exactly once."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from evalkit.datasets import Batch, Inputs, Source
from evalkit.errors import DataError, EvalkitError, InvalidRunError

Index = NDArray[np.int64]


def batch_list(n_samples: int, batch_size: int) -> list[Index]:
    """Cut positions 0 to n - 1 into consecutive batches; the last may be shorter, none is dropped."""
    positions = np.arange(n_samples, dtype=np.int64)
    return [positions[start : start + batch_size] for start in range(0, n_samples, batch_size)]


class _Batches(Dataset[Batch]):
    """A data set whose items are whole batches, so that workers slice instead of collating."""

    def __init__(self, source: Source, batches: Sequence[Index]) -> None:
        self.source = source
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, position: int) -> Batch:
        return self.source.batch(self.batches[position])


def iterate_batches(source: Source, batches: Sequence[Index], *, workers: int) -> Iterator[Batch]:
    """Yield the batches in order.

    Args:
        source: The samples.
        batches: From :func:`batch_list`.
        workers: Loader processes; 0 loads in this one.

    Raises:
        DataError: A sample raised.
        InvalidRunError: A worker died.
    """
    data = _Batches(source, batches)
    if workers == 0:
        for position in range(len(data)):
            try:
                batch = data[position]
            except EvalkitError:
                raise
            except (Exception, SystemExit) as error:
                raise _sample_error(batches[position], error) from error
            yield batch
        return
    loader = DataLoader(data, batch_size=None, num_workers=workers, collate_fn=_as_it_is)
    iterator = iter(loader)
    for position in range(len(data)):
        try:
            batch = next(iterator)
        except RuntimeError as error:
            if is_of_worker(error):
                raise InvalidRunError(
                    f"a loader worker died while batch {position} was awaited: {first_line(error)}",
                    check="workers",
                ) from error
            raise _sample_error(batches[position], error) from error
        except (Exception, SystemExit) as error:
            raise _sample_error(batches[position], error) from error
        yield batch


def _as_it_is(batch: Any) -> Any:
    return batch


def _sample_error(index: Index, error: BaseException) -> DataError:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    reason = lines[-1] if lines else ""
    if isinstance(error, EvalkitError):  # raised in a worker, whose traceback came along
        return DataError(re.sub(r"^evalkit\.errors\.\w+: ", "", reason))
    return DataError(f"samples {index[0]} to {index[-1]} cannot be read: {type(error).__name__}: {reason}")


def is_of_worker(error: BaseException) -> bool:
    """Return whether torch says that a loader worker died; its signal handler raises in any statement."""
    text = str(error)
    return isinstance(error, RuntimeError) and text.startswith("DataLoader worker (pid")


def first_line(error: Exception) -> str:
    """Return the first line of what an error says."""
    return str(error).strip().splitlines()[0]


def moved(inputs: Inputs, device: torch.device, dtype: torch.dtype | None) -> Inputs:
    """Move inputs to the device; floating ones take the model's own floating type."""

    def move(value: torch.Tensor) -> torch.Tensor:
        return value.to(device, dtype if value.is_floating_point() else None, non_blocking=True)

    if isinstance(inputs, dict):
        return {name: move(value) for name, value in inputs.items()}
    return tuple(move(value) for value in inputs)


def copied(inputs: Inputs) -> Inputs:
    """Return inputs that share no memory with these."""
    if isinstance(inputs, dict):
        return {name: value.clone() for name, value in inputs.items()}
    return tuple(value.clone() for value in inputs)


def tensors_of(inputs: Inputs) -> list[torch.Tensor]:
    """List the tensors of inputs in a fixed order: by position, or by name."""
    if isinstance(inputs, dict):
        return [inputs[name] for name in sorted(inputs)]
    return list(inputs)
