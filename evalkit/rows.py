"""The tidy metric rows of a document: their keys, and how columns of numbers become rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.catalogue import (
    DEFAULT_COUNTED,
    DEFAULT_MULTILABEL,
    DEFAULT_SCORED,
    METRICS,
    Metric,
    find_metric,
)
from evalkit.display import quoted
from evalkit.metrics import Policy
from evalkit.metrics.estimands import Params, Scalar
from evalkit.metrics.ratios import Floats, Mask

Array = NDArray[Any]
# The slice of samples that have no value, and the size below which nothing is concluded from a slice.
MISSING = "missing"
MIN_SUPPORT = 30
RowKey = tuple[
    str, tuple[tuple[str, Scalar], ...], str | None, str | None, tuple[tuple[str, Scalar], ...] | None
]


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One number of a document.

    Attributes:
        metric, params, average, class_name, slice: The key.
        value: Raw, never rounded; None where undefined.
        numerator, denominator: Of a ratio of counts, else None.
        undefined: The reason for a None value.
        low, high, level, method: The interval; None where there is none, and then ``no_interval`` says why.
        n_samples: Samples behind the row.
        n_classes: Classes that went into an average, else None.
        greater_is_better: The direction; None for a plain count.
        trivial: What a model has that only knows the classes' shares: the commonest class, or their prior.
        bound: Half-width within which the value of the unbinned scores lies; None where nothing was binned.
    """

    metric: str
    params: Mapping[str, Scalar]
    average: str | None
    class_name: str | None
    slice: Mapping[str, Scalar] | None
    value: float | int | None
    numerator: int | None
    denominator: int | None
    undefined: str | None
    low: float | None
    high: float | None
    level: float | None
    method: str | None
    no_interval: str | None
    n_samples: int
    n_classes: int | None
    greater_is_better: bool | None
    bound: float | None = None
    trivial: float | None = None

    @property
    def key(self) -> RowKey:
        """What makes the row unique in its document."""
        return row_key(
            self.metric,
            params=self.params,
            average=self.average,
            class_name=self.class_name,
            slice_=self.slice,
        )


def row_key(
    metric: str,
    *,
    params: Mapping[str, Scalar] | None = None,
    average: str | None = None,
    class_name: str | None = None,
    slice_: Mapping[str, Scalar] | None = None,
) -> RowKey:
    """Build a row's key: (metric, params, average, class_name, slice)."""
    sliced = None if slice_ is None else tuple(sorted(slice_.items()))
    return (metric, tuple(sorted((params or {}).items())), average, class_name, sliced)


def describe(key: RowKey) -> str:
    """Name a row for people, such as ``recall of '8'`` or ``macro f1``."""
    metric, params, average_kind, class_name, slice_ = key
    text = f"{average_kind} {metric}" if average_kind else metric
    if params:
        text += f" ({describe_params(dict(params))})"
    if class_name is not None:
        text += f" of {quoted(class_name)}"
    return f"{text} where {describe_slice(dict(slice_))}" if slice_ else text


def describe_params(params: Mapping[str, Scalar]) -> str:
    """Write parameters such as ``k = 5``."""
    return ", ".join(
        f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}"
        for name, value in params.items()
    )


def describe_slice(slice_: Mapping[str, Scalar]) -> str:
    """Write a slice such as ``ink = low and age in [18, 65)``."""
    return " and ".join(f"{name}{_relation(value)}" for name, value in slice_.items())


def _relation(value: Scalar) -> str:
    """Write a value, or one of the bins that :func:`bin_names` names."""
    text = str(value)
    if text.startswith("["):
        return f" in {text}"
    return f" {text}" if text.startswith(("<", ">=")) else f" = {text}"


def bin_names(edges: Sequence[float]) -> list[str]:
    """Return the names of the bins of a column: below the first edge, between edges, from the last on."""
    inner = [f"[{low:g}, {high:g})" for low, high in pairwise(edges)]
    return [f"< {edges[0]:g}", *inner, f">= {edges[-1]:g}", MISSING]


def possible_keys(
    metric: Metric,
    class_names: Sequence[str],
    *,
    task: str,
    params: Params | None = None,
    slice_: Mapping[str, Scalar] | None = None,
) -> list[RowKey]:
    """List the keys that a metric can have in a run of this task over these classes."""
    shared: dict[str, Any] = {"params": params, "slice_": slice_}
    keys = [row_key(metric.slug, **shared)] if task in metric.overall else []
    keys += [row_key(metric.slug, average=kind, **shared) for kind in metric.averages_in(task)]
    if task in metric.per_class:
        keys += [row_key(metric.slug, class_name=name, **shared) for name in class_names]
    return keys


