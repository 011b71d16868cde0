"""Evaluate trained PyTorch classifiers: how good, how sure, and may it ship?"""

from typing import Any

__version__ = "0.1.0"

__all__ = ["Accumulator", "EvalResult", "__version__", "evaluate", "save_checkpoint", "score"]

_IN_API = frozenset({"Accumulator", "EvalResult", "evaluate", "score"})


def __getattr__(name: str) -> Any:
    """Load the public names on first use, so that ``import evalkit`` imports no third party."""
    if name == "save_checkpoint":
        from evalkit.checkpoints import declaration  # noqa: PLC0415

        return declaration.save_checkpoint
    if name not in _IN_API:
        raise AttributeError(f"module 'evalkit' has no attribute {name!r}")
    from evalkit import api  # noqa: PLC0415

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted(__all__)
