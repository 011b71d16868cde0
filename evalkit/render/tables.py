"""The tables of the page as finished strings: headline metrics, gates, classes, slices, integrity."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.catalogue import METRICS
from evalkit.display import MAX_TEXT, show, visible
from evalkit.reasons import UNDEFINED_TEXTS
from evalkit.render.charts import Chart, RowPoint, row_chart
from evalkit.render.heading import STATE_WORDS
from evalkit.render.numbers import (
    digits_of,
    interval_text,
    row_note,
    signed,
    signed_interval,
    value_text,
)
from evalkit.render.terms import Terms
from evalkit.result import EvalResult, SliceRow
from evalkit.rows import MetricRow, describe, describe_slice, row_key
from evalkit.verdict import Check, Verdict

CLASS_COLUMNS = ("support", "tp", "fp", "fn", "tn", "precision", "recall", "f1", "specificity")
# Metrics with their interval in the table of classes: the page of a thousand classes stays small.
_WITH_INTERVAL = ("precision", "recall")
_HEADLINES = (
    ("accuracy", None),
    ("subset_accuracy", None),
    ("balanced_accuracy", None),
    ("f1", "macro"),
    ("mcc", None),
    ("expected_cost", None),
    ("log_loss", None),
    ("roc_auc", None),
    ("roc_auc", "macro"),
    ("ece", None),
)
_RULES = {"min": "at least", "max": "at most", "max_drop": "drop at most", "min_gain": "gain at least"}
MAX_SLICE_ROWS = 40


@dataclass(frozen=True, slots=True)
class MetricView:
    """A metric of the whole run."""

    label: str
    value: str
    interval: str
    counts: str
    change: str
    trivial: str
    note: str
    headline: bool


@dataclass(frozen=True, slots=True)
class GateView:
    """One judged limit."""

    number: str
    anchor: str
    state: str
    word: str
    row: str
    rule: str
    found: str
    sentence: str
    advisory: bool
    power: str
    members: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class ClassView:
    """One row of the table of classes; each cell is (text, interval or reason)."""

    anchor: str
    name: str
    failing: bool
    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SliceView:
    """One slice: its headline metric, and how far it is from the rest."""

    name: str
    support: str
    metric: str
    value: str
    interval: str
    difference: str
    note: str


@dataclass(frozen=True, slots=True)
class IntegrityView:
    """One integrity check."""

    check: str
    status: str
    word: str
    detail: str


def metric_views(result: EvalResult, verdict: Verdict | None, terms: Terms) -> tuple[MetricView, ...]:
    """Return every metric of the whole run, headlines first; of a binary run the positive class's, too."""
    compared = (verdict.comparison if verdict else None) or {}
    changes = {_compared_key(row): row for row in compared.get("rows") or ()}
    gated = {check.metric for check in verdict.checks} if verdict else set()
    rows = [row for row in result.metrics if row.class_name is None and row.slice is None]
    positive = [
        row
        for row in result.metrics
        if row.class_name is not None
        and row.class_name == result.positive_class
        and row.slice is None
        and row.metric in ("precision", "recall", "specificity")
    ]
    views = [_metric_view(row, changes, gated, terms) for row in rows]
    views += [_metric_view(row, {}, {row.metric}, terms) for row in positive]
    return tuple(sorted(views, key=lambda view: not view.headline))


def _compared_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["metric"], tuple(sorted(row["params"].items())), row["average"]


def _metric_view(
    row: MetricRow, changes: Mapping[tuple[Any, ...], Mapping[str, Any]], gated: set[str], terms: Terms
) -> MetricView:
    label = terms.metric(row.metric, row.average, row.params)
    if row.class_name is not None:
        label = f"{label} of {visible(row.class_name)}"
    change = changes.get(row.key[:3])
    headline = is_headline(row)
    counts = "" if row.numerator is None else f"{row.numerator:,} / {row.denominator:,}"
    return MetricView(
        label,
        value_text(row),
        interval_text(row),
        counts,
        "" if change is None else _change(change),
        "" if row.trivial is None else show(row.trivial, digits_of(row.low, row.high)),
        row_note(row),
        headline or (row.metric in gated and row.average in (None, "macro")) or "prevalence" in row.params,
    )


