"""Half precision for all samples, and full precision for those that it could decide otherwise.

Which samples are measured, which are drawn to be compared, and which are asked again depends on the data
alone, so that a shard, or a run that goes on, gives a sample the answer that the whole run gives it.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.datasets import Inputs
from evalkit.decide import Decision

# So many of the first samples tell how large an error is; so many more are drawn, by the size of the data.
N_MEASURED = 128
_AUDITED_SHARE, _FEWEST, _MOST = 0.02, 100, 1_000
# A decision hangs on the difference of two outputs, each of which may be off by the largest error.
_SAFETY = 2
_IMAGES = 4

Outputs = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Half:
    """How half precision is used.

    Attributes:
        kind: ``amp`` takes its answers as they are; ``fast`` asks again.
        audited: Positions of the samples that are compared, sorted, int64.
        limit: The largest error that was measured; of ``fast`` None until it is.
    """

    kind: str
    audited: NDArray[np.int64]
    limit: float | None = None

    @property
    def asks_again(self) -> bool:
        """Whether some samples are asked again in full precision."""
        return self.kind == "fast"

    def near(self, decision: Decision, outputs: Outputs) -> NDArray[np.bool_]:
        """Return which samples another answer of full precision could decide otherwise, shape (n,)."""
        assert self.limit is not None
        return decision.margins(outputs) <= _SAFETY * self.limit

    def drawn(self, index: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which samples were drawn to be compared, shape (n,)."""
        return np.isin(index, self.audited, kind="sort")


def half_of(kind: str, n_samples: int, seed: int) -> Half | None:
    """Return how half precision is used; None where it is not.

    Args:
        kind: Of the specification: exact, amp or fast.
        n_samples: Of all shards.
        seed: Draws the samples that are compared.
    """
    if kind == "exact":
        return None
    size = min(n_samples, max(_FEWEST, min(_MOST, round(_AUDITED_SHARE * n_samples))))
    drawn = np.random.default_rng([seed, n_samples]).choice(n_samples, size, replace=False)
    return Half(kind, np.sort(drawn).astype(np.int64))


def largest_error(decision: Decision, pairs: Iterable[tuple[Outputs, Outputs]]) -> float:
    """Return the largest difference of what decisions hang on; infinite where there is nothing to compare."""
    found = [np.abs(decision.deciding(one) - decision.deciding(other)).max() for one, other in pairs]
    return float(max(found, default=np.inf))


def half_precision(device: torch.device) -> AbstractContextManager[object]:
    """Let torch compute in bfloat16 where it takes that to be harmless."""
    return torch.autocast(device.type, torch.bfloat16)


def laid_out(inputs: Inputs) -> Inputs:
    """Return copies of inputs, pictures with their channels last, which is faster in bfloat16."""

    def lay(value: torch.Tensor) -> torch.Tensor:
        pictures = value.ndim == _IMAGES and value.is_floating_point()
        return value.clone(memory_format=torch.channels_last if pictures else torch.preserve_format)

    if isinstance(inputs, dict):
        return {name: lay(value) for name, value in inputs.items()}
    return tuple(lay(value) for value in inputs)
