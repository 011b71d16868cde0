"""The wall between measuring and reading: the document of one run, result.json.

Left of it are models and tensors, right of it only documents.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError, model_validator

from evalkit.catalogue import METRICS
from evalkit.count_rows import count_rows
from evalkit.counts import ConfusionCounts
from evalkit.documents import format_json, read_json
from evalkit.errors import DocumentError
from evalkit.metrics import ClassPolicy, Policy, ZeroDivision
from evalkit.metrics.prevalence import stated_shares
from evalkit.rows import Measures, MetricRow, RowKey, describe

SCHEMA: Final = "evalkit.result/1"
FILE_NAME = "result.json"
DENSE_LIMIT = 256
_LEVEL = 0.95
# Facts that readers take apart; everything else in these blocks is only shown.
_CONTAINERS: dict[str, dict[str, type]] = {
    "spec": {"model": dict, "data": dict, "metrics": dict, "gates": list},
    "model": {"casts": dict, "not_read": list, "outside_prefix": list},
    "data": {
        "input_shape": list,
        "attributes": list,
        "skipped": dict,
        "modes": dict,
        "input_statistics": dict,
        "unreadable": list,
        "classes_without_samples": list,
    },
    "run": {"seconds": dict},
    "provenance": {"versions": dict, "git": dict, "command": list},
}

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
        metrics = self.spec.get("metrics") or {}
        classes, zero = metrics.get("classes", "present"), metrics.get("zero_division", 0)
        if classes not in get_args(ClassPolicy) or zero not in get_args(ZeroDivision):
            raise ValueError(f"spec.metrics: no averaging policy has {classes!r} and {zero!r}")
        return Policy(classes, zero)

    @property
    def measures(self) -> Measures:
        """What the rows that counts determine were asked for, as far as values go."""
        metrics = self.spec.get("metrics") or {}
        known = [row for row in self.metrics if _counted(row)]
        cost = metrics.get("cost")
        return Measures(
            task=self.task,
            asked=tuple({row.key[:2]: (row.metric, row.params) for row in known}.values()),
            averages=tuple({row.average: None for row in known if row.average}),
            policy=self.policy,
            level=next((row.level for row in known if row.level), _LEVEL),
            cost=None if cost is None else tuple(tuple(line) for line in cost),
            prevalence=stated_shares(metrics.get("prevalence"), self.class_names, self.positive_class),
        )

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
        size = len(self.class_names)
        if len(set(self.class_names)) != size or size < 2:  # noqa: PLR2004 - a classifier tells two apart
            raise ValueError("class_names: expected two or more different names")
        self._check_containers()
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
        if any(row.class_name not in (None, *self.class_names) for row in self.metrics):
            raise ValueError("metrics: a row names a class that is not declared")
        return self

    def _check_containers(self) -> None:
        for block, keys in _CONTAINERS.items():
            facts = getattr(self, block)
            for key, kind in keys.items():
                if not isinstance(facts.get(key), (kind, type(None))):
                    raise ValueError(f"{block}.{key}: expected a {kind.__name__}")  # noqa: TRY004 - pydantic's


def counts_fields(counts: ConfusionCounts) -> dict[str, Any]:
    """Return ``counts`` or ``counts_sparse``, whichever the number of classes asks for."""
    if counts.n_classes <= DENSE_LIMIT:
        return {"counts": tuple(tuple(row) for row in counts.matrix.tolist())}
    true, pred = np.nonzero(counts.matrix)
    cells = zip(true.tolist(), pred.tolist(), counts.matrix[true, pred].tolist(), strict=True)
    return {"counts": None, "counts_sparse": tuple(cells)}


def check_rows(result: EvalResult) -> None:
    """Recompute every row that counts determine; ValueError where the document says something else.

    A row is a function of the counts, so a number that was edited, or computed by a broken version, is found.
    """
    counts = result.confusion
    if counts is None:
        return
    again = count_rows(counts.matrix, result.class_names, result.measures)
    expected = {row.key: row for row in again}
    for row in result.metrics:
        other = expected.get(row.key)
        if _counted(row) and (other is None or not _same(row, other)):
            raise ValueError(f"metrics: {describe(row.key)} is not what the counts give")


def _counted(row: MetricRow) -> bool:
    """Return whether the counts of the whole run determine a row's value."""
    metric = METRICS.get(row.metric)
    return metric is not None and metric.needs == "counts" and row.average != "samples" and row.slice is None


def _closed_form(row: MetricRow) -> bool:
    """Return whether the counts determine a row's interval, too."""
    return row.method in ("wilson", "wilson-jaccard", "wilson-effective", "normal")


def _same(row: MetricRow, other: MetricRow) -> bool:
    """Compare rows; sums of floats may differ in their last digits between machines."""
    compared = ("value", "low", "high") if _closed_form(row) else ("value",)
    pairs = [(getattr(row, name), getattr(other, name)) for name in compared]
    exact = ("numerator", "denominator", "undefined", "n_samples", "n_classes", "greater_is_better")
    return all(getattr(row, name) == getattr(other, name) for name in exact) and all(
        (a is None) == (b is None) and (a is None or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12))
        for a, b in pairs
    )


def read_result(directory: Path) -> EvalResult:
    """Read the result of a run directory; DocumentError says why it cannot be."""
    path = directory / FILE_NAME
    if not directory.is_dir():
        raise DocumentError(f"{directory}: no such run directory")
    document = read_json(path, schema=SCHEMA)
    try:
        result = EvalResult.model_validate(document)
        check_rows(result)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise DocumentError(f"{path}: {where + ': ' if where else ''}{message}") from error
    except ValueError as error:
        raise DocumentError(f"{path}: {error}", hint="The document was edited or is damaged") from error
    return result
