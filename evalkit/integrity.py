"""The checks that say whether the numbers can be trusted."""

from collections.abc import Sequence

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
    "class_order": "no other order of the classes would make far more right",
    "model_unchanged": "parameters and buffers are the same before and after",
}


class IntegrityLog:
    """Collects the outcome of each check; what was not reached stays ``not_run``.

    Args:
        unreached: What to say of checks that nothing was recorded for; by default what they check.
    """

    def __init__(self, unreached: str | None = None) -> None:
        self._unreached = unreached
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
            for status, detail in [self._found.get(check, ("not_run", self._unreached or text))]
        )
