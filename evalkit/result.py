"""The wall between measuring and reading: the document of one run, result.json.

Left of it are models and tensors, right of it only documents.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError, model_validator

from evalkit.catalogue import METRICS
from evalkit.count_rows import count_columns, count_rows, margins_of, members_of
from evalkit.counts import ConfusionCounts
from evalkit.documents import format_json, read_json
from evalkit.errors import DocumentError
from evalkit.metrics import ClassPolicy, Policy, ZeroDivision
from evalkit.metrics.prevalence import stated_shares
from evalkit.rows import Measures, MetricRow, RowKey, describe
from evalkit.rundir import recover

SCHEMA: Final = "evalkit.result/1"
FILE_NAME = "result.json"
DENSE_LIMIT = 256
_LEVEL = 0.95
# Methods whose intervals follow from counts alone.
COUNTED = ("wilson", "wilson-jaccard", "wilson-effective", "normal")
# Facts that readers take apart; everything else in these blocks is only shown.
_CONTAINERS: dict[str, dict[str, type]] = {
    "spec": {"model": dict, "data": dict, "metrics": dict, "gates": list, "report": dict},
    "model": {"casts": dict, "not_read": list, "outside_prefix": list},
    "data": {
        "input_shape": list,
        "attributes": list,
        "skipped": dict,
        "modes": dict,
        "input_statistics": dict,
        "unreadable": list,
        "classes_without_samples": list,
        "n_samples": int,
        "n_unreadable": int,
        "n_ties": int,
        "duplicate_inputs": int,
        "conflicting_labels": int,
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
    """Why a run covers only a part of its data: ``limit`` of its samples, or one ``shard`` of several."""

    model_config = ConfigDict(frozen=True)

    limit: Count
    of: Count
    shard: tuple[Count, Count] | None = None


Cells = tuple[tuple[Count, ...], ...] | tuple[tuple[tuple[Count, ...], ...], ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a metric of a slice is from the same metric of all other samples."""

    metric: str
    params: dict[str, int | float | str]
    average: str | None
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class SliceRow:
    """One slice: column to value, its counts, and its differences from the rest.

    ``insufficient`` says that it has fewer samples than anything should be concluded from.
    """

    slice: dict[str, bool | int | float | str]
    n_samples: int
    insufficient: bool
    counts: Cells | None
    differences: tuple[Difference, ...] = ()
    counts_sparse: tuple[tuple[Count, Count, Count], ...] | None = None


