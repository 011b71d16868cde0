"""Sized, indexed sources of samples, one module a source."""

from evalkit.datasets.npz import NpzSource, open_npz
from evalkit.datasets.opening import check_data, open_source
from evalkit.datasets.source import Batch, Identity, Inputs, Source

__all__ = [
    "Batch",
    "Identity",
    "Inputs",
    "NpzSource",
    "Source",
    "check_data",
    "open_npz",
    "open_source",
]
