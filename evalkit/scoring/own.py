"""evalkit's own per-sample table, read back: its rows are taken over as they are, to the bit."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evalkit.decide import Decision
from evalkit.errors import DataError, DocumentError, listed
from evalkit.result import FILE_NAME as RESULT
from evalkit.result import read_result
from evalkit.rundir import LEDGER
from evalkit.samples import as_numpy
from evalkit.scoring.columns import ID, LABEL, PREDICTION
from evalkit.scoring.labels import LabelColumn
from evalkit.scoring.rows import Rows, ids_of, label_lists
from evalkit.spec import PREDICTIONS

_SHOWN = 5
_LOSSES = ("logloss", "brier")
_CHANCES = ("p_pred", "p_true")


@dataclass(frozen=True, slots=True)
class OwnRun:
    """A run whose table is scored again.

    Attributes:
        table: The file.
        spec: What a specification would say of it.
        positional: Whether its samples are known by position.
    """

    table: Path
    spec: dict[str, Any]
    positional: bool


def own_run(path: Path) -> OwnRun | None:
    """Return the run that a folder, or a per-sample table, belongs to; None where there is none.

    Raises:
        DocumentError: Its result cannot be read, or holds no numbers.
    """
    folder = path if path.is_dir() else path.parent
    if not (folder / RESULT).exists() or (not path.is_dir() and path.name != LEDGER):
        return None
    result = read_result(folder)
    if not result.valid:
        raise DocumentError(f"{folder}: the run is invalid, and holds no samples")
    model = {"output": result.model.get("output"), "classes": list(result.class_names)}
    if result.threshold is not None:
        model["threshold"] = result.threshold
    if result.positive_class is not None:
        model["positive_class"] = result.positive_class
    data = {"source": PREDICTIONS, "slices": result.spec.get("data", {}).get("slices") or []}
    spec: dict[str, Any] = {"name": result.name, "task": result.task, "model": model, "data": data}
    spec |= {key: result.spec[key] for key in ("metrics", "report") if key in result.spec}
    if any(
        row.average == "samples" for row in result.metrics
    ):  # a default of label sets, which a list replaces
        kinds = spec["metrics"].get("averages") or []
        spec["metrics"] = {
            **spec["metrics"],
            "averages": [*(kind for kind in kinds if kind != "samples"), "samples"],
        }
    return OwnRun(folder / LEDGER, spec, result.data.get("ids") == "positional")


class OwnReader:
    """Reads the batches of a table that evalkit wrote.

    Args:
        names: Its columns.
        class_names: In output order.
        decision: The rule from scores to classes.
        positional: Whether samples are known by position.
    """

    def __init__(
        self,
        names: Sequence[str],
        class_names: Sequence[str],
        decision: Decision,
        *,
        positional: bool,
    ) -> None:
        self.names = tuple(names)
        self._class_names = class_names
        self._decision = decision
        self._positional = positional

    def read(self, batch: pa.RecordBatch, start: int) -> Rows:
        """Check a batch; DataError where it holds what evalkit does not write."""
        y_true, y_pred = (self._classes(batch.column(name), name, start) for name in (LABEL, PREDICTION))
        for name in (*_LOSSES, *_CHANCES):
            _check_range(batch.column(name), name, start, upper=1.0 if name in _CHANCES else np.inf)
        rank = batch.column("true_rank")
        if self._decision.task == "multiclass" and not rank.null_count:
            _check_ranks(as_numpy(rank), y_true == y_pred, start)
        ids = None if self._positional else ids_of(batch.column(ID), ID, start)
        written = pa.table(batch).replace_schema_metadata(None)
        return Rows(start, y_true, y_pred, 0, None, ids, None, {}, written)

    def _classes(self, column: pa.Array, name: str, start: int) -> NDArray[np.generic]:
        if self._decision.task == "multilabel":
            return label_lists(column, name, len(self._class_names), start)
        return LabelColumn(name, self._class_names, typed=True, reading="indices").read(column, start)


def _check_range(column: pa.Array, name: str, start: int, *, upper: float) -> None:
    """Raise DataError unless a column is null throughout, or finite and in its range."""
    if column.null_count == len(column):
        return
    values = np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
    rows = np.flatnonzero(~((values >= 0) & (values <= upper) & np.isfinite(values)))
    if rows.size:
        shown = listed((rows + start).tolist(), limit=_SHOWN)
        raise DataError(f"{name}: {rows.size} values are missing or impossible (rows {shown})")


def _check_ranks(ranks: NDArray[np.generic], right: NDArray[np.bool_], start: int) -> None:
    rows = np.flatnonzero((ranks == 0) != right)
    if rows.size:
        shown = listed((rows + start).tolist(), limit=_SHOWN)
        raise DataError(f"true_rank: contradicts y_true and y_pred in {rows.size} rows (rows {shown})")
