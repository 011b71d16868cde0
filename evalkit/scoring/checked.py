"""What was looked at while a table was read, and what makes its numbers doubtful."""

from collections import Counter
from collections.abc import Sequence

from evalkit.display import quoted
from evalkit.errors import listed
from evalkit.integrity import TABLE_CHECKS
from evalkit.result import Status
from evalkit.scoring.opened import OpenedTable

Found = tuple[Status, str]


def checked(opened: OpenedTable, *, n_samples: int, n_contradictions: int) -> dict[str, Found]:
    """Return each check and what came of it.

    Args:
        opened: The table.
        n_samples: Its rows.
        n_contradictions: Predictions that are not what their scores decide.
    """
    found: dict[str, Found] = {
        "data_unchanged": ("ok", "the table's size and time are the same before and after")
    }
    if opened.scored:
        found["finite_outputs"] = "ok", "no score is NaN or infinite"
    if opened.scored and opened.decision.output == "probabilities":
        found["probabilities"] = "ok", "probabilities lie in [0, 1]"
    if opened.columns.scores and opened.columns.prediction:
        found["predictions_agree"] = _agreement(opened, n_samples, n_contradictions)
    alike = _alike(opened.class_names)
    if alike:
        found["names_apart"] = "warn", f"these classes differ by spaces alone: {listed(map(quoted, alike))}"
    if opened.unused_count is not None:
        found["counts_used"] = "warn", _unused(opened.unused_count)
    return found


def _agreement(opened: OpenedTable, n_samples: int, n_contradictions: int) -> Found:
    if not n_contradictions:
        return "ok", TABLE_CHECKS["predictions_agree"]
    threshold = opened.decision.threshold
    at = "" if threshold is None else f" at {threshold:g} or above"
    return "warn", f"{n_contradictions} of {n_samples} predictions are not what their scores decide{at}"


def _alike(class_names: Sequence[str]) -> list[str]:
    """Return names that would be another's without their spaces."""
    bare = [" ".join(name.split()) for name in class_names]
    count = Counter(bare)
    return [name for name, key in zip(class_names, bare, strict=True) if count[key] > 1]


def _unused(name: str) -> str:
    return (
        f"the column {name} is not used, and every row counts as one sample: say --count '{name}', "
        "or keep it with data.attributes"
    )
