"""Sized, indexed sources of samples, one module a source."""

from evalkit.datasets.labels import check_range
from evalkit.datasets.npz import NpzSource, open_npz
from evalkit.datasets.source import Batch, Source

__all__ = ["Batch", "NpzSource", "Source", "check_range", "open_npz"]
