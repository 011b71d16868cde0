"""From a specification's metrics and slices to what is asked of a run; the same for every door."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evalkit.catalogue import find_metric, is_of_facts, is_of_flips
from evalkit.decide import Decision
from evalkit.errors import SpecificationError
from evalkit.findings import Asked
from evalkit.grouping import Grouping, SliceBy
from evalkit.metrics import Policy
from evalkit.metrics.estimands import Params
from evalkit.metrics.prevalence import stated_shares
from evalkit.rows import Measures, asked_metric, default_metrics
from evalkit.spec import GateSpec, KeyPath, MetricsSpec, SliceSpec

Error = Callable[[KeyPath, str], SpecificationError]
_UNITS = {"multiclass": ("mean", "majority")}


def asked_of(
    metrics: MetricsSpec,
    slices: Sequence[SliceSpec] = (),
    *,
    class_names: tuple[str, ...],
    decision: Decision,
    gates: Sequence[GateSpec] = (),
    scored: bool,
    error: Error,
) -> Asked:
    """Say what to compute: the defaults, what the specification adds, and every gate's metric.

    Args:
        metrics, slices, gates: Of the specification.
        class_names: In output order.
        decision: The rule from scores to classes.
        scored: Whether there are scores.
        error: Builds the error for a key.

    Raises:
        SpecificationError: From ``error``.
    """
    task, positive = decision.task, decision.positive
    _check(metrics, task, gates, error)
    kinds = [*metrics.averages, *(gate.average for gate in gates if gate.average)]
    if task == "multilabel" and "averages" not in metrics.model_fields_set:
        kinds.append("samples")
    try:
        shares = stated_shares(
            _number(metrics.prevalence), class_names, None if positive is None else class_names[positive]
        )
    except ValueError as problem:
        raise error(("metrics", "prevalence"), str(problem)) from problem
    measures = Measures(
        task=task,
        asked=_metrics(metrics, task, len(class_names), gates, scored=scored),
        averages=tuple(dict.fromkeys(kinds)),
        policy=Policy(metrics.classes, metrics.zero_division),
        level=metrics.interval,
        method=metrics.interval_method,
        cost=_cost(metrics, len(class_names), error),
        prevalence=shares,
    )
    return Asked(
        class_names,
        decision,
        measures,
        _grouping(metrics, slices),
        frozenset(gate.metric for gate in gates if gate.slice and gate.class_),
        scored=scored,
        binned=tuple(
            class_names.index(name)
            for name in dict.fromkeys(gate.class_ for gate in gates if _ranks(gate))
            if name in class_names
        ),
    )


def _ranks(gate: GateSpec) -> bool:
    return gate.class_ is not None and gate.metric in ("roc_auc", "average_precision")


def _metrics(
    metrics: MetricsSpec, task: str, n_classes: int, gates: Sequence[GateSpec], *, scored: bool
) -> tuple[tuple[str, Params], ...]:
    asked = default_metrics(task, n_classes, scored=scored)
    asked += [asked_metric(name) for name in (() if metrics.names == "default" else metrics.names)]
    own = [gate for gate in gates if not (is_of_flips(gate.metric) or is_of_facts(gate.metric))]
    asked += [asked_metric(gate.metric, k=gate.k, beta=gate.beta) for gate in own]
    if metrics.cost is not None:
        asked.append(asked_metric("expected_cost"))
    if any(slug == "ece" for slug, _ in asked):
        asked.append(("ece", {"bins": "width"}))  # what most others print, beside
    return tuple({(slug, tuple(params.items())): (slug, params) for slug, params in asked}.values())


def _check(metrics: MetricsSpec, task: str, gates: Sequence[GateSpec], error: Error) -> None:
    named = [(("metrics", "names", i), name) for i, name in enumerate(metrics.names)]
    named = [] if metrics.names == "default" else named
    gated: list[tuple[KeyPath, str]] = [(("gates", i, "metric"), gate.metric) for i, gate in enumerate(gates)]
    for path, name in [*named, *gated]:
        try:
            metric = find_metric(name)
        except SpecificationError as problem:
            raise error(path, problem.message) from problem
        if task not in (*metric.overall, *metric.per_class):
            raise error(path, f"{name} does not belong to task: {task}")
        if name == "expected_cost" and metrics.cost is None:
            raise error(path, "expected_cost needs metrics.cost")
    for key in ("cost", "prevalence"):
        if getattr(metrics, key) is not None and task == "multilabel":
            raise error(("metrics", key), "does not belong to task: multilabel")
    if metrics.interval_method == "bootstrap" and (task == "multilabel" or metrics.cluster):
        raise error(("metrics", "interval_method"), "bootstrap is for independent samples of one class each")
    if metrics.unit is not None and metrics.unit.combine not in _UNITS.get(task, (metrics.unit.combine,)):
        allowed = " or ".join(_UNITS[task])
        raise error(("metrics", "unit", "combine"), f"must be {allowed} for task: {task}")
    if metrics.unit is not None and metrics.cluster == metrics.unit.by:
        raise error(("metrics", "cluster"), "the units are independent already")


def _cost(metrics: MetricsSpec, n_classes: int, error: Error) -> tuple[tuple[float, ...], ...] | None:
    if metrics.cost is None:
        return None
    if [len(row) for row in metrics.cost] != [n_classes] * n_classes:
        raise error(
            ("metrics", "cost"), f"expected {n_classes} rows of {n_classes} numbers, true class by predicted"
        )
    return tuple(tuple(float(str(value)) for value in row) for row in metrics.cost)


def _number(prevalence: Any) -> Any:
    if isinstance(prevalence, Mapping):
        return {name: float(str(value)) for name, value in prevalence.items()}
    return None if prevalence is None else float(str(prevalence))


def _grouping(metrics: MetricsSpec, slices: Sequence[SliceSpec]) -> Grouping:
    unit = None if metrics.unit is None else (metrics.unit.by, metrics.unit.combine)
    found: list[SliceBy] = []
    found += [_bins(by) if isinstance(by, Mapping) else by for by in slices]
    return Grouping(tuple(found), metrics.cluster, unit)


def _bins(by: Mapping[str, Sequence[Any]]) -> dict[str, list[float]]:
    return {name: [float(str(edge)) for edge in edges] for name, edges in by.items()}
