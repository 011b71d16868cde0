"""Fills a model with the weights of a checkpoint: completely, or not at all."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.parameter import is_lazy

from evalkit.checkpoints.data import dtype_name
from evalkit.checkpoints.matching import Weights, find_weights
from evalkit.checkpoints.reader import Checkpoint
from evalkit.errors import CheckpointError, ModelError, listed, reason_of


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
            "format": self.checkpoint.contents.format,
            "sha256": self.checkpoint.sha256,
            "n_bytes": self.checkpoint.n_bytes,
            "file_integrity": self.checkpoint.integrity,
            "weights": self.weights.name or None,
            "prefix": self.weights.prefix or None,
            "not_read": list(self.checkpoint.contents.opaque),
            "outside_prefix": list(self.weights.outside),
            "missing_counters": list(self.weights.missing_counters),
            "casts": self.casts,
        }


def load_weights(
    model: torch.nn.Module, checkpoint: Checkpoint, *, weights: str | None = None
) -> LoadedWeights:
    """Load the one set of weights of a checkpoint that fits into the model, strictly.

    Args:
        model: Filled in place, on the device where it is.
        checkpoint: The file, read.
        weights: Which set, where several fit.

    Raises:
        CheckpointError: Nothing or too much fits, or a weight is not finite. The model is unchanged then.
        ModelError: The model keeps state that no file of tensors could fill.
    """
    path = checkpoint.path
    _check_model(model)
    own = {key: value for key, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    shapes = {key: tuple(value.shape) for key, value in own.items()}
    try:
        found = find_weights(checkpoint.contents.tree, shapes, wanted=weights)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error.message}", hint=error.hint) from error
    state = {key: checkpoint.tensor(data, name=key) for key, data in found.tensors.items()}
    _check_values(path, state)
    casts = Counter(
        f"{dtype_name(value.dtype)} -> {dtype_name(own[key].dtype)}"
        for key, value in state.items()
        if value.dtype != own[key].dtype
    )
    state |= {key: own[key] for key in found.missing_counters}
    _fill(model, state, path)
    return LoadedWeights(checkpoint, found, dict(casts))


def _check_model(model: torch.nn.Module) -> None:
    """Refuse what no file of tensors could fill completely."""
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


def _check_values(path: Path, state: dict[str, torch.Tensor]) -> None:
    for key, value in state.items():
        if value.is_complex():
            raise CheckpointError(f"{path}: {key} is complex, which is not read")
    broken = [key for key, value in state.items() if not bool(_finite(value))]
    if broken:
        raise CheckpointError(f"{path}: NaN or infinite values in {listed(broken)}")


def _finite(value: torch.Tensor) -> torch.Tensor:
    if not value.is_floating_point():
        return torch.tensor(data=True)
    wide = value if value.element_size() > 1 else value.to(torch.float32)  # float8 has no isfinite
    return torch.isfinite(wide).all()


def _fill(model: torch.nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    try:
        model.load_state_dict(state, strict=True)
    except Exception as error:
        raise CheckpointError(f"{path}: the model refused the weights: {reason_of(error)}") from error
