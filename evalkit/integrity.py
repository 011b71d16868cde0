"""The checks that say whether the numbers can be trusted."""

import hashlib
from collections.abc import Sequence

import torch

from evalkit.errors import InvalidRunError
from evalkit.result import IntegrityRow, Status

# The checks of a run, in the order in which they are reported.
CHECKS = {
    "file_integrity": "the checkpoint file carries checksums, and they hold",
    "eval_mode": "every submodule is in eval mode before and after",
    "forward": "the model answered every batch",
    "workers": "no loader process died",
    "finite_outputs": "no output is NaN or infinite",
    "probabilities": "declared probabilities lie in [0, 1] and sum to 1",
    "seen_once": "every sample was seen exactly once, and the counts sum to n",
    "model_unchanged": "parameters and buffers are the same before and after",
}


class IntegrityLog:
    """Collects the outcome of each check; what was not reached stays ``not_run``."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Status, str]] = {}

    def record(self, check: str, status: Status, detail: str = "") -> None:
        """Set a check's outcome."""
        self._found[check] = (status, detail or CHECKS[check])

    def ok(self, checks: Sequence[str]) -> None:
        """Set several checks to ok, unless something else was recorded."""
        for check in checks:
            if check not in self._found:
                self.record(check, "ok")

    def rows(self) -> tuple[IntegrityRow, ...]:
        """Return all checks in their order."""
        return tuple(
            IntegrityRow(check=check, status=status, detail=detail)
            for check, text in CHECKS.items()
            for status, detail in [self._found.get(check, ("not_run", text))]
        )


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
