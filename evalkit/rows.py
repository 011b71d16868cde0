"""The tidy metric rows of a document: which rows a run has, their keys, values and intervals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.catalogue import AVERAGES, METRICS, PER_CLASS_NAMES, Metric, find_metric
from evalkit.counts import ConfusionCounts
from evalkit.display import quoted
from evalkit.metrics import Policy, Ratio, accuracy, average, balanced_accuracy, class_members, per_class
from evalkit.metrics.ratios import Mask
from evalkit.uncertainty import wilson

Scalar = int | float | str
RowKey = tuple[
    str, tuple[tuple[str, Scalar], ...], str | None, str | None, tuple[tuple[str, Scalar], ...] | None
]

_PROPORTIONS = {"precision", "recall", "specificity"}


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
    metric, _, average_kind, class_name, _ = key
    text = f"{average_kind} {metric}" if average_kind else metric
    return f"{text} of {quoted(class_name)}" if class_name is not None else text


def possible_keys(metric: Metric, class_names: Sequence[str]) -> list[RowKey]:
    """List the keys that a metric can have in a run over these classes."""
    keys = [row_key(metric.slug)] if metric.overall else []
    keys += [row_key(metric.slug, average=kind) for kind in metric.averages]
    if metric.per_class:
        keys += [row_key(metric.slug, class_name=name) for name in class_names]
    return keys


def metric_rows(
    counts: ConfusionCounts,
    class_names: Sequence[str],
    *,
    policy: Policy,
    names: Sequence[str],
    averages: Sequence[str],
    level: float,
    members: Mask | None = None,
) -> list[MetricRow]:
    """Compute all rows of a run from its counts, shape (K, K).

    Args:
        counts: The whole run.
        class_names: In the counts' order.
        policy: What an average means.
        names: Metrics of the summary; the per-class rows of DESIGN's fixed set are always there.
        averages: Which averages over classes.
        level: The confidence level of the intervals.
        members: The class set of the averages; by default the policy's own for these counts.
    """
    builder = _Builder(counts, tuple(class_names), policy, level, members)
    rows: list[MetricRow] = []
    for name in dict.fromkeys(names):
        rows += builder.summary(find_metric(name), [kind for kind in AVERAGES if kind in averages])
    for name in PER_CLASS_NAMES:
        rows += builder.by_class(METRICS[name])
    return rows


class _Builder:
    """Turns arrays into rows; holds what all rows of one run share."""

    def __init__(
        self,
        counts: ConfusionCounts,
        class_names: tuple[str, ...],
        policy: Policy,
        level: float,
        members: Mask | None,
    ) -> None:
        self.counts = counts
        self.class_names = class_names
        self.policy = policy
        self.level = level
        self.members = class_members(counts, policy) if members is None else members
        self.n_samples = int(counts.n_samples)

    def summary(self, metric: Metric, averages: Sequence[str]) -> Iterator[MetricRow]:
        if metric.slug == "accuracy":
            yield from self._ratio_rows(metric, accuracy(self.counts), [None])
        elif metric.slug == "balanced_accuracy":
            value, undefined, n_classes = balanced_accuracy(self.counts)
            reason = "no_defined_class" if undefined else None
            yield self._row(metric, value=_number(value), undefined=reason, n_classes=int(n_classes))
        elif metric.averages:
            for kind in averages:
                yield self._average_row(metric, kind)

    def by_class(self, metric: Metric) -> Iterator[MetricRow]:
        if metric.slug in ("tp", "fp", "fn", "tn", "support"):
            for name, count in zip(self.class_names, getattr(self.counts, metric.slug).tolist(), strict=True):
                yield self._row(metric, class_name=name, value=count, no_interval="count")
        else:
            yield from self._ratio_rows(metric, per_class(self.counts, metric.slug), self.class_names)

    def _ratio_rows(self, metric: Metric, ratio: Ratio, names: Sequence[str | None]) -> Iterator[MetricRow]:
        proportion = metric.slug in _PROPORTIONS or metric.overall
        low, high = wilson(ratio.numerator, ratio.denominator, level=self.level)
        columns = (ratio.value, ratio.numerator, ratio.denominator, low, high)
        for name, value, numerator, denominator, lower, upper in zip(
            names, *(np.atleast_1d(column).tolist() for column in columns), strict=True
        ):
            defined = denominator > 0
            yield self._row(
                metric,
                class_name=name,
                value=value if defined else None,
                numerator=numerator,
                denominator=denominator,
                undefined=None if defined else metric.undefined or "no_samples",
                interval=(lower, upper) if defined and proportion else None,
            )

    def _average_row(self, metric: Metric, kind: str) -> MetricRow:
        result = average(
            self.counts,
            metric.slug,
            kind,
            members=self.members,
            zero_division=self.policy.zero_division,
        )
        ratio = result.ratio
        return self._row(
            metric,
            average=kind,
            value=_number(result.value),
            numerator=None if ratio is None else int(ratio.numerator),
            denominator=None if ratio is None else int(ratio.denominator),
            undefined="no_defined_class" if result.undefined else None,
            interval=None if ratio is None or result.undefined else self._micro_interval(metric, ratio),
            n_classes=int(result.n_classes),
        )

    def _micro_interval(self, metric: Metric, ratio: Ratio) -> tuple[float, float] | None:
        """Give Wilson's interval where a micro average is a share of independent samples.

        Micro specificity counts each sample K - 1 times, so its denominator is no number of trials; micro F1
        counts each twice, and is the accuracy where all classes that were seen went in.
        """
        numerator, denominator = int(ratio.numerator), int(ratio.denominator)
        if metric.slug == "f1" and denominator == 2 * self.n_samples:
            numerator, denominator = numerator // 2, self.n_samples
        elif metric.slug not in ("precision", "recall"):
            return None
        low, high = wilson(numerator, denominator, level=self.level)
        return float(low), float(high)

    def _row(
        self,
        metric: Metric,
        *,
        value: float | None,
        average: str | None = None,
        class_name: str | None = None,
        numerator: int | None = None,
        denominator: int | None = None,
        undefined: str | None = None,
        interval: tuple[float, float] | None = None,
        no_interval: str | None = None,
        n_classes: int | None = None,
    ) -> MetricRow:
        low, high = interval or (None, None)
        missing = no_interval or ("undefined" if undefined else "not_available_yet")
        return MetricRow(
            metric=metric.slug,
            params={},
            average=average,
            class_name=class_name,
            slice=None,
            value=value,
            numerator=numerator,
            denominator=denominator,
            undefined=undefined,
            low=low,
            high=high,
            level=self.level if interval else None,
            method="wilson" if interval else None,
            no_interval=None if interval else missing,
            n_samples=self.n_samples,
            n_classes=n_classes,
            greater_is_better=metric.greater_is_better,
        )


def _number(value: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float | None:
    number = float(value)
    return None if np.isnan(number) else number
