"""The state that a model is measured in: device, eval mode on every submodule, no gradients, the seed."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from evalkit.errors import InvalidRunError, SpecificationError, listed


def pick_device(name: str, *, local_rank: int | None = None) -> torch.device:
    """Return the device of a specification; ``auto`` is CUDA, then MPS, then the CPU.

    Args:
        name: As the specification says.
        local_rank: Which of several processes on this machine: ``auto`` gives each a GPU of its own.
    """
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
        return torch.device("cuda") if local_rank is None else _own_gpu(local_rank)
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _own_gpu(local_rank: int) -> torch.device:
    """Return a process's own GPU, and make it the one that code means which names none."""
    device = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


@contextmanager
def reproducible() -> Iterator[None]:
    """Compute the same bits each time where torch offers it: no TF32, no autotuning, deterministic kernels.

    Everything is as it was afterwards. Operations without a deterministic kernel run as they are; the audit
    sees whether that changes an answer.
    """
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    found = cuda.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic
    try:
        cuda.allow_tf32 = cudnn.allow_tf32 = cudnn.benchmark = False
        cudnn.deterministic = True
        with _deterministic_kernels() if torch.cuda.is_available() else nullcontext():
            yield
    finally:
        cuda.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = found


@contextmanager
def _deterministic_kernels() -> Iterator[None]:
    """Choose them on CUDA; the CPU's give the same bits anyway, and asking loads torch's compiler."""
    strict = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
        torch.use_deterministic_algorithms(mode=True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(mode=strict, warn_only=warns)


def flags() -> dict[str, Any]:
    """Return what decides which bits are computed, as :func:`reproducible` holds it."""
    with reproducible():
        return {
            "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
            "tf32": torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "matmul_precision": torch.get_float32_matmul_precision(),
            "threads": torch.get_num_threads(),
        }


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
        with torch.inference_mode(), reproducible():
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
