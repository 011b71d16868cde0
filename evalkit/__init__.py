"""Evaluate trained PyTorch classifiers: how good, how sure, and may it ship?"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_ROOMS = {
    "Accumulator": "api",
    "EvalResult": "api",
    "conv_output_size": "checkpoints.sizes",
    "conv_transpose_output_size": "checkpoints.sizes",
    "evaluate": "api",
    "pool_output_size": "checkpoints.sizes",
    "save_checkpoint": "checkpoints.declaration",
    "score": "api",
}

__all__ = [  # noqa: PLE0604 - the keys above are text
    "__version__",
    *_ROOMS,
]


def __getattr__(name: str) -> Any:
    """Load the public names on first use, so that ``import evalkit`` imports no third party."""
    if name not in _ROOMS:
        raise AttributeError(f"module 'evalkit' has no attribute {name!r}")
    return getattr(import_module(f"evalkit.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
