"""A blessed baseline: the documents that later runs are compared with, small enough to be committed.

Its checksums guard against edits by accident, not against anybody who can write them anew.
"""

from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from evalkit.documents import format_json, read_json
from evalkit.errors import DocumentError, InvalidRunError, OutputError, os_reason
from evalkit.result import FILE_NAME as RESULT
from evalkit.result import EvalResult, read_result
from evalkit.rundir import BLESSING, LEDGER, is_blessed, open_run_directory
from evalkit.runfile import check_finished

SCHEMA: Final = "evalkit.bless/1"
_SLIM = ("sample_id", "index", "y_true", "y_pred")
_SCORED = ("p_pred", "logloss", "brier", "true_rank")


def bless(
    directory: Path, target: Path, *, by: str | None, why: str | None, started: str, scores: bool
) -> EvalResult:
    """Write a run as a baseline; one that is there already is replaced, and its signature kept.

    Args:
        directory: The run.
        target: The baseline's folder: absent, empty, or a blessed run.
        by, why: Who says so, for what reason.
        started: The time.
        scores: Keep what paired differences of losses and AUC need, too.

    Raises:
        InvalidRunError: The run is invalid or partial.
        UnfinishedError: A later run was begun there.
        DocumentError, OutputError: A document cannot be read, or written.
    """
    result = read_result(directory)
    check_finished(directory)
    if not result.valid or result.partial is not None:
        what = "invalid" if not result.valid else "partial"
        raise InvalidRunError(f"{directory}: the run is {what}, and no baseline", check="run")
    before = read_blessing(target)["signature"] if is_blessed(target) else None
    if before is None and (target / RESULT).exists():
        raise OutputError(f"{target}: is a run that is not blessed", hint="Name a new folder")
    parts = {RESULT: (directory / RESULT).read_bytes()}
    if (directory / LEDGER).exists():
        parts[LEDGER] = slim_ledger(directory / LEDGER, scores=scores)
    blessing = {
        "schema": SCHEMA,
        "signature": result.signature,
        "previous_signature": before,
        "by": by,
        "why": why,
        "started": started,
        "sha256": {name: sha256(content).hexdigest() for name, content in parts.items()},
    }
    with open_run_directory(target, blessed=True) as folder:
        folder.publish({**parts, BLESSING: format_json(blessing)})
    return result


def read_blessing(directory: Path) -> dict[str, Any]:
    """Read what a blessed baseline says of itself; DocumentError where a file is not the one it names."""
    found = read_json(directory / BLESSING, schema=SCHEMA)
    sums = found.get("sha256")
    if not isinstance(sums, dict) or not isinstance(found.get("signature"), str) or RESULT not in sums:
        raise DocumentError(f"{directory / BLESSING}: names no documents")
    for name, expected in sums.items():
        if name not in (RESULT, LEDGER):
            raise DocumentError(f"{directory / BLESSING}: {name!r} is no document of a baseline")
        try:
            actual = sha256((directory / name).read_bytes()).hexdigest()
        except OSError as error:
            raise DocumentError(f"{directory / name}: cannot be read: {os_reason(error)}") from error
        if actual != expected:
            raise DocumentError(
                f"{directory / name}: is not what was blessed", hint="Restore it, or bless the run again"
            )
    return found


def slim_ledger(path: Path, *, scores: bool) -> bytes:
    """Return the columns that pair samples, packed."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - reading a baseline's result needs none

    with path.open("rb") as file:
        table = pq.ParquetFile(file)
        names = table.schema_arrow.names
        # Samples without ids are known by their index.
        own = [name for name in _SLIM if name in names and (name != "index" or "sample_id" not in names)]
        kept = [*own, *(name for name in _SCORED if scores and name in names)]
        kept += [name for name in names if scores and name.startswith("score_")]
        found = table.read(columns=kept)
    plain = [name for name in kept if name not in _SLIM]
    target = BytesIO()
    pq.write_table(
        found,
        target,
        compression="zstd",
        use_dictionary=[] if "list" in str(found.schema.field("y_true").type) else ["y_true", "y_pred"],
        column_encoding={
            ("index" if "index" in kept else "sample_id"): (
                "DELTA_BINARY_PACKED" if "index" in kept else "DELTA_BYTE_ARRAY"
            ),
            **dict.fromkeys(plain, "PLAIN"),
        },
    )
    return target.getvalue()
