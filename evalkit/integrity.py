"""The checks that say whether the numbers can be trusted."""

from collections.abc import Mapping, Sequence

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
    "data_repeatable": "the first samples are the same when they are read again",
    "data_unchanged": "no sample came, went or was written again during the run",
    "deterministic": "the first samples give the same answer twice",
    "precision": "half precision changes no prediction",
    "batch_independent": "answers do not depend on the order or the rest of a batch",
    "several_predicted": "more than one class is predicted",
    "images_complete": "truncated images are refused, not filled up (LOAD_TRUNCATED_IMAGES is off)",
    "inputs_differ": "no input occurs twice",
    "labels_agree": "equal inputs have equal labels",
    "not_trained_on": "no input is one of the training set's",
    "class_order": "no other order of the classes would make far more right",
    "model_unchanged": "parameters and buffers are the same before and after",
}
# Of a table that was scored; they are reported where they were looked at.
TABLE_CHECKS = {
    "predictions_agree": "every prediction is what its scores decide",
    "names_apart": "no two class names differ by spaces alone",
    "counts_used": "no column looks like counts that are not used",
}
# Of these a warning is one of the verdict, too; --strict makes it a failure.
DOUBTS = frozenset(
    "precision batch_independent several_predicted images_complete inputs_differ labels_agree not_trained_on"
    " class_order".split()
) | frozenset(TABLE_CHECKS)
# What is asked about the first samples alone, unless every batch is audited.
OF_FIRST = frozenset({"data_repeatable", "deterministic", "batch_independent"})
_BADNESS: Mapping[Status, int] = {"ok": 0, "not_run": 1, "warn": 2, "fail": 3}


class IntegrityLog:
    """Collects the outcome of each check; what was not reached stays ``not_run``.

    Args:
        unreached: What to say of checks that nothing was recorded for; by default what they check.
    """

    def __init__(self, unreached: str | None = None) -> None:
        self._unreached = unreached
        self._found: dict[str, tuple[Status, str]] = {}

    def record(self, check: str, status: Status, detail: str = "") -> None:
        """Note a check's outcome; the worst counts, the first of equals."""
        known = self._found.get(check)
        if known is None or _BADNESS[status] > _BADNESS[known[0]]:
            self._found[check] = (status, detail or CHECKS.get(check) or TABLE_CHECKS[check])

    @property
    def found(self) -> dict[str, tuple[Status, str]]:
        """What was recorded so far."""
        return dict(self._found)

    def join(self, found: Mapping[str, tuple[Status, str]]) -> None:
        """Note what was found elsewhere, in another part of the same run."""
        for check, (status, detail) in found.items():
            self.record(check, status, detail)

    def ok(self, checks: Sequence[str]) -> None:
        """Set several checks to ok, unless something else was recorded."""
        for check in checks:
            if check not in self._found:
                self.record(check, "ok")

    def rows(self) -> tuple[IntegrityRow, ...]:
        """Return all checks of a run in their order, and those of a table that were looked at."""
        found: dict[str, tuple[Status, str]] = {
            check: self._found.get(check, ("not_run", self._unreached or text))
            for check, text in CHECKS.items()
        }
        found |= {check: self._found[check] for check in TABLE_CHECKS if check in self._found}
        return tuple(
            IntegrityRow(check=check, status=status, detail=detail)
            for check, (status, detail) in found.items()
        )
