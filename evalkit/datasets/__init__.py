"""Sized, indexed sources of samples, one module a source."""

from evalkit.datasets.npz import NpzSource, open_npz
from evalkit.datasets.opening import check_data, open_source
from evalkit.datasets.source import Batch, Inputs, Source, Unreadable

__all__ = [
    "Batch",
    "Inputs",
    "NpzSource",
    "Source",
    "Unreadable",
    "check_data",
    "open_npz",
    "open_source",
]
