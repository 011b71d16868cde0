"""A table of predictions whose columns and classes are known; its rows are not read yet."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from evalkit.asking import asked_of
from evalkit.catalogue import find_metric
from evalkit.classes import check_class_names, read_names
from evalkit.decide import Decision
from evalkit.deciding import decision_of, memory_of
from evalkit.errors import DataError
from evalkit.findings import Asked
from evalkit.scoring.columns import Columns, find_columns
from evalkit.scoring.labels import MAX_CLASSES, check_present, is_list, names_found
from evalkit.scoring.own import OwnRun
from evalkit.spec import Loaded
from evalkit.tables import Table, open_table

DATA = "data"
# What columns of counts are called, by people and by SQL engines.
_COUNTS = ("count", "n", "count_star()", "count(*)")


@dataclass(frozen=True, slots=True)
class OpenedTable:
    """A table of predictions whose columns and classes are known; its rows are not read yet.

    Attributes:
        loaded: The specification.
        table: The file.
        columns: What means what, in class order.
        class_names: In output order.
        assumed: Whether the names were taken from the table itself.
        decision: The rule from scores to classes.
        chosen_on: The digest of the data that its threshold was chosen on.
        memory: How many bytes of samples may be held.
        positional: Of evalkit's own table: whether samples are known by position.
        scores: Of evalkit's own table: the digest of the bins beside it.
    """

    loaded: Loaded
    table: Table
    columns: Columns
    class_names: tuple[str, ...]
    assumed: bool
    decision: Decision
    chosen_on: str | None
    memory: int
    positional: bool = False
    scores: str | None = None

    @property
    def scored(self) -> bool:
        """Whether there are scores."""
        own = self.columns.own and not {"score_0", "top_0"}.isdisjoint(self.table.names)
        return own or bool(self.columns.scores)

    def asked(self, *, scored: bool) -> Asked:
        """Say what to compute; SpecificationError for what cannot be asked of this table."""
        spec = self.loaded.spec
        return asked_of(
            spec.metrics,
            spec.data.slices,
            class_names=self.class_names,
            decision=self.decision,
            gates=spec.gates,
            scored=scored,
            error=self.loaded.source.error,
        )

    @property
    def unused_count(self) -> str | None:
        """A column that may say how many samples a row stands for, where nobody says what it is.

        Rows that have ids are samples, whatever else they have.
        """
        columns = self.columns
        if columns.own or columns.count is not None or columns.id is not None:
            return None
        unused = [name for name in self.table.names if name not in columns.all]
        return next((name for name in unused if name.casefold() in _COUNTS), None)

    @property
    def numbers(self) -> list[str]:
        """Attributes that are binned."""
        return [name for by in self.loaded.spec.data.slices if isinstance(by, dict) for name in by]


def open_scores(loaded: Loaded, own: OwnRun | None = None) -> OpenedTable:
    """Find the columns, and settle the class names; these are looked for in the table where nobody says them.

    Args:
        loaded: The specification.
        own: The run that the table belongs to, if it is evalkit's own.

    Raises:
        SpecificationError: The columns or names cannot be what they are said to be.
        DataError: The table is refused.
    """
    table = open_table(loaded.resolve(loaded.spec.data.path))
    columns = find_columns(loaded, table, attributes=_attributes(loaded))
    _check_counted(loaded, columns)
    declared = _declared(loaded)
    names = declared or _found(loaded, table, columns)
    where = str(table.path) if declared is None else loaded.source.locate(("model", "classes"))
    class_names = check_class_names(names, where=where)
    decision, chosen_on = decision_of(loaded, class_names)
    if own is None:
        _check_decides(loaded, columns)
    ordered = columns.in_class_order(class_names, loaded)
    return OpenedTable(
        loaded,
        table,
        ordered,
        class_names,
        declared is None or (own is not None and own.assumed),
        decision,
        chosen_on,
        memory_of(loaded),
        positional=own is not None and own.positional and ordered.own,
        scores=None if own is None else own.scores,
    )


def _attributes(loaded: Loaded) -> list[str]:
    """Return the columns that slices, clusters and units need."""
    metrics = loaded.spec.metrics
    found = [name for by in loaded.spec.data.slices for name in ([by] if isinstance(by, str) else list(by))]
    unit = None if metrics.unit is None else metrics.unit.by
    return list(dict.fromkeys([*found, *(name for name in (metrics.cluster, unit) if name)]))


def _check_counted(loaded: Loaded, columns: Columns) -> None:
    metrics = loaded.spec.metrics
    if columns.count is not None and (metrics.cluster or metrics.unit):
        key = "cluster" if metrics.cluster else "unit"
        raise loaded.source.error(("metrics", key), "needs a row a sample, not counts")


def _check_decides(loaded: Loaded, columns: Columns) -> None:
    """Refuse what would be ignored without scores: a threshold, and metrics that need them."""
    if columns.own or columns.scores:
        return
    if loaded.spec.model.threshold is not None:
        raise loaded.source.error(("model", "threshold"), "decides nothing: there are no scores")
    names = loaded.spec.metrics.names
    for index, name in enumerate(() if names == "default" else names):
        if find_metric(name).needs == "scores":
            raise loaded.source.error(("metrics", "names", index), f"{name} needs scores")


def _declared(loaded: Loaded) -> Sequence[str] | None:
    declared = loaded.spec.model.classes
    if declared is None or declared == DATA:
        return None
    if not isinstance(declared, str):
        return declared
    if declared.startswith(("checkpoint:", "folder:")):
        raise loaded.source.error(("model", "classes"), "a table needs a list, a file of names, or data")
    return read_names(loaded.resolve(declared))


def _found(loaded: Loaded, table: Table, columns: Columns) -> Sequence[str]:
    """Take the names of columns that are named by class, else those that occur."""
    for key in ("label", "prediction", "scores"):
        parts = (columns.parts or {}).get(key)
        if parts and not all(part.isdecimal() for part in parts):
            return sorted(parts)
    if loaded.spec.task == "multilabel" and len(columns.label) > 1:
        return columns.label
    n_scores = len(columns.scores)
    if columns.own:
        n_scores = sum(
            name.removeprefix("score_").isdecimal() for name in table.names if name[:6] == "score_"
        )
    names = _stated(loaded, table, columns) or names_found(
        _labels(table, columns), typed=table.typed, reading=loaded.spec.data.labels_are
    )
    if n_scores > 1 and names == [str(k) for k in range(len(names))] and len(names) <= n_scores:
        return [str(k) for k in range(n_scores)]
    if n_scores > 1:
        raise loaded.source.error(
            ("model", "classes"),
            "is required: nothing says which column of scores is whose",
            hint="Say --classes in their order, or name them by class: --scores 'p_*'",
        )
    return names


def _stated(loaded: Loaded, table: Table, columns: Columns) -> Sequence[str] | None:
    """Return 0 to the largest index where a file says it of its integers; None where it has to be read."""
    if loaded.spec.data.labels_are == "names":
        return None
    found = [table.largest(name) for name in (*columns.label, *columns.prediction)]
    largest = max((value for value in found if value is not None), default=-1)
    if None in found or not 0 <= largest < MAX_CLASSES:
        return None
    return [str(k) for k in range(max(largest + 1, 2))]


def _labels(table: Table, columns: Columns) -> Iterator[tuple[str, pa.Array]]:
    wanted = (*columns.label, *columns.prediction)
    n_rows = 0
    for batch in table.batches(wanted):
        for name, column in zip(wanted, batch.columns, strict=True):
            check_present(column, name, n_rows)
            yield name, column.flatten() if is_list(column.type) else column
        n_rows += batch.num_rows
    if not n_rows:
        raise DataError(f"{table.path}: holds no rows")
