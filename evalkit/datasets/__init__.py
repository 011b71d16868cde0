"""Sized, indexed sources of samples, one module a source."""

from evalkit.datasets.npz import open_npz
from evalkit.datasets.source import Batch, Source

__all__ = ["Batch", "Source", "open_npz"]
