"""The rows that counts determine, with their intervals: of a whole run, or of every slice at once."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from evalkit.catalogue import METRICS
from evalkit.metrics import Margins, Value, class_members
from evalkit.metrics.estimands import Estimand, Scope, class_estimands, summary_estimands
from evalkit.metrics.prevalence import REWEIGHTED, STATED, reweighted
from evalkit.metrics.ratios import Floats, Mask
from evalkit.rows import Array, Column, Measures, MetricRow
from evalkit.uncertainty import Independent, Sampling, wilson, wilson_effective, wilson_f1
from evalkit.uncertainty.replicates import percentile_intervals

_RESAMPLED = "bootstrap"
_NARROWEST = 1e-12
# Metrics of single cells, not of margins alone.
_OF_CELLS = frozenset({"expected_cost", "cohen_kappa_linear", "cohen_kappa_quadratic"})


def count_rows(
    matrix: Array,
    class_names: Sequence[str],
    measures: Measures,
    *,
    members: Mask | None = None,
    sampling: Sampling | None = None,
) -> list[MetricRow]:
    """Compute all rows of one run from its counts.

    Args:
        matrix: Shape (K, K), or (L, 2, 2) for a multilabel task.
        class_names: In the counts' order.
        measures: What to compute.
        members: The class set of the averages; by default the policy's own for these counts.
        sampling: How samples hang together; independent by default.
    """
    stack = matrix[None]
    n_samples = int(margins_of(stack, measures.task).n[0, 0])
    return [
        row
        for column in count_columns(stack, measures, members=members, sampling=sampling)
        for row in column.rows(0, class_names, n_samples=n_samples, level=measures.level)
    ]


def count_columns(
    matrix: Array,
    measures: Measures,
    *,
    members: Mask | None = None,
    sampling: Sampling | None = None,
    by_class: bool = True,
) -> Iterator[Column]:
    """Compute the columns of all slices, counts of shape (S, K, K) or (S, L, 2, 2), in one pass each.

    Args:
        matrix, measures, members, sampling: As in :func:`count_rows`.
        by_class: Whether to compute the columns with a value per class.
    """
    margins = margins_of(matrix, measures.task)
    if members is None:
        members = members_of(margins, measures)
    cost = None if measures.cost is None else np.array(measures.cost, float)
    scope = Scope(measures.task, members, measures.policy, measures.averages, cost)
    found = [item for slug, params in measures.asked for item in summary_estimands(slug, params, scope)]
    if by_class:
        found += class_estimands(measures.asked)
    independent = None if measures.task == "multilabel" else Independent.of(matrix)
    yield from _with_intervals(found, matrix, margins, measures, sampling or independent)
    if measures.prevalence is not None:
        yield from _reweighted(matrix, measures, by_class=by_class)


def trivial(margins: Margins, task: str, *, cells: bool) -> Margins:
    """Return the margins of a model that always says the commonest class, or label, of the same samples.

    Args:
        margins: Of the samples.
        task: Theirs.
        cells: Whether its cells are needed, too.
    """
    support = margins.support
    if task == "multilabel":
        predicted = np.where(2 * support > margins.n, margins.n, 0)
        return Margins(np.where(predicted > 0, support, 0), support, predicted, margins.n)
    commonest = support.argmax(axis=-1)[..., None]
    said = np.arange(support.shape[-1]) == commonest
    matrix = np.where(said[..., None, :], support[..., :, None], 0) if cells else None
    return Margins(np.where(said, support, 0), support, np.where(said, margins.n, 0), margins.n, matrix)


def margins_of(matrix: Array, task: str) -> Margins:
    """Return the margins of counts: of exclusive classes, or of labels."""
    return Margins.of_labels(matrix) if task == "multilabel" else Margins.of(matrix)


def members_of(margins: Margins, measures: Measures) -> Mask:
    """Return the class set of a run's averages, shape (K,)."""
    return class_members(margins, measures.policy, multilabel=measures.task == "multilabel")


def _with_intervals(
    estimands: Sequence[Estimand],
    matrix: Array,
    margins: Margins,
    measures: Measures,
    sampling: Sampling | None,
) -> Iterator[Column]:
    values = [item.value(margins) for item in estimands]
    simple = trivial(margins, measures.task, cells=any(item.metric.slug in _OF_CELLS for item in estimands))
    baselines = [None if item.by_class else item.value(simple).value for item in estimands]
    if measures.method == _RESAMPLED and measures.task != "multilabel":
        bounds = percentile_intervals(matrix, [item.value for item in estimands], level=measures.level)
        for item, value, interval, baseline in zip(estimands, values, bounds, baselines, strict=True):
            known, reason = (None, "count") if item.kind == "count" else (interval, "zero_variance")
            yield replace(_column(item, value, known, "bootstrap", reason), trivial=baseline)
        return
    for item, value, baseline in zip(estimands, values, baselines, strict=True):
        yield replace(_closed(item, value, margins, measures.level, sampling), trivial=baseline)


