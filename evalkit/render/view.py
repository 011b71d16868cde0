"""The typed view: everything that a page or a table shows, as finished strings in order."""

from dataclasses import dataclass
from typing import Any

from evalkit.catalogue import METRICS, NO_INTERVAL_TEXTS, UNDEFINED_TEXTS
from evalkit.display import MAX_TEXT, percent, show, visible
from evalkit.render.comparison import (
    FLIP_COLUMNS,
    common_lines,
    comparison_line,
    flip_groups,
    flip_lines,
)
from evalkit.render.facts import Facts, data_facts, model_facts, provenance_facts, run_facts
from evalkit.render.matrix import Confusion, Matrix, matrix_view, top_confusions
from evalkit.result import Difference, EvalResult, SliceRow
from evalkit.rows import MetricRow, describe, describe_params, describe_slice, row_key
from evalkit.verdict import Check, Outcome, Verdict

_CLASS_COLUMNS = ("support", "tp", "fp", "fn", "tn", "precision", "recall", "f1", "specificity")
_STATE_WORDS = {
    "passed": "passed",
    "failed": "failed",
    "inconclusive": "inconclusive",
    "cannot_judge": "cannot be judged",
    "none": "no gates set",
    "invalid": "invalid",
}
# What keeps a model from shipping, the worst first.
_OPEN: tuple[Outcome, ...] = ("failed", "cannot_judge", "inconclusive")
_RULES = {
    "min": "at least",
    "max": "at most",
    "max_drop": "drop at most",
    "min_gain": "gain at least",
}


@dataclass(frozen=True, slots=True)
class MetricView:
    """A headline metric: its name, value, interval and what it was made of."""

    label: str
    value: str
    interval: str
    counts: str
    trivial: str
    note: str


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
class PointView:
    """A threshold that is best on these very samples by some rule."""

    name: str
    threshold: str
    counts: tuple[str, str, str, str]
    precision: str
    recall: str


@dataclass(frozen=True, slots=True)
class GateView:
    """One judged limit."""

    number: str
    anchor: str
    state: str
    word: str
    row: str
    rule: str
    sentence: str
    advisory: bool
    power: str


@dataclass(frozen=True, slots=True)
class ClassView:
    """One row of the per-class table; each cell is (text, interval or reason)."""

    name: str
    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class IntegrityView:
    """One integrity check."""

    check: str
    status: str
    word: str
    detail: str


@dataclass(frozen=True, slots=True)
class ReportView:
    """Everything that is shown, from the verdict down."""

    title: str
    state: str
    state_word: str
    heading: str
    holds: str
    warnings: tuple[str, ...]
    notices: tuple[str, ...]
    summary: str
    metrics_caption: str
    metrics: tuple[MetricView, ...]
    slices: tuple[SliceView, ...]
    points: tuple[PointView, ...]
    gates: tuple[GateView, ...]
    comparison: tuple[tuple[str, ...], ...]
    common: tuple[str, ...]
    flips: tuple[str, ...]
    flip_columns: tuple[str, ...]
    flip_groups: tuple[tuple[str, ...], ...]
    compared_with: str
    matrix: Matrix | None
    confusions: tuple[Confusion, ...]
    class_columns: tuple[str, ...]
    classes: tuple[ClassView, ...]
    integrity: tuple[IntegrityView, ...]
    model: Facts
    data: Facts
    run: Facts
    provenance: Facts
    methods: Facts
    signature: str


def report_view(result: EvalResult, verdict: Verdict | None) -> ReportView:
    """Build the view of one run; a pure function of its documents."""
    state = "invalid" if not result.valid else verdict.outcome if verdict else "none"
    counts, exclusive = result.confusion, result.task != "multilabel"
    compared = (verdict.comparison if verdict else None) or {}
    return ReportView(
        title=visible(result.name),
        state=state,
        state_word=_STATE_WORDS[state],
        heading=_heading(result, verdict, state),
        holds="This page holds counts, class names and facts about the run; no samples.",
        warnings=() if verdict is None else tuple(visible(one, limit=MAX_TEXT) for one in verdict.warnings),
        notices=_notices(result, verdict),
        summary=_summary(result),
        metrics_caption=_metrics_caption(result),
        metrics=tuple(
            _metric_view(row) for row in result.metrics if row.class_name is None and row.slice is None
        ),
        slices=_slice_views(result),
        points=tuple(_point_view(point) for point in result.curves.get("operating_points") or ()),
        comparison=tuple(tuple(comparison_line(row)) for row in compared.get("rows") or ()),
        common=tuple(common_lines(compared["common"])) if "common" in compared else (),
        flips=tuple(flip_lines(compared["flips"])) if "flips" in compared else (),
        flip_columns=FLIP_COLUMNS,
        flip_groups=tuple(map(tuple, flip_groups(compared["flips"]))) if "flips" in compared else (),
        compared_with="" if verdict is None or verdict.baseline is None else visible(verdict.baseline.name),
        gates=tuple(_gate_view(check) for check in verdict.checks) if verdict else (),
        matrix=None if not exclusive or counts is None else matrix_view(counts, result.class_names),
        confusions=() if not exclusive or counts is None else top_confusions(counts, result.class_names),
        class_columns=tuple(METRICS[slug].label for slug in _CLASS_COLUMNS),
        classes=_class_views(result),
        integrity=tuple(
            IntegrityView(
                row.check.replace("_", " "),
                row.status,
                _status_word(row.status),
                visible(row.detail, limit=MAX_TEXT),
            )
            for row in result.integrity
        ),
        model=model_facts(result),
        data=data_facts(result),
        run=run_facts(result),
        provenance=provenance_facts(result),
        methods=_methods(result),
        signature=visible(result.signature, limit=MAX_TEXT),
    )


