"""Which files of a run directory are evalkit's."""

import json
from pathlib import Path

from evalkit.files import TEMPORARY

LEDGER = "predictions.parquet"
# Of a baseline that was measured together with the run.
BASELINE_LEDGER = "baseline-predictions.parquet"
BASELINE_RESULT = "baseline-result.json"
# What a run was made of, and whether it is complete; while it goes, its parts.
RUN = "run.json"
PARTS = "parts"
# In the order of their renames.
DOCUMENTS = (
    BASELINE_LEDGER,
    BASELINE_RESULT,
    LEDGER,
    "scores.npz",
    "gallery.parquet",
    "result.json",
    "verdict.json",
    "report.html",
    RUN,
)
BLESSING = "bless.json"


def temporaries(path: Path) -> list[Path]:
    """Return what is being written in a folder, or was when a process was killed."""
    return [entry for entry in path.iterdir() if entry.name.startswith(TEMPORARY)]


def is_run(path: Path) -> bool:
    """Return whether a folder holds a run, finished or not."""
    return any(
        _schema(path / name).startswith(schema)
        for name, schema in (("result.json", "evalkit.result/"), (RUN, "evalkit.run/"))
    )


def _schema(path: Path) -> str:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return ""
    schema = document.get("schema") if isinstance(document, dict) else None
    return schema if isinstance(schema, str) else ""
