"""The layer table of a model, looked at with a few of the very samples that it was evaluated on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from evalkit.checkpoints.architecture import inspect_architecture
from evalkit.datasets import Inputs
from evalkit.errors import reason_of
from evalkit.inference.batches import moved, reordered, tensors_of
from evalkit.inference.mode import evaluation_mode

# One sample, so that what is computed once a pass counts once; two where the model cannot take one.
N_SAMPLES = 2
MAX_LAYERS = 2_000


def random_inputs(sizes: Sequence[int]) -> Inputs:
    """Return random samples of a shape, the same ones each time."""
    return (torch.rand(N_SAMPLES, *sizes, generator=torch.Generator().manual_seed(0)),)


def anatomy(
    model: torch.nn.Module, inputs: Inputs, device: torch.device, dtype: torch.dtype | None
) -> dict[str, Any]:
    """Return the layer table as a document holds it; ``not_available`` with a reason where there is none.

    Args:
        model: As it was evaluated; given back as it was found, random state included.
        inputs: Of a few samples.
        device, dtype: Where the model is, and its floating type.
    """
    found: dict[str, Any] = {}
    for n in range(1, min(N_SAMPLES, len(tensors_of(inputs)[0])) + 1):
        # Copied again: tensors of inference mode take no change in place.
        fed = moved(reordered(inputs, np.arange(n)), device, dtype)
        try:
            with torch.random.fork_rng(devices=[]), evaluation_mode(model):
                found = inspect_architecture(model, fed).facts()
            break
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the model's own code, with the numbers known
            reason = reason_of(error)
    if not found:
        return {"not_available": reason}
    layers = found["layers"]
    return {**found, "n_layers": len(layers), "layers": layers[:MAX_LAYERS]}