def _closed(
    item: Estimand, value: Value, margins: Margins, level: float, sampling: Sampling | None
) -> Column:
    if item.kind == "count":
        return _column(item, value, None, None, "count")
    if sampling is None:
        return _column(item, value, None, None, "no_samples_stored")
    enough = sampling.enough()
    reason = "zero_variance" if enough.all() else "too_few_clusters"
    if sampling.independent and item.kind == "proportion":
        assert value.numerator is not None
        assert value.denominator is not None
        interval, method = wilson(value.numerator, value.denominator, level=level), "wilson"
    elif sampling.independent and _is_accuracy(item, value, margins):
        assert value.numerator is not None
        interval, method = wilson(value.numerator // 2, margins.n[..., 0], level=level), "wilson"
    elif sampling.independent and item.kind == "f1":
        union = margins.support + margins.predicted - margins.tp
        interval, method = wilson_f1(margins.tp, union, level=level), "wilson-jaccard"
    else:
        interval, method = _by_influence(item, value, margins, level, sampling)
    known = (enough[:, None] if item.by_class else enough) & ~value.undefined
    with np.errstate(invalid="ignore"):
        known = known & (interval[1] - interval[0] > _NARROWEST)  # a variance of rounding errors is none
    interval = (np.where(known, interval[0], np.nan), np.where(known, interval[1], np.nan))
    return _column(item, value, interval, method + sampling.name, reason)


def _is_accuracy(item: Estimand, value: Value, margins: Margins) -> bool:
    """Return whether a micro F1 is over all classes that were seen: it counts every sample twice then."""
    if item.average != "micro" or item.metric.slug != "f1" or value.denominator is None:
        return False
    return margins.matrix is not None and bool((value.denominator == 2 * margins.n[..., 0]).all())


def _by_influence(
    item: Estimand, value: Value, margins: Margins, level: float, sampling: Sampling
) -> tuple[tuple[Floats, Floats], str]:
    assert item.gradient is not None
    smooth = sampling.margins
    with np.errstate(invalid="ignore", divide="ignore"):
        gradient = item.gradient(smooth, margins)
        variance = sampling.class_variance(gradient) if item.by_class else sampling.variance(gradient)
    quantile = sampling.quantile(level)
    quantile = quantile[:, None] if item.by_class else quantile
    if item.kind == "unbounded":
        half = np.where(variance > 0, quantile * np.sqrt(variance), np.nan)
        lowest, highest = item.limits or (-np.inf, np.inf)
        return (np.maximum(value.value - half, lowest), np.minimum(value.value + half, highest)), "normal"
    assert item.metric.lower is not None
    assert item.metric.upper is not None
    interval = wilson_effective(
        value.value,
        item.value(smooth).value,
        variance,
        level=level,
        lower=item.metric.lower,
        upper=item.metric.upper,
        quantile=quantile,
    )
    return interval, "wilson-effective"


def _column(
    item: Estimand, value: Value, interval: tuple[Floats, Floats] | None, method: str | None, no_interval: str
) -> Column:
    return Column(
        item.metric,
        value.value,
        value.undefined,
        item.metric.undefined or ("no_samples" if item.average is None else "no_defined_class"),
        item.params,
        item.average,
        item.by_class,
        interval,
        method,
        no_interval,
        _integral(value.numerator),
        _integral(value.denominator),
        value.n_classes,
    )


def _integral(part: Array | None) -> Array | None:
    """Keep counts; a numerator of F-beta is none."""
    return part if part is not None and part.dtype.kind == "i" else None


def _reweighted(matrix: Array, measures: Measures, *, by_class: bool) -> Iterator[Column]:
    """Yield accuracy, precision and NPV at the stated prevalence."""
    shares = np.array(measures.prevalence, float)
    calm = Independent.of(matrix).margins.matrix
    assert calm is not None
    for slug in REWEIGHTED if by_class else REWEIGHTED[:1]:
        found, smooth = reweighted(matrix, shares, slug), reweighted(calm, shares, slug)
        low, high = wilson_effective(found.value, smooth.value, smooth.variance, level=measures.level)
        yield Column(
            METRICS[slug],
            found.value,
            found.undefined,
            METRICS[slug].undefined or "no_samples",
            STATED,
            by_class=slug != "accuracy",
            interval=(np.where(found.undefined, np.nan, low), np.where(found.undefined, np.nan, high)),
            method="wilson-effective",
        )
