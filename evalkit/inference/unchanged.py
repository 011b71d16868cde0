"""Whether a model is the same after a run as before, to the bit."""

import hashlib

import torch

from evalkit.errors import InvalidRunError


def model_digest(model: torch.nn.Module) -> str:
    """Return the SHA-256 of all parameters and buffers, persistent or not, in the order of their names."""
    digest = hashlib.sha256()
    tensors = sorted([*model.named_parameters(), *model.named_buffers()], key=lambda item: item[0])
    for name, value in tensors:
        digest.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
        if value.layout == torch.strided and not value.is_meta:
            plain = value.detach().contiguous().cpu().reshape(-1).view(torch.uint8)
            digest.update(plain.numpy().data)
    return digest.hexdigest()


def check_unchanged(before: str, after: str) -> None:
    """Raise InvalidRunError where a forward pass changed the model."""
    if before != after:
        raise InvalidRunError(
            "the model's parameters or buffers changed during the run", check="model_unchanged"
        )
