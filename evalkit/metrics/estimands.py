"""Every count metric as one thing that can be evaluated on any counts: its value, derivative and nature."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from evalkit.catalogue import METRICS, PER_CLASS_NAMES, Metric
from evalkit.metrics.averages import Policy, average, average_gradient
from evalkit.metrics.margins import Array, Gradient, Margins
from evalkit.metrics.overall import OVERALL, Value, expected_cost, expected_cost_gradient
from evalkit.metrics.ratios import PER_CLASS, SUMS, Floats, Mask, per_class, per_class_gradient

Scalar = int | float | str
Params = Mapping[str, Scalar]
Kind = Literal["count", "proportion", "f1", "bounded", "unbounded"]

CELLS = ("tp", "fp", "fn", "tn", "support")
_PROPORTIONS = frozenset({"precision", "recall", "specificity", "npv", "fpr", "fnr", "jaccard"})
_RATIOS = frozenset({*PER_CLASS, *SUMS, "fbeta"})


@dataclass(frozen=True, slots=True)
class Estimand:
    """One metric, average and parameters.

    Attributes:
        metric: The catalogue's entry.
        params: Its parameters, as they stand in a row's key.
        average: Over classes, or None.
        by_class: Whether it has a value per class, shape (..., K), instead of one, shape (...).
        kind: What its interval is made of.
        value: From margins.
        limits: Of an unbounded metric, where its own parameters bound it.
        gradient: From the smoothed margins and the observed ones; None for a count.
    """

    metric: Metric
    value: Callable[[Margins], Value]
    gradient: Callable[[Margins, Margins], Gradient] | None
    kind: Kind
    params: Params = field(default_factory=dict)
    average: str | None = None
    by_class: bool = False
    limits: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """What all estimands of a run share.

    Attributes:
        task: binary, multiclass or multilabel.
        members: The class set of the averages, shape (K,).
        policy: What an average means.
        averages: Which averages over classes.
        cost: ``cost[i, j]`` of true class i taken for j, shape (K, K), or None.
    """

    task: str
    members: Mask
    policy: Policy = Policy()  # noqa: RUF009 - frozen
    averages: Sequence[str] = ("micro", "macro", "weighted")
    cost: Floats | None = None


def summary_estimands(slug: str, params: Params, scope: Scope) -> Iterator[Estimand]:
    """Yield what a run's summary says of a count metric: one value, or one an average."""
    metric = METRICS[slug]
    if slug in _RATIOS:
        for kind in metric.averages_in(scope.task):
            if kind in scope.averages and kind != "samples":
                yield _averaged(metric, params, kind, scope)
    elif slug == "average_recall":
        inner = _averaged(METRICS["recall"], {}, "macro", scope)
        yield Estimand(metric, inner.value, inner.gradient, "bounded")
    elif slug == "expected_cost":
        if scope.cost is not None:
            yield _costly(metric, scope.cost)
    elif scope.task in metric.overall and slug in OVERALL:
        value, gradient = OVERALL[slug]
        nature: Kind = "proportion" if slug == "accuracy" else "bounded"
        yield Estimand(metric, value, lambda smooth, _: gradient(smooth), nature)


def class_estimands(asked: Sequence[tuple[str, Params]]) -> Iterator[Estimand]:
    """Yield the per-class columns: the fixed ones, and those of the metrics that were asked for."""
    fixed: list[tuple[str, Params]] = [(slug, {}) for slug in PER_CLASS_NAMES]
    seen = set()
    for slug, params in [*fixed, *asked]:
        key = (slug, tuple(sorted(params.items())))
        if key in seen or slug not in (*CELLS, *_RATIOS):
            continue
        seen.add(key)
        yield _cell(METRICS[slug]) if slug in CELLS else _of_classes(METRICS[slug], params)


def _cell(metric: Metric) -> Estimand:
    def value(margins: Margins) -> Value:
        found = getattr(margins, metric.slug)
        return Value(found, np.zeros(found.shape, bool))

    return Estimand(metric, value, None, "count", by_class=True)


def _of_classes(metric: Metric, params: Params) -> Estimand:
    beta = float(params.get("beta", 1))

    def value(margins: Margins) -> Value:
        ratio = per_class(margins, metric.slug, beta=beta)
        parts = () if metric.slug in SUMS else (ratio.numerator, ratio.denominator)
        return Value(ratio.value, ratio.undefined, None, *parts)

    kind: Kind = "f1" if metric.slug == "f1" else "proportion" if metric.slug in _PROPORTIONS else "bounded"
    return Estimand(
        metric,
        value,
        lambda smooth, _: per_class_gradient(smooth, metric.slug, beta=beta),
        kind,
        params,
        by_class=True,
    )


def _averaged(metric: Metric, params: Params, kind: str, scope: Scope) -> Estimand:
    slug, members, zero = metric.slug, scope.members, scope.policy.zero_division
    beta = float(params.get("beta", 1))

    def value(margins: Margins) -> Value:
        found = average(margins, slug, kind, members=members, zero_division=zero, beta=beta)
        parts: tuple[Array, ...] = ()
        if found.ratio is not None:
            parts = (found.ratio.numerator, found.ratio.denominator)
        return Value(found.value, found.undefined, found.n_classes, *parts)

    def gradient(smooth: Margins, observed: Margins) -> Gradient:
        left_out = per_class(observed, slug, beta=beta).undefined if zero == "nan" else None
        return average_gradient(smooth, slug, kind, members=members, left_out=left_out, beta=beta)

    # Micro precision and recall count each sample once; other micro averages several times.
    single = kind == "micro" and slug in ("precision", "recall", "fnr") and scope.task != "multilabel"
    return Estimand(metric, value, gradient, "proportion" if single else "bounded", params, kind)


def _costly(metric: Metric, cost: Floats) -> Estimand:
    return Estimand(
        metric,
        lambda margins: expected_cost(margins, cost),
        lambda smooth, _: expected_cost_gradient(smooth, cost),
        "unbounded",
        limits=(float(cost.min()), float(cost.max())),
    )
