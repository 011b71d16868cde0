"""A run directory: which files are evalkit's, and how a whole set of them is replaced without a half."""

from evalkit.rundir.folder import (
    RunDirectory,
    check_replaceable,
    is_blessed,
    open_run_directory,
    publish_file,
    recover,
)
from evalkit.rundir.names import (
    BASELINE_LEDGER,
    BASELINE_RESULT,
    BLESSING,
    DOCUMENTS,
    LEDGER,
    PARTS,
    RUN,
    is_run,
)

__all__ = [
    "BASELINE_LEDGER",
    "BASELINE_RESULT",
    "BLESSING",
    "DOCUMENTS",
    "LEDGER",
    "PARTS",
    "RUN",
    "RunDirectory",
    "check_replaceable",
    "is_blessed",
    "is_run",
    "open_run_directory",
    "publish_file",
    "recover",
]
