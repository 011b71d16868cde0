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
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class OwnRun:
    """A run whose table is scored again.

    Attributes:
        table: The file.
        spec: What a specification would say of it.
        positional: Whether its samples are known by position.
        assumed: Whether its class names were taken from the data.
        scores: The digest of the bins beside the table; None for none.
    """

    table: Path
    spec: dict[str, Any]
    positional: bool
    assumed: bool
    scores: str | None


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
    if result.data.get("ids") == "trusted":
        data["ids"] = "trust"
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
    return OwnRun(
        folder / LEDGER,
        spec,
        positional=result.data.get("ids") == "positional",
        assumed=bool(result.data.get("classes_assumed")),
        scores=result.digests.get("scores"),
    )


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
        self._scores = [f"score_{k}" for k in range(len(class_names)) if f"score_{k}" in names]

    def read(self, batch: pa.RecordBatch, start: int) -> Rows:
        """Check a batch; DataError where it holds what evalkit does not write."""
        y_true, y_pred = (self._classes(batch.column(name), name, start) for name in (LABEL, PREDICTION))
        for name in _LOSSES:
            _check_range(batch.column(name), name, start, upper=np.inf)
        for name in (*_CHANCES, *self._scores):
            bounded = name in _CHANCES or self._decision.output != "scores"
            _check_range(
                batch.column(name),
                name,
                start,
                lower=0 if bounded else -np.inf,
                upper=1 if bounded else np.inf,
            )
        _check_range(batch.column("true_rank"), "true_rank", start, upper=len(self._class_names) - 1)
        rank = batch.column("true_rank")
        if self._decision.task == "multiclass" and not rank.null_count:
            _refuse(np.flatnonzero((as_numpy(rank) == 0) != (y_true == y_pred)), "true_rank", start)
        if self._decision.threshold is not None and self._scores:
            self._check_decided(batch, y_pred, start)
        ids = None if self._positional else ids_of(batch.column(ID), ID, start)
        written = pa.table(batch).replace_schema_metadata(None)
        return Rows(start, y_true, y_pred, 0, None, ids, None, {}, written)

    def _check_decided(self, batch: pa.RecordBatch, y_pred: NDArray[np.generic], start: int) -> None:
        """Raise DataError where a prediction contradicts its score by more than rounding."""
        threshold, positive = float(self._decision.threshold or 0), self._decision.positive
        columns = range(len(self._scores)) if positive is None else (positive,)
        for k in columns:
            gap = np.asarray(batch.column(f"score_{k}"), np.float64) - threshold
            said = y_pred[:, k] if positive is None else y_pred == positive
            far = np.abs(gap) > _ROUNDING * max(1.0, abs(threshold))
            _refuse(np.flatnonzero(far & ((gap > 0) != said)), f"score_{k}", start)

    def _classes(self, column: pa.Array, name: str, start: int) -> NDArray[np.generic]:
        if self._decision.task == "multilabel":
            return label_lists(column, name, len(self._class_names), start)
        return LabelColumn(name, self._class_names, typed=True, reading="indices").read(column, start)


def _check_range(column: pa.Array, name: str, start: int, *, upper: float, lower: float = 0) -> None:
    """Raise DataError unless a column is null throughout, or finite and in its range."""
    if column.null_count == len(column):
        return
    values = np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
    rows = np.flatnonzero(~((values >= lower) & (values <= upper) & np.isfinite(values)))
    if rows.size:
        shown = listed((rows + start).tolist(), limit=_SHOWN)
        raise DataError(f"{name}: {rows.size} values are missing or impossible (rows {shown})")


def _refuse(rows: NDArray[np.intp], name: str, start: int) -> None:
    if rows.size:
        shown = listed((rows + start).tolist(), limit=_SHOWN)
        raise DataError(f"{name}: contradicts y_true and y_pred in {rows.size} rows (rows {shown})")
