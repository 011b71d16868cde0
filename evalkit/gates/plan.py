"""From rules to the rows that they name, before anything is measured."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.catalogue import Metric, find_metric
from evalkit.display import quoted
from evalkit.errors import SpecificationError, listed, nearest
from evalkit.metrics.estimands import Params
from evalkit.metrics.prevalence import REWEIGHTED, STATED
from evalkit.result import EvalResult
from evalkit.rows import RowKey, asked_metric, bin_names, describe, possible_keys, row_key
from evalkit.spec import GateSpec, KeyPath, SourceMap

ANY = "*"


@dataclass(frozen=True, slots=True)
class PlannedGate:
    """A gate and the one row that it names.

    Attributes:
        index: Its position in the list, from 0.
        gate: The rule.
        key: The row; of a family with ``*`` where its members differ.
        family: Whether it is one.
    """

    index: int
    gate: GateSpec
    key: RowKey

    @property
    def family(self) -> bool:
        """Whether the gate is about all classes, or all slices of a column."""
        return ANY in (self.key[3], *(value for _, value in self.key[4] or ()))

    def members(self, keys: Iterable[RowKey]) -> list[RowKey]:
        """Return the rows of a document that belong to the family, in its order."""
        return [key for key in keys if self._has(key)]

    def _has(self, key: RowKey) -> bool:
        metric, params, average, class_name, slice_ = self.key
        if (metric, params, average) != key[:3] or (key[3] is None) != (class_name is None):
            return False
        if class_name not in (ANY, key[3]) or (slice_ is None) != (key[4] is None):
            return False
        mine, theirs = dict(slice_ or ()), dict(key[4] or ())
        return set(mine) == set(theirs) and all(mine[name] in (ANY, value) for name, value in theirs.items())


def plan_gates(
    gates: Sequence[GateSpec],
    class_names: Sequence[str],
    source: SourceMap,
    *,
    task: str,
    slices: Sequence[Any] = (),
) -> tuple[PlannedGate, ...]:
    """Find the row of each gate, before anything is measured.

    Args:
        gates: The rules.
        class_names: Of the run.
        source: Where they were written.
        task: Of the run.
        slices: The run's slices, as in its specification.

    Raises:
        SpecificationError: A gate names no row that these classes and the catalogue make possible.
    """
    return tuple(
        PlannedGate(index, gate, _find_row(gate, class_names, task, source, index, slices))
        for index, gate in enumerate(gates)
    )


def stored_slices(result: EvalResult) -> list[Any]:
    """Return a run's slices as in its specification."""
    data = result.spec.get("data")
    found = data.get("slices") if isinstance(data, dict) else None
    return found if isinstance(found, list) else []


def _find_row(
    gate: GateSpec,
    class_names: Sequence[str],
    task: str,
    source: SourceMap,
    index: int,
    slices: Sequence[Any],
) -> RowKey:
    path = ("gates", index)
    _check_slice(gate, slices, source, path)
    try:
        metric = find_metric(gate.metric)
    except SpecificationError as error:
        raise source.error((*path, "metric"), error.message) from error
    if gate.class_ is not None and gate.class_ not in (*class_names, ANY):
        raise source.error(
            (*path, "class"), f"unknown class {quoted(gate.class_)}{nearest(gate.class_, class_names)}"
        )
    shared: dict[str, Any] = {"params": _params(gate, metric, source, path), "slice_": gate.slice}
    key = row_key(metric.slug, average=gate.average, class_name=gate.class_, **shared)
    if gate.slice is not None and (metric.needs not in ("counts", "flips")):
        raise source.error((*path, "slice"), f"{metric.slug} is not computed in slices")
    if gate.slice is not None and gate.class_ is not None and metric.needs == "flips":
        raise source.error((*path, "class"), f"{metric.slug} has no value for a class of a slice")
    names = [*class_names, ANY] if gate.class_ == ANY else class_names
    if key not in possible_keys(metric, names, task=task, **shared):
        hint = _candidates(metric, class_names, task)
        raise source.error(path, f"{describe(key)} is no row of a {task} run", hint=hint)
    return key


def _params(gate: GateSpec, metric: Metric, source: SourceMap, path: KeyPath) -> Params:
    """Return the parameters of the row: those that were said, else the metric's defaults."""
    for name in ("k", "beta", "bins"):
        if getattr(gate, name) is not None and name not in metric.params:
            raise source.error((*path, name), f"{metric.slug} has no parameter {name}")
    if gate.prevalence is None:
        return asked_metric(metric.slug, k=gate.k, beta=gate.beta, bins=gate.bins)[1]
    if metric.slug not in REWEIGHTED or gate.average is not None or gate.slice is not None:
        raise source.error(
            (*path, "prevalence"), f"re-weighted are {listed(REWEIGHTED)}, of the whole run or one class"
        )
    return STATED


def _check_slice(gate: GateSpec, slices: Sequence[Any], source: SourceMap, path: KeyPath) -> None:
    """Refuse a slice of columns that are not declared, or of a bin that does not exist."""
    if gate.slice is None:
        return
    for by in slices:
        columns = [by] if isinstance(by, str) else list(by)
        if set(columns) != set(gate.slice):
            continue
        if isinstance(by, Mapping):
            names = bin_names([float(str(edge)) for edge in by[columns[0]]])
            if gate.slice[columns[0]] not in (*names, ANY):
                raise source.error((*path, "slice", columns[0]), f"expected one of {listed(names)}")
        return
    declared = [by if isinstance(by, str) else " and ".join(by) for by in slices]
    hint = f"Declared are: {listed(declared)}" if declared else "Declare data.slices"
    raise source.error((*path, "slice"), "is no declared slice", hint=hint)


def _candidates(metric: Metric, class_names: Sequence[str], task: str) -> str | None:
    if task in metric.overall:
        return f"{metric.label} has one value for the whole run: leave class and average out"
    if task not in metric.per_class:
        return None
    names = f"class: one of {listed([quoted(name) for name in class_names])}"
    kinds = metric.averages_in(task)
    averages = f"average: {' | '.join(kinds)}, or " if kinds else ""
    return f"Say {averages}{names}"
