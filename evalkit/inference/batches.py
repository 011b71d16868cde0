"""The one global list of batches: consecutive positions, every one exactly once."""

import re
from collections.abc import Generator, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from evalkit.datasets import Batch, Inputs, Source
from evalkit.errors import DataError, EvalkitError, InvalidRunError

Index = NDArray[np.int64]
# How torch begins what a sample raised in a worker; anything else comes from the transport.
_RAISED_BY_SAMPLE = "in DataLoader worker process"


def batch_list(n_samples: int, batch_size: int, positions: Iterable[int] | None = None) -> list[Index]:
    """Cut samples 0 to n - 1 into consecutive batches; the last may be shorter, none is dropped.

    Args:
        n_samples: n.
        batch_size: Samples a batch.
        positions: Which batches to return; by default all.
    """
    wanted = range(-(-n_samples // batch_size)) if positions is None else positions
    starts = [position * batch_size for position in wanted]
    return [np.arange(start, min(start + batch_size, n_samples), dtype=np.int64) for start in starts]


class _Batches(Dataset[Batch]):
    """A data set whose items are whole batches, so that workers slice instead of collating."""

    def __init__(self, source: Source, batches: Sequence[Index]) -> None:
        self.source = source
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, position: int) -> Batch:
        return self.source.batch(self.batches[position])


def iterate_batches(
    source: Source,
    batches: Sequence[Index],
    *,
    workers: int,
    timeout: float = 0,
    numbers: Sequence[int] | None = None,
) -> Generator[Batch, None, None]:
    """Yield the batches in order; close the generator to end its workers.

    Args:
        source: The samples.
        batches: From :func:`batch_list`.
        workers: Loader processes; 0 loads in this one.
        numbers: What messages call the batches; by default their places in the list.
        timeout: Seconds after which a worker that gives no batch is taken to hang; 0 waits for ever.

    Raises:
        DataError: A sample raised.
        InvalidRunError: A worker died or hangs.
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
    loader = DataLoader(data, batch_size=None, num_workers=workers, collate_fn=_as_it_is, timeout=timeout)
    iterator: Any = iter(loader)
    try:
        for number, index in zip(numbers or range(len(batches)), batches, strict=True):
            try:
                batch = next(iterator)
            except (Exception, SystemExit) as error:
                if _RAISED_BY_SAMPLE in str(error):
                    raise _sample_error(index, error) from error
                raise _worker_error(number, index, error) from error
            yield batch
    finally:
        _stop(iterator)


def _worker_error(number: int, index: Index, error: BaseException) -> InvalidRunError:
    """Say what became of a worker: torch's own word on it, or a pipe that nobody holds any more."""
    said = first_line(error)
    what = "hangs" if said.startswith("DataLoader timed out") else "died"
    where = f"batch {number} (samples {index[0]} to {index[-1]})"
    return InvalidRunError(f"a loader worker {what} while {where} was awaited: {said}", check="workers")


def _stop(iterator: Any) -> None:
    """End the workers here, so that torch's signal handler raises for none of them anywhere later."""
    try:
        iterator._shutdown_workers()  # noqa: SLF001 - the public way is garbage collection, at no certain time
    except RuntimeError as error:
        if not is_of_worker(error):
            raise


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


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says; its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def moved(inputs: Inputs, device: torch.device, dtype: torch.dtype | None) -> Inputs:
    """Move inputs to the device; floating ones take the model's own floating type."""

    def move(value: torch.Tensor) -> torch.Tensor:
        return value.to(device, dtype if value.is_floating_point() else None, non_blocking=True)

    if isinstance(inputs, dict):
        return {name: move(value) for name, value in inputs.items()}
    return tuple(move(value) for value in inputs)


def pinned(inputs: Inputs) -> Inputs:
    """Return copies in memory that stays where it is, from which a GPU fetches without being waited for."""
    if isinstance(inputs, dict):
        return {name: value.pin_memory() for name, value in inputs.items()}
    return tuple(value.pin_memory() for value in inputs)


def reordered(inputs: Inputs, positions: Index) -> Inputs:
    """Return copies of some samples, in another order."""
    rows = torch.tensor(positions.tolist())
    if isinstance(inputs, dict):
        return {name: value[rows.to(value.device)] for name, value in inputs.items()}
    return tuple(value[rows.to(value.device)] for value in inputs)


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
