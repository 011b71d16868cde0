"""The state that a model is measured in: device, eval mode on every submodule, no gradients, the seed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from evalkit.errors import InvalidRunError, SpecificationError, listed


def pick_device(name: str) -> torch.device:
    """Return the device of a specification; ``auto`` is CUDA, then MPS, then the CPU."""
    if name != "auto":
        device = torch.device(name)
        available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if not available.get(device.type, True):
            raise SpecificationError(f"device {name!r} is not available on this machine")
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise SpecificationError(
                f"device {name!r}: this machine has {torch.cuda.device_count()} CUDA devices"
            )
        return device
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@contextmanager
def evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    """Hold a model in eval mode and inference mode, and give it back as it was found.

    Raises:
        InvalidRunError: A submodule stays in train mode although ``eval()`` was called, or is in train mode
            afterwards.
    """
    found = {name: module.training for name, module in model.named_modules()}
    try:
        model.eval()
        check_eval_mode(model, "although eval() was called")
        with torch.inference_mode():
            yield
        check_eval_mode(model, "after the run")
    finally:
        for name, module in model.named_modules():
            module.training = found.get(name, module.training)


def check_eval_mode(model: torch.nn.Module, when: str) -> None:
    """Raise InvalidRunError with the names of submodules that are in train mode."""
    training = [name or "(the model)" for name, module in model.named_modules() if module.training]
    if training:
        raise InvalidRunError(
            f"{len(training)} modules are in train mode {when}: {listed(training)}", check="eval_mode"
        )
