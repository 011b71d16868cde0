"""The wall between measuring and reading: the document of one run, result.json.

Left of it are models and tensors, right of it only documents.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError, model_validator

from evalkit.counts import ConfusionCounts
from evalkit.documents import format_json, read_json
from evalkit.errors import DocumentError
from evalkit.metrics import Policy
from evalkit.rows import MetricRow, RowKey

SCHEMA: Final = "evalkit.result/1"
FILE_NAME = "result.json"
DENSE_LIMIT = 256

Status = Literal["ok", "warn", "fail", "not_run"]
Count = Annotated[StrictInt, Field(ge=0)]


class IntegrityRow(BaseModel):
    """One check that says whether the numbers can be trusted."""

    model_config = ConfigDict(frozen=True)

    check: str
    status: Status
    detail: str


class Partial(BaseModel):
    """Why a run covers only a part of its data."""

    model_config = ConfigDict(frozen=True)

    limit: Count
    of: Count


class EvalResult(BaseModel):
    """Everything that one run found out; immutable.

    ``counts`` is dense, shape (K, K), up to K = 256; above, ``counts_sparse`` holds (true, predicted, count)
    triples. An invalid run has neither, and no metrics.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    schema_: Annotated[Literal["evalkit.result/1"], Field(alias="schema")] = SCHEMA
    name: StrictStr
    task: Literal["binary", "multiclass"]
    valid: bool
    partial: Partial | None
    signature: StrictStr
    digests: dict[StrictStr, StrictStr | None]
    class_names: tuple[StrictStr, ...]
    positive_class: StrictStr | None
    threshold: float | None
    n_samples: Count
    spec: dict[StrictStr, Any]
    counts: tuple[tuple[Count, ...], ...] | None
    counts_sparse: tuple[tuple[Count, Count, Count], ...] | None = None
    metrics: tuple[MetricRow, ...]
    integrity: tuple[IntegrityRow, ...]
    model: dict[StrictStr, Any]
    data: dict[StrictStr, Any]
    run: dict[StrictStr, Any]
    provenance: dict[StrictStr, Any]

    @property
    def confusion(self) -> ConfusionCounts | None:
        """The counts as the mergeable state; None for an invalid run."""
        size = len(self.class_names)
        if self.counts is not None:
            return ConfusionCounts(np.array(self.counts, np.int64).reshape(size, size))
        if self.counts_sparse is None:
            return None
        matrix = np.zeros((size, size), np.int64)
        cells = np.array(self.counts_sparse, np.int64).reshape(-1, 3)
        np.add.at(matrix, (cells[:, 0], cells[:, 1]), cells[:, 2])
        return ConfusionCounts(matrix)

    @property
    def policy(self) -> Policy:
        """What this run's averages mean."""
        metrics = self.spec.get("metrics", {})
        return Policy(metrics.get("classes", "present"), metrics.get("zero_division", 0))

    def rows(self) -> Mapping[RowKey, MetricRow]:
        """Return the metric rows by key."""
        return {row.key: row for row in self.metrics}

    def to_json(self) -> bytes:
        """Write the document."""
        document = self.model_dump(mode="json", by_alias=True)
        if self.counts_sparse is None:
            del document["counts_sparse"]
        lists = frozenset({"counts", "metrics", "integrity"})
        return format_json(document, line_lists=lists)

    @model_validator(mode="after")
    def _laws(self) -> "EvalResult":
        """Refuse a document whose counts contradict it: a number is not read from it then."""
        size, confusion = len(self.class_names), None
        if not self.valid:
            if self.metrics or self.counts is not None or self.counts_sparse is not None:
                raise ValueError("an invalid run has no counts and no metrics")
            return self
        if self.counts is not None and any(len(row) != size for row in (self.counts, *self.counts)):
            raise ValueError(f"counts: expected {size} x {size}")
        if self.counts_sparse is not None and any(max(i, j) >= size for i, j, _ in self.counts_sparse):
            raise ValueError(f"counts_sparse: a class index is not below {size}")
        confusion = self.confusion
        if confusion is None or int(confusion.n_samples) != self.n_samples:
            raise ValueError(f"counts do not sum to n_samples = {self.n_samples}")
        if len(self.rows()) != len(self.metrics):
            raise ValueError("metrics: a row occurs twice")
        return self


def counts_fields(counts: ConfusionCounts) -> dict[str, Any]:
    """Return ``counts`` or ``counts_sparse``, whichever the number of classes asks for."""
    if counts.n_classes <= DENSE_LIMIT:
        return {"counts": tuple(tuple(row) for row in counts.matrix.tolist())}
    true, pred = np.nonzero(counts.matrix)
    cells = zip(true.tolist(), pred.tolist(), counts.matrix[true, pred].tolist(), strict=True)
    return {"counts": None, "counts_sparse": tuple(cells)}


def read_result(directory: Path) -> EvalResult:
    """Read the result of a run directory; DocumentError says why it cannot be."""
    path = directory / FILE_NAME
    if not directory.is_dir():
        raise DocumentError(f"{directory}: no such run directory")
    document = read_json(path, schema=SCHEMA)
    try:
        return EvalResult.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DocumentError(f"{path}: {where + ': ' if where else ''}{first['msg']}") from error
