"""Fills a model with the weights of a checkpoint: completely, or not at all."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.parameter import is_lazy

from evalkit.checkpoints.data import dtype_name
from evalkit.checkpoints.matching import Weights, find_weights
from evalkit.checkpoints.reader import Checkpoint, located
from evalkit.display import visible
from evalkit.errors import CheckpointError, ModelError, listed, reason_of

_SHOWN_NAMES = 100


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """What was loaded, for the document.

    Attributes:
        checkpoint: The file.
        weights: The set of weights that was taken.
        casts: ``float16 -> float32`` to how many tensors were converted.
    """

    checkpoint: Checkpoint
    weights: Weights
    casts: dict[str, int]

    def facts(self) -> dict[str, object]:
        """Return the facts as they stand in a document."""
        return {
            **file_facts(self.checkpoint),
            "weights": self.weights.name or None,
            "prefix": self.weights.prefix or None,
            "whole_model": self.weights.module,
            "outside_prefix": _shortened(self.weights.outside),
            "missing_counters": list(self.weights.missing_counters),
            "casts": self.casts,
        }


def file_facts(checkpoint: Checkpoint) -> dict[str, object]:
    """Return what a document says of the file itself."""
    return {
        "format": checkpoint.contents.format,
        "sha256": checkpoint.sha256,
        "n_bytes": checkpoint.n_bytes,
        "file_integrity": checkpoint.integrity,
        "byteorder": checkpoint.contents.byteorder,
        "not_read": _shortened(checkpoint.contents.opaque),
    }


def _shortened(names: Sequence[str]) -> list[str]:
    """Return names that a file chose, as many as a reader wants to see."""
    shown = [visible(name) for name in names[:_SHOWN_NAMES]]
    rest = len(names) - _SHOWN_NAMES
    return [*shown, f"and {rest} more"] if rest > 0 else shown


def load_weights(
    model: torch.nn.Module, checkpoint: Checkpoint, *, weights: str | None = None
) -> LoadedWeights:
    """Load the one set of weights of a checkpoint that fits into the model, strictly.

    Args:
        model: Filled in place, on the device where it is.
        checkpoint: The file, read.
        weights: Which set, where several fit.

    Raises:
        CheckpointError: Nothing or too much fits, or a weight is not finite; the model is unchanged then. Or
            the model itself refuses them.
        ModelError: The model keeps state that no file of tensors could fill.
    """
    path = checkpoint.path
    check_filled(model)
    own = {key: value for key, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    shapes = {key: tuple(value.shape) for key, value in own.items()}
    with located(path):
        found = find_weights(checkpoint.contents.tree, shapes, wanted=weights)
    state = {key: checkpoint.tensor(data, name=key) for key, data in found.tensors.items()}
    _check_values(path, state, own)
    casts = _casts((value.dtype, own[key].dtype) for key, value in state.items())
    state |= {key: own[key] for key in found.missing_counters}
    _fill(model, state, path)
    return LoadedWeights(checkpoint, found, casts)


def casts_to(state: Mapping[str, torch.Tensor], dtype: torch.dtype) -> dict[str, int]:
    """Count the conversions of floating tensors into one type."""
    return _casts((value.dtype, dtype) for value in state.values() if value.is_floating_point())


def _casts(pairs: Iterable[tuple[torch.dtype, torch.dtype]]) -> dict[str, int]:
    texts = (f"{dtype_name(stored)} -> {dtype_name(own)}" for stored, own in pairs if stored != own)
    return dict(Counter(texts))


def check_filled(model: torch.nn.Module) -> None:
    """Raise ModelError for what no file of tensors could fill completely."""
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if is_lazy(value):
            raise ModelError(
                f"the model's {name} has no shape yet", hint="Build it with its sizes, not lazily"
            )
        if value.is_meta:
            raise ModelError(f"the model's {name} has no memory (the meta device)")
    extra = [key for key, value in model.state_dict().items() if not isinstance(value, torch.Tensor)]
    if extra:
        raise ModelError(f"the model keeps state that is no tensor ({listed(extra)}), which is not read")


def _check_values(path: Path, state: dict[str, torch.Tensor], own: dict[str, torch.Tensor]) -> None:
    """Refuse what is no number, and what the model's own types cannot hold."""
    for key, value in state.items():
        if value.is_complex():
            raise CheckpointError(f"{path}: {key} is complex, which is not read")
    check_finite(path, state)
    lost = [key for key, value in state.items() if not _fits_type(value, own[key].dtype)]
    if lost:
        first = f"{dtype_name(state[lost[0]].dtype)} to {dtype_name(own[lost[0]].dtype)}"
        raise CheckpointError(f"{path}: values would be lost in {first}, the model's type: {listed(lost)}")


def check_finite(path: Path, state: dict[str, torch.Tensor]) -> None:
    """Refuse weights that are no numbers."""
    broken = [key for key, value in state.items() if not is_finite(value)]
    if broken:
        raise CheckpointError(f"{path}: NaN or infinite values in {listed(broken)}")


def is_finite(value: torch.Tensor) -> bool:
    """Return whether every value of a tensor is a number; integers are."""
    if not value.is_floating_point():
        return True
    wide = value if value.element_size() > 1 else value.to(torch.float32)  # float8 has no isfinite
    return bool(torch.isfinite(wide).all())


def _fits_type(value: torch.Tensor, dtype: torch.dtype) -> bool:
    """Return whether a type holds every value: in range, and where one of the two is an integer, exactly."""
    if value.dtype == dtype or not value.numel():
        return True
    if value.is_floating_point() and dtype.is_floating_point:
        return float(value.to(torch.float64).abs().max()) <= torch.finfo(dtype).max
    cast = value.to(dtype)
    exact = bool((cast.to(value.dtype) == value).all())
    return exact and bool((cast.to(torch.float64) == value.to(torch.float64)).all())


def _fill(model: torch.nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    try:
        model.load_state_dict(state, strict=True)
    except Exception as error:
        raise CheckpointError(f"{path}: the model refused the weights: {reason_of(error)}") from error