class EvalResult(BaseModel):
    """Everything that one run found out; immutable.

    ``counts`` is dense, shape (K, K), up to K = 256; above, ``counts_sparse`` holds (true, predicted, count)
    triples. Of a multilabel task it is (L, 2, 2). An invalid run has neither, and no metrics.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    schema_: Annotated[Literal["evalkit.result/1"], Field(alias="schema")] = SCHEMA
    name: StrictStr
    task: Literal["binary", "multiclass", "multilabel"]
    valid: bool
    partial: Partial | None
    signature: StrictStr
    digests: dict[StrictStr, StrictStr | None]
    class_names: tuple[StrictStr, ...]
    positive_class: StrictStr | None
    threshold: float | None
    n_samples: Count
    spec: dict[StrictStr, Any]
    counts: Cells | None
    counts_sparse: tuple[tuple[Count, Count, Count], ...] | None = None
    metrics: tuple[MetricRow, ...]
    slices: tuple[SliceRow, ...] = ()
    curves: dict[StrictStr, Any] = {}
    calibration: dict[StrictStr, Any] = {}
    integrity: tuple[IntegrityRow, ...]
    model: dict[StrictStr, Any]
    data: dict[StrictStr, Any]
    run: dict[StrictStr, Any]
    provenance: dict[StrictStr, Any]

    @property
    def confusion(self) -> ConfusionCounts | None:
        """The counts as the mergeable state; None for an invalid run."""
        return self._counts_of(self.counts, self.counts_sparse)

    def counts_of_slice(self, row: SliceRow) -> ConfusionCounts:
        """Return the counts of a slice; ValueError where it has none."""
        found = self._counts_of(row.counts, row.counts_sparse)
        if found is None:
            raise ValueError("slices: a slice has no counts")
        return found

    def _counts_of(self, counts: Any, sparse: Any) -> ConfusionCounts | None:
        size = len(self.class_names)
        shape = (size, 2, 2) if self.task == "multilabel" else (size, size)
        if counts is not None:
            return ConfusionCounts(np.array(counts, np.int64).reshape(shape))
        if sparse is None:
            return None
        matrix = np.zeros(shape, np.int64)
        cells = np.array(sparse, np.int64).reshape(-1, 3)
        if cells.size and not 0 <= cells[:, :2].min() <= cells[:, :2].max() < size:
            raise ValueError(f"counts_sparse: a class index is not below {size}")
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
            positive=None if self.positive_class is None else self.class_names.index(self.positive_class),
        )

    def rows(self) -> Mapping[RowKey, MetricRow]:
        """Return the metric rows by key."""
        return {row.key: row for row in self.metrics}

    def to_json(self) -> bytes:
        """Write the document."""
        document = self.model_dump(mode="json", by_alias=True)
        if self.counts_sparse is None:
            del document["counts_sparse"]
        lists = frozenset({"counts", "metrics", "slices", "integrity"})
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
        shape = (size, 2, 2) if self.task == "multilabel" else (size, size)
        if self.counts is not None and not _has_shape(self.counts, shape):
            raise ValueError(f"counts: expected {' x '.join(map(str, shape))}")
        confusion = self.confusion
        if confusion is None or (confusion.n_samples[..., None] != self.n_samples).any():
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
        report = self.spec.get("report") or {}
        for key, kind in (("document", dict), ("signoff", list)):
            if not isinstance(report.get(key), (kind, type(None))):
                raise ValueError(f"spec.report.{key}: expected a {kind.__name__}")  # noqa: TRY004


def counts_fields(counts: ConfusionCounts) -> dict[str, Any]:
    """Return ``counts`` or ``counts_sparse``, whichever the number of classes asks for."""
    if counts.n_classes <= DENSE_LIMIT:
        return {"counts": _nested(counts.matrix.tolist())}
    true, pred = np.nonzero(counts.matrix)
    cells = zip(true.tolist(), pred.tolist(), counts.matrix[true, pred].tolist(), strict=True)
    return {"counts": None, "counts_sparse": tuple(cells)}


def _has_shape(cells: Any, shape: tuple[int, ...]) -> bool:
    if not shape:
        return isinstance(cells, int)
    return len(cells) == shape[0] and all(_has_shape(cell, shape[1:]) for cell in cells)


def _nested(cells: Any) -> Any:
    return tuple(_nested(cell) for cell in cells) if isinstance(cells, list) else cells


def check_rows(result: EvalResult) -> None:
    """Recompute every row that counts determine; ValueError where the document says something else.

    A row is a function of the counts, so a number that was edited, or computed by a broken version, is found.
    """
    counts = result.confusion
    if counts is None:
        return
    measures = result.measures
    again = count_rows(counts.matrix, result.class_names, measures)
    again += _slice_rows(result, measures, counts.matrix)
    expected = {row.key: row for row in again}
    for row in result.metrics:
        other = expected.get(row.key)
        if _counted(row) and (other is None or not _same(row, other)):
            raise ValueError(f"metrics: {describe(row.key)} is not what the counts give")


def _slice_rows(result: EvalResult, measures: Measures, whole: Any) -> list[MetricRow]:
    if not result.slices:
        return []
    members = members_of(margins_of(whole, measures.task), measures)
    matrix = np.stack([result.counts_of_slice(row).matrix for row in result.slices])
    columns = list(count_columns(matrix, measures, members=members))
    return [
        row
        for position, found in enumerate(result.slices)
        for column in columns
        for row in column.rows(
            position, result.class_names, n_samples=found.n_samples, level=measures.level, slice_=found.slice
        )
    ]


def _counted(row: MetricRow) -> bool:
    """Return whether counts determine a row's value."""
    metric = METRICS.get(row.metric)
    return metric is not None and metric.needs == "counts" and row.average != "samples"


def _closed_form(row: MetricRow) -> bool:
    """Return whether the counts determine a row's interval, too."""
    return row.method in COUNTED


def _same(row: MetricRow, other: MetricRow) -> bool:
    """Compare rows; sums of floats may differ in their last digits between machines."""
    known = _closed_form(row) and other.no_interval != "no_samples_stored"
    compared = ("value", "low", "high") if known else ("value",)
    pairs = [(getattr(row, name), getattr(other, name)) for name in compared]
    exact = ("numerator", "denominator", "undefined", "n_samples", "n_classes", "greater_is_better")
    return all(getattr(row, name) == getattr(other, name) for name in exact) and all(
        (a is None) == (b is None) and (a is None or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12))
        for a, b in pairs
    )


def read_result(directory: Path, *, name: str = FILE_NAME) -> EvalResult:
    """Read the result of a run directory; DocumentError says why it cannot be."""
    path = directory / name
    if not directory.is_dir():
        raise DocumentError(f"{directory}: no such run directory")
    recover(directory)
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