def asked_metric(
    slug: str, *, k: int | None = None, beta: float | None = None, bins: str | None = None
) -> tuple[str, Params]:
    """Return a metric with its parameters: those that were said, else the catalogue's defaults."""
    said: dict[str, Scalar] = {} if k is None else {"k": k}
    if beta is not None:
        said["beta"] = float(beta)
    if bins is not None:
        said["bins"] = bins
    return slug, {name: said.get(name, default) for name, default in find_metric(slug).params.items()}


def default_metrics(task: str, n_classes: int, *, scored: bool) -> list[tuple[str, Params]]:
    """Return what a summary holds unless said: with scores also what needs them."""
    slugs = [*(DEFAULT_MULTILABEL if task == "multilabel" else DEFAULT_COUNTED)]
    slugs += DEFAULT_SCORED if scored else ()
    asked = [asked_metric(slug) for slug in slugs]
    return [
        (slug, params)
        for slug, params in asked
        if task in (*METRICS[slug].overall, *METRICS[slug].per_class)
        and (slug != "top_k_accuracy" or n_classes > int(params["k"]))
    ]


@dataclass(frozen=True, slots=True)
class Measures:
    """What to compute of a run, whichever door it came through.

    Attributes:
        task: binary, multiclass or multilabel.
        asked: Metrics of the summary with their parameters; the per-class rows of the fixed set are always
            there.
        averages: Which averages over classes.
        policy: What an average means.
        level: The confidence level of the intervals.
        method: closed or bootstrap.
        cost: ``cost[i][j]`` of true class i taken for j, in class order.
        prevalence: The stated share of each class, in class order.
        positive: The index of the positive class of a binary task.
    """

    task: str = "multiclass"
    asked: tuple[tuple[str, Params], ...] = ()
    averages: tuple[str, ...] = ("micro", "macro", "weighted")
    policy: Policy = Policy()  # noqa: RUF009 - frozen
    level: float = 0.95
    method: str = "closed"
    cost: tuple[tuple[float, ...], ...] | None = None
    prevalence: tuple[float, ...] | None = None
    positive: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One metric of every slice, and of every class where it has a value per class.

    Attributes:
        metric, params, average, by_class: Which.
        value: Shape (S,) or (S, K); what stands under ``undefined`` is of no meaning.
        undefined: Mask.
        reason: The slug of why it is undefined.
        interval: Lower and upper bounds, NaN where there are none; None where there never are.
        method: The interval's.
        no_interval: Why there is none; ``undefined`` goes first.
        numerator, denominator: Of a quotient of counts.
        n_classes: How many classes went in.
        bound: How far binning may have moved a value.
        trivial: The value of a model that only knows the classes' shares; NaN where it has none.
    """

    metric: Metric
    value: Array
    undefined: Mask
    reason: str
    params: Params = field(default_factory=dict)
    average: str | None = None
    by_class: bool = False
    interval: tuple[Floats, Floats] | None = None
    method: str | None = None
    no_interval: str = "zero_variance"
    numerator: Array | None = None
    denominator: Array | None = None
    n_classes: Array | None = None
    bound: Array | None = None
    trivial: Array | None = None

    def rows(
        self,
        position: int,
        class_names: Sequence[str],
        *,
        n_samples: int,
        level: float,
        slice_: Mapping[str, Scalar] | None = None,
    ) -> Iterator[MetricRow]:
        """Yield the rows of one slice."""
        names: Sequence[str | None] = class_names if self.by_class else (None,)
        low, high = self.interval or (None, None)
        cells = zip(
            names,
            *(
                self._list(part, position, len(names))
                for part in (
                    self.value,
                    self.undefined,
                    low,
                    high,
                    self.numerator,
                    self.denominator,
                    self.n_classes,
                    self.bound,
                    self.trivial,
                )
            ),
            strict=True,
        )
        for name, value, undefined, lower, upper, numerator, denominator, n_classes, bound, trivial in cells:
            known = not undefined and lower is not None and lower == lower and upper == upper  # noqa: PLR0124
            yield MetricRow(
                self.metric.slug,
                self.params,
                self.average,
                name,
                slice_,
                None if undefined else value,
                numerator,
                denominator,
                self.reason if undefined else None,
                lower if known else None,
                upper if known else None,
                level if known else None,
                self.method if known else None,
                None if known else "undefined" if undefined else self.no_interval,
                n_samples,
                n_classes,
                self.metric.greater_is_better,
                None if undefined else bound,
                None if trivial is None or trivial != trivial else trivial,  # noqa: PLR0124
            )

    def _list(self, part: Array | None, position: int, size: int) -> list[Any]:
        if part is None:
            return [None] * size
        found: list[Any] = np.atleast_1d(part[position]).tolist()
        return found if len(found) == size else found * size