def _heading(result: EvalResult, verdict: Verdict | None, state: str) -> str:
    name = visible(result.name)
    if state == "invalid":
        return f"{name}: the run is invalid, no number can be trusted"
    if verdict is None or state == "none":
        return f"{name}: {_accuracy_words(result)}, no gates set"
    n_checks = sum(not check.advisory for check in verdict.checks)
    if state == "passed":
        return f"{name}: all {n_checks} gates passed" if n_checks > 1 else f"{name}: the gate passed"
    if verdict.warned and not verdict.counted("failed"):
        n = len(verdict.warnings)
        return f"{name}: {n} warning{'s' if n > 1 else ''}, which count as failures (--strict)"
    found = [(verdict.counted(outcome), _STATE_WORDS[outcome]) for outcome in _OPEN]
    first, *others = [(count, word) for count, word in found if count]
    rest = "".join(f", {count} {word}" for count, word in others)
    return f"{name}: {first[0]} of {n_checks} gates {first[1]}{rest}"


def _accuracy_words(result: EvalResult) -> str:
    row = next((row for row in result.metrics if row.metric in ("accuracy", "subset_accuracy")), None)
    if row is None or row.value is None:
        return "no accuracy"
    interval = "" if row.low is None or row.high is None else f" ({percent(row.low)} to {percent(row.high)})"
    return f"{percent(row.value)} right{interval}"


def _summary(result: EvalResult) -> str:
    size = f"{result.n_samples} samples, {len(result.class_names)} classes"
    if result.positive_class is not None:
        size += f", positive is {visible(result.positive_class)} at {result.threshold!r} or above"
    return f"{_accuracy_words(result)}: {size}" if result.valid else size


def _notices(result: EvalResult, verdict: Verdict | None) -> tuple[str, ...]:
    notices = [visible(text, limit=MAX_TEXT) for text in verdict.notes] if verdict else []
    if result.partial is not None:
        notices.append(f"Partial: {result.partial.limit} of {result.partial.of} samples were evaluated.")
    data = result.data
    if data.get("n_unreadable"):
        notices.append(
            f"{data['n_unreadable']} of {data.get('n_samples')} samples could not be read and were left out."
        )
    if data.get("classes_assumed"):
        notices.append("Class names were assumed from the data itself.")
    if (data.get("skipped") or {}).get("n"):
        notices.append(f"{data['skipped']['n']} files were skipped, because they are no images.")
    n_ties = data.get("n_ties")
    if n_ties:
        rule = "lowest class index" if result.threshold is None else "positive side"
        notices.append(f"{n_ties} samples are ties; each went to the {rule}.")
    notices += [f"{visible(row.detail, limit=MAX_TEXT)}." for row in result.integrity if row.status == "fail"]
    never = [row.class_name for row in result.metrics if row.metric == "support" and row.value == 0]
    if never:
        names = ", ".join(visible(str(name)) for name in never[:10])
        more = f" and {len(never) - 10} more" if len(never) > 10 else ""  # noqa: PLR2004
        notices.append(f"Classes without samples: {names}{more}.")
    return tuple(notices)


def _metrics_caption(result: EvalResult) -> str:
    level = next((row.level for row in result.metrics if row.level is not None), None)
    if level is None:
        return "The whole run."
    return f"The whole run, with {level * 100:g} % intervals."


def _metric_view(row: MetricRow) -> MetricView:
    label = METRICS[row.metric].label if row.metric in METRICS else row.metric
    label = f"{label}, {row.average}" if row.average else label
    label = f"{label} ({describe_params(row.params)})" if row.params else label
    trivial = "" if row.trivial is None else show(row.trivial)
    return MetricView(label, _value(row), _interval(row), _counts(row), trivial, _row_note(row))


