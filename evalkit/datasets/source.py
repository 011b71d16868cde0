"""What every source of samples looks like to the loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Batch:
    """Some samples.

    Attributes:
        index: Positions in the source, int64, shape (n,).
        inputs: What the model is called with, each of shape (n, ...).
        y_true: Class indices, int64, shape (n,).
    """

    index: NDArray[np.int64]
    inputs: tuple[torch.Tensor, ...]
    y_true: NDArray[np.int64]


class Source(Protocol):
    """Samples that can be counted and asked for by position."""

    @property
    def ids(self) -> Sequence[str] | None:
        """Sample ids, or None where samples are known by position."""

    @property
    def attributes(self) -> Mapping[str, NDArray[Any]]:
        """Further columns by name, each of shape (n,)."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def batch(self, index: NDArray[np.int64]) -> Batch:
        """Return the samples at some positions, in that order."""

    def facts(self) -> dict[str, Any]:
        """Return what the document says about the data."""
