"""A table of predictions whose columns and classes are known; its rows are not read yet."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from evalkit.asking import asked_of
from evalkit.classes import check_class_names, read_names
from evalkit.decide import Decision
from evalkit.deciding import decision_of, memory_of
from evalkit.errors import DataError
from evalkit.findings import Asked
from evalkit.scoring.columns import Columns, find_columns
from evalkit.scoring.labels import names_found
from evalkit.spec import Loaded
from evalkit.tables import Table, open_table

DATA = "data"


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
    def numbers(self) -> list[str]:
        """Attributes that are binned."""
        return [name for by in self.loaded.spec.data.slices if isinstance(by, dict) for name in by]


def open_scores(loaded: Loaded, *, positional: bool = False) -> OpenedTable:
    """Find the columns, and settle the class names; these are looked for in the table where nobody says them.

    Args:
        loaded: The specification.
        positional: Of evalkit's own table: whether samples are known by position.

    Raises:
        SpecificationError: The columns or names cannot be what they are said to be.
        DataError: The table is refused.
    """
    table = open_table(loaded.resolve(loaded.spec.data.path))
    columns = find_columns(loaded, table.names, attributes=_attributes(loaded), path=table.path)
    _check_counted(loaded, columns)
    declared = _declared(loaded)
    names = declared or _found(loaded, table, columns)
    where = str(table.path) if declared is None else loaded.source.locate(("model", "classes"))
    class_names = check_class_names(names, where=where)
    decision, chosen_on = decision_of(loaded, class_names)
    ordered = columns.in_class_order(class_names, loaded)
    return OpenedTable(
        loaded, table, ordered, class_names, declared is None, decision, chosen_on, memory_of(loaded),
        positional=positional and ordered.own,
    )  # fmt: skip


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
    names = names_found(_labels(table, columns), typed=table.typed, reading=loaded.spec.data.labels_are)
    if n_scores > 1 and names == [str(k) for k in range(len(names))] and len(names) <= n_scores:
        return [str(k) for k in range(n_scores)]
    if n_scores > 1:
        raise loaded.source.error(
            ("model", "classes"),
            "is required: nothing says which column of scores is whose",
            hint="Say --classes in their order, or name them by class: --scores 'p_*'",
        )
    return names


def _labels(table: Table, columns: Columns) -> Iterator[pa.Array]:
    wanted = (*columns.label, *columns.prediction)
    empty = True
    for batch in table.batches(wanted):
        empty = empty and not batch.num_rows
        for column in batch.columns:
            yield _flat(column)
    if empty:
        raise DataError(f"{table.path}: holds no rows")


def _flat(column: pa.Array) -> pa.Array:
    """Return a column of lists as its items."""
    return column.flatten() if pa.types.is_list(column.type) else column