def is_headline(row: MetricRow) -> bool:
    """Return whether a row of the whole run is one of those that are shown first."""
    return (row.metric, row.average) in _HEADLINES and row.params.get("bins") != "width"


def _change(change: Mapping[str, Any]) -> str:
    low, high = change["low"], change["high"]
    text = signed(change["difference"], low, high)
    bounds = signed_interval(low, high)
    return f"{text} ({bounds})" if bounds else text


def gate_views(verdict: Verdict | None) -> tuple[GateView, ...]:
    """Return every judged limit."""
    return tuple(_gate_view(check) for check in verdict.checks) if verdict else ()


def _gate_view(check: Check) -> GateView:
    rule = f"{_RULES[check.rule]} {repr(check.limit).removesuffix('.0')}"
    if check.judge != "point":
        rule += f", by {check.judge}"
    held = check.drop if check.rule in ("max_drop", "min_gain") else check.value
    found = "" if held is None else show(held, digits_of(check.low, check.high))
    if check.low is not None and check.high is not None:
        digits = digits_of(check.low, check.high)
        found += f" ({show(check.low, digits)} to {show(check.high, digits)})"
    return GateView(
        str(check.gate + 1),
        f"gate-{check.gate + 1}",
        check.outcome,
        STATE_WORDS[check.outcome] + (", advisory" if check.advisory else ""),
        visible(describe(check.key), limit=MAX_TEXT),
        rule,
        found,
        visible(check.sentence, limit=MAX_TEXT),
        check.advisory,
        "" if check.power is None else visible(check.power.sentence, limit=MAX_TEXT),
        tuple(_member(member) for member in check.members),
    )


def _member(member: Any) -> tuple[str, ...]:
    """Return one member of a family: its name, value, samples, p values and outcome."""
    name = visible(member.class_name or "") if member.slice is None else visible(describe_slice(member.slice))
    held = member.value if member.drop is None else member.drop
    p = "" if member.adjusted is None else f"{member.adjusted:.3g}"
    few = member.reason in ("", "insufficient")
    word = STATE_WORDS[member.outcome] if member.outcome else "too few samples" if few else "no interval"
    return name, "n/a" if held is None else show(held), f"{member.support:,}", p, word


def class_columns(terms: Terms, *, changed: bool) -> tuple[str, ...]:
    """Return the heads of the table of classes."""
    return (
        "Class",
        *(terms.metric(slug) for slug in CLASS_COLUMNS),
        *(("Change in recall",) if changed else ()),
    )


def class_views(result: EvalResult, verdict: Verdict | None) -> tuple[ClassView, ...]:
    """Return each class against the rest; failing are those that a gate fails, alone or in a family."""
    by_class: dict[str, dict[str, MetricRow]] = {name: {} for name in result.class_names}
    for row in result.metrics:
        if row.class_name is not None and row.slice is None and "prevalence" not in row.params:
            by_class[row.class_name][row.metric] = row
    flips = ((verdict.comparison if verdict else None) or {}).get("flips")
    changes = {one["class_name"]: one for one in flips["by_class"]} if flips else None
    failing = set(_failing(verdict))
    return tuple(
        ClassView(
            f"class-{position}",
            visible(name),
            name in failing,
            tuple(_cell(rows.get(slug)) for slug in CLASS_COLUMNS)
            + (() if changes is None else (_changed_cell(changes.get(name)),)),
        )
        for position, (name, rows) in enumerate(by_class.items(), 1)
        if rows
    )


def _failing(verdict: Verdict | None) -> Iterator[str]:
    for check in verdict.checks if verdict else ():
        if check.advisory:
            continue
        if check.outcome == "failed" and check.class_name is not None:
            yield check.class_name
        for member in check.members:
            if member.outcome == "failed" and member.class_name is not None:
                yield member.class_name


def _cell(row: MetricRow | None) -> tuple[str, str]:
    if row is None:
        return "", ""
    if row.value is None:
        return "n/a", UNDEFINED_TEXTS.get(row.undefined or "", str(row.undefined))
    return value_text(row), interval_text(row) if row.metric in _WITH_INTERVAL else ""