def _value(row: MetricRow) -> str:
    if row.value is not None:
        return show(row.value) if isinstance(row.value, float) else str(row.value)
    return f"n/a ({UNDEFINED_TEXTS.get(row.undefined or '', row.undefined)})"


def _interval(row: MetricRow) -> str:
    if row.low is None or row.high is None:
        return ""
    return f"{show(row.low)} to {show(row.high)}"


def _counts(row: MetricRow) -> str:
    return "" if row.numerator is None else f"{row.numerator} / {row.denominator}"


def _row_note(row: MetricRow) -> str:
    notes = [] if row.n_classes is None else [f"over {row.n_classes} classes"]
    if row.bound is not None:
        notes.append(f"binned, within {row.bound:.1e}")
    if row.no_interval not in (None, "undefined", "count"):
        notes.append(f"no interval: {NO_INTERVAL_TEXTS.get(str(row.no_interval), row.no_interval)}")
    return "; ".join(notes)


def _slice_views(result: EvalResult) -> tuple[SliceView, ...]:
    """Show each slice by its first metric: accuracy, or subset accuracy's stand-in."""
    rows = result.rows()
    headline = next((row for row in result.metrics if row.slice is not None and row.class_name is None), None)
    views = []
    for found in result.slices if headline is not None else ():
        assert headline is not None
        key = row_key(headline.metric, params=headline.params, average=headline.average, slice_=found.slice)
        row = rows.get(key)
        gap = next(
            (
                one
                for one in found.differences
                if (one.metric, one.average) == (headline.metric, headline.average)
            ),
            None,
        )
        if row is not None:
            views.append(_slice_view(found, row, gap))
    return tuple(views)


def _slice_view(found: SliceRow, row: MetricRow, gap: Difference | None) -> SliceView:
    difference = "" if gap is None else f"{gap.value:+.4f}"
    if gap is not None and gap.low is not None and gap.high is not None:
        difference += f" ({gap.low:+.4f} to {gap.high:+.4f})"
    return SliceView(
        visible(describe_slice(found.slice)),
        str(found.n_samples),
        _metric_view(row).label,
        _value(row),
        _interval(row),
        difference,
        "insufficient" if found.insufficient else "",
    )


def _point_view(point: dict[str, Any]) -> PointView:
    tp, fp, fn, tn = (int(point[name]) for name in ("tp", "fp", "fn", "tn"))
    return PointView(
        str(point["name"]).replace("_", " "),
        f"{point['threshold']:.6g}",
        (str(tp), str(fp), str(fn), str(tn)),
        show(tp / (tp + fp)) if tp + fp else "n/a",
        show(tp / (tp + fn)) if tp + fn else "n/a",
    )


def _gate_view(check: Check) -> GateView:
    key = row_key(
        check.metric,
        params=check.params,
        average=check.average,
        class_name=None if check.class_name is None else visible(check.class_name),
        slice_=check.slice,
    )
    row = visible(describe(key), limit=MAX_TEXT)
    rule = f"{_RULES[check.rule]} {check.limit!r}"
    if check.judge != "point":
        rule += f", by {check.judge}"
    word = _STATE_WORDS[check.outcome] + (", advisory" if check.advisory else "")
    return GateView(
        str(check.gate + 1),
        f"gate-{check.gate + 1}",
        check.outcome,
        word,
        row,
        rule,
        visible(check.sentence, limit=MAX_TEXT),
        check.advisory,
        "" if check.power is None else visible(check.power.sentence, limit=MAX_TEXT),
    )


def _class_views(result: EvalResult) -> tuple[ClassView, ...]:
    by_class: dict[str, dict[str, MetricRow]] = {name: {} for name in result.class_names}
    for row in result.metrics:
        if row.class_name is not None and row.slice is None and "prevalence" not in row.params:
            by_class[row.class_name][row.metric] = row
    return tuple(
        ClassView(visible(name), tuple(_cell(rows.get(slug)) for slug in _CLASS_COLUMNS))
        for name, rows in by_class.items()
        if rows
    )


def _cell(row: MetricRow | None) -> tuple[str, str]:
    if row is None:
        return "", ""
    if row.value is None:
        return "n/a", UNDEFINED_TEXTS.get(row.undefined or "", str(row.undefined))
    return _value(row), _interval(row)


def _status_word(status: str) -> str:
    return {"ok": "ok", "warn": "warning", "fail": "failed", "not_run": "not run"}[status]


def _methods(result: EvalResult) -> Facts:
    used = dict.fromkeys(row.metric for row in result.metrics if row.metric in METRICS)
    return tuple((METRICS[slug].label, METRICS[slug].formula) for slug in used)
