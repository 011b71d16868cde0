"""What was looked at while a table was read, and what makes its numbers doubtful."""

from evalkit.result import Status
from evalkit.scoring.opened import OpenedTable

Found = tuple[Status, str]


def checked(opened: OpenedTable) -> dict[str, Found]:
    """Return each check and what came of it."""
    found: dict[str, Found] = {
        "data_unchanged": ("ok", "the table's size and time are the same before and after")
    }
    if opened.scored:
        found["finite_outputs"] = "ok", "no score is NaN or infinite"
    if opened.scored and opened.decision.output == "probabilities":
        found["probabilities"] = "ok", "probabilities lie in [0, 1]"
    if opened.unused_count is not None:
        found["counts_used"] = "warn", _unused(opened.unused_count)
    return found


def _unused(name: str) -> str:
    return (
        f"the column {name} is not used, and every row counts as one sample: say --count '{name}', "
        "or keep it with data.attributes"
    )