def _changed_cell(one: Mapping[str, Any] | None) -> tuple[str, str]:
    if one is None or one["difference"] is None:
        return "", ""
    return signed(one["difference"], one["low"], one["high"]), signed_interval(one["low"], one["high"])


def slice_views(result: EvalResult, terms: Terms) -> tuple[SliceView, ...]:
    """Show each slice by its first metric: accuracy, or what stands in for it."""
    return tuple(_slice_view(found, row, terms) for found, row in _slice_rows(result))


def _slice_rows(result: EvalResult) -> Iterator[tuple[SliceRow, MetricRow]]:
    rows = result.rows()
    headline = next((row for row in result.metrics if row.slice is not None and row.class_name is None), None)
    for found in result.slices if headline is not None else ():
        assert headline is not None
        key = row_key(headline.metric, params=headline.params, average=headline.average, slice_=found.slice)
        if key in rows:
            yield found, rows[key]


def _slice_view(found: SliceRow, row: MetricRow, terms: Terms) -> SliceView:
    gap = next(
        (one for one in found.differences if (one.metric, one.average) == (row.metric, row.average)), None
    )
    difference = "" if gap is None else signed(gap.value, gap.low, gap.high)
    if gap is not None and gap.low is not None and gap.high is not None:
        difference += f" ({signed_interval(gap.low, gap.high)})"
    return SliceView(
        visible(describe_slice(found.slice)),
        f"{found.n_samples:,}",
        terms.metric(row.metric, row.average),
        value_text(row),
        interval_text(row),
        difference,
        "insufficient" if found.insufficient else "",
    )


def slice_chart(result: EvalResult, terms: Terms) -> Chart | None:
    """Draw the slices with their intervals, the lowest first; insufficient ones are hollow."""
    found = [(one, row) for one, row in _slice_rows(result) if row.value is not None]
    if not found:
        return None
    found.sort(key=lambda pair: float(pair[1].value or 0))
    shown = found[:MAX_SLICE_ROWS]
    metric = shown[0][1]
    whole = result.rows().get(row_key(metric.metric, params=metric.params, average=metric.average))
    label = terms.metric(metric.metric, metric.average)
    points = [
        RowPoint(
            visible(describe_slice(one.slice)),
            float(row.value or 0),
            (row.low, row.high) if row.low is not None and row.high is not None else None,
            one.insufficient,
            f"{visible(describe_slice(one.slice))}: {value_text(row)}, {one.n_samples:,} samples",
        )
        for one, row in shown
    ]
    lowest = visible(describe_slice(shown[0][0].slice))
    more = len(found) - len(shown)
    finding = f"Lowest is {lowest}: {value_text(shown[0][1])}" + (
        f"; {more} higher ones are in the table." if more > 0 else "."
    )
    table = tuple((point.name, f"{one.n_samples:,}", value_text(row), interval_text(row))
                  for point, (one, row) in zip(points, shown, strict=True))  # fmt: skip
    return row_chart(
        points,
        id="slice-chart",
        title=f"{label} by {terms.slice}",
        finding=finding,
        x_label=label,
        header=(terms.slice.capitalize(), "Samples", label, "Interval"),
        rows=table,
        mark=None if whole is None or whole.value is None else float(whole.value),
    )


def integrity_views(result: EvalResult) -> tuple[IntegrityView, ...]:
    """Return the checks that say whether the numbers can be trusted."""
    words = {"ok": "ok", "warn": "warning", "fail": "failed", "not_run": "not run"}
    return tuple(
        IntegrityView(
            visible(row.check.replace("_", " ")),
            row.status,
            words[row.status],
            visible(row.detail, limit=MAX_TEXT),
        )
        for row in result.integrity
    )


def method_facts(result: EvalResult) -> tuple[tuple[str, str], ...]:
    """Return how each metric of the page is computed."""
    used = dict.fromkeys(row.metric for row in result.metrics if row.metric in METRICS)
    return tuple((METRICS[slug].label, METRICS[slug].formula) for slug in used)
