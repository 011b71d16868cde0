"""What every source of samples looks like to the loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.parts import Unreadable

# What the model is called with: positional tensors, or tensors by keyword; each of shape (n, ...).
Inputs = tuple[torch.Tensor, ...] | dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some samples; those that could not be read are named instead.

    Attributes:
        index: Positions in the source, int64, shape (n,).
        inputs: What the model is called with.
        y_true: Class indices, int64, shape (n,), or label sets as booleans, shape (n, L).
        ids: Sample ids, or None where samples are known by position.
        attributes: Further columns by name, each of shape (n,).
        unreadable: Samples of this batch that are not in it.
        modes: How many images of each mode were decoded.
    """

    index: NDArray[np.int64]
    inputs: Inputs
    y_true: NDArray[Any]
    ids: Sequence[str] | None = None
    attributes: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    unreadable: tuple[Unreadable, ...] = ()
    modes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one state of some data from another without decoding it.

    Attributes:
        content: The same wherever equal data lie: digests of arrays; names and sizes of images, and what
            is said of them.
        stamp: As of :meth:`Source.stamp`.
    """

    content: str
    stamp: str


class Source(Protocol):
    """Samples that can be counted and asked for by position."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def batch(self, index: NDArray[np.int64]) -> Batch:
        """Return the samples at some positions, in that order."""

    def labels(self) -> NDArray[Any] | None:
        """Return all class indices or label sets, where they are known before anything is read."""

    def facts(self) -> dict[str, Any]:
        """Return what the document says about the data."""

    def identity(self) -> Identity | None:
        """Return what tells these data from others; None where only reading them all would."""

    def stamp(self) -> str:
        """Return what changes when samples come, go, or are written again; cheap enough to be asked twice."""
