"""The typed view: everything that a page or a table shows, as finished strings in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.display import MAX_TEXT, visible
from evalkit.gallery import GalleryRow
from evalkit.render.charts import Chart, Plane, nice_ticks
from evalkit.render.comparison import SHOWN_IDS, ComparisonView, comparison_view
from evalkit.render.curves import curve_charts
from evalkit.render.explorer import Explorer, explorer_view
from evalkit.render.facts import Facts, data_facts, model_facts, provenance_facts, reproduce, run_facts
from evalkit.render.heading import STATE_WORDS, heading, notices, state_of, summary
from evalkit.render.layers import COLUMNS as LAYER_COLUMNS
from evalkit.render.layers import NUMERIC, LayersView, layers_view
from evalkit.render.matrix import Matrix, matrix_view
from evalkit.render.pictures import GroupView, gallery_view
from evalkit.render.redact import COMMON_LISTS, FLIP_LISTS
from evalkit.render.reliability import calibration_charts
from evalkit.render.tables import (
    ClassView,
    GateView,
    IntegrityView,
    MetricView,
    SliceView,
    class_columns,
    class_views,
    gate_views,
    integrity_views,
    method_facts,
    metric_views,
    slice_chart,
    slice_views,
)
from evalkit.render.terms import Terms, terms_of
from evalkit.render.words import by_class, plain_words
from evalkit.result import EvalResult
from evalkit.verdict import Verdict

_MAX_BARS = 60
_HASH = 12


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
    words: tuple[str, ...]
    cover: Facts
    signoff: tuple[str, ...]
    running: str
    terms: Terms
    metrics_caption: str
    metrics: tuple[MetricView, ...]
    gates: tuple[GateView, ...]
    comparison: ComparisonView | None
    matrix: Matrix | None
    class_columns: tuple[str, ...]
    classes: tuple[ClassView, ...]
    curves: tuple[Chart, ...]
    explorer: Explorer | None
    calibration: tuple[Chart, ...]
    slice_chart: Chart | None
    slices: tuple[SliceView, ...]
    gallery: tuple[GroupView, ...]
    support: Chart | None
    data: Facts
    model: Facts
    layers: LayersView | None
    layer_columns: tuple[str, ...]
    layer_numbers: frozenset[str]
    integrity: tuple[IntegrityView, ...]
    run: Facts
    provenance: Facts
    command: str
    methods: Facts
    signature: str


def report_view(
    result: EvalResult, verdict: Verdict | None, gallery: Sequence[GalleryRow] = ()
) -> ReportView:
    """Build the view of one run; a pure function of its documents."""
    state, terms = state_of(result, verdict), terms_of(result)
    declared = result.spec.get("report") or {}
    groups = gallery_view(result, gallery) if result.valid else ()
    return ReportView(
        title=visible(result.name),
        state=state,
        state_word=STATE_WORDS[state],
        heading=heading(result, verdict, terms),
        holds=_holds(result, verdict, gallery),
        warnings=() if verdict is None else tuple(visible(one, limit=MAX_TEXT) for one in verdict.warnings),
        notices=notices(result, verdict),
        summary=summary(result),
        words=plain_words(result, verdict),
        cover=_cover(declared.get("document") or {}),
        signoff=tuple(visible(str(role)) for role in declared.get("signoff") or ()),
        running=f"{visible(result.name)} · {(result.digests.get('weights') or 'no weights')[:_HASH]}",
        terms=terms,
        metrics_caption=_metrics_caption(result),
        metrics=metric_views(result, verdict, terms),
        gates=gate_views(verdict),
        comparison=_comparison(verdict, terms),
        matrix=matrix_view(result),
        class_columns=class_columns(terms, changed=_has_flips(verdict)),
        classes=class_views(result, verdict),
        curves=curve_charts(result),
        explorer=explorer_view(result),
        calibration=calibration_charts(result),
        slice_chart=slice_chart(result, terms),
        slices=slice_views(result, terms),
        gallery=groups,
        support=_support(result),
        data=data_facts(result),
        model=model_facts(result),
        layers=layers_view(result.model),
        layer_columns=LAYER_COLUMNS,
        layer_numbers=NUMERIC,
        integrity=integrity_views(result),
        run=run_facts(result),
        provenance=provenance_facts(result),
        command=reproduce(result),
        methods=method_facts(result),
        signature=visible(result.signature, limit=MAX_TEXT),
    )


def _holds(result: EvalResult, verdict: Verdict | None, gallery: Sequence[GalleryRow]) -> str:
    """Say what somebody gets who gets this page."""
    n_pictures = sum(row.kind == "webp" for row in gallery)
    n_values = sum(row.kind == "values" for row in gallery)
    names = {row.sample_id for row in gallery}
    compared = (verdict.comparison if verdict else None) or {}
    for block, keys in (("flips", FLIP_LISTS), ("common", COMMON_LISTS)):
        for key in keys:
            names |= set(((compared.get(block) or {}).get(key) or ())[:SHOWN_IDS])
    files = [*(result.data.get("unreadable") or ()), *((result.data.get("skipped") or {}).get("first") or ())]
    held = [
        f"{n_pictures} pictures" if n_pictures else "",
        f"the values of {n_values} samples" if n_values else "",
        f"{len(names) + len(files)} sample names" if names or files else "",
    ]
    what = " and ".join(text for text in held if text)
    rest = "counts, class names and facts about the run"
    return f"This page holds {what}, {rest}." if what else f"This page holds {rest}; no samples."


def _cover(document: dict[str, Any]) -> Facts:
    labels = {
        "id": "Document",
        "version": "Version",
        "intended_use": "Intended use",
        "prepared_by": "Prepared by",
    }
    return tuple(
        (label, visible(str(document[key]), limit=MAX_TEXT))
        for key, label in labels.items()
        if document.get(key)
    )


def _metrics_caption(result: EvalResult) -> str:
    level = next((row.level for row in result.metrics if row.level is not None), None)
    intervals = "" if level is None else f", with {level * 100:g} % intervals"
    return f"The whole run, {result.n_samples:,} samples{intervals}."


def _comparison(verdict: Verdict | None, terms: Terms) -> ComparisonView | None:
    if verdict is None or not verdict.comparison or verdict.baseline is None:
        return None
    baseline = verdict.baseline
    named = f"{baseline.name} ({baseline.path})" if baseline.path else baseline.name
    return comparison_view(verdict.comparison, baseline=named, signature=baseline.signature, terms=terms)


def _has_flips(verdict: Verdict | None) -> bool:
    return bool(((verdict.comparison if verdict else None) or {}).get("flips"))


def _support(result: EvalResult) -> Chart | None:
    """Draw how many samples each class has, where the bars can be told apart."""
    found = by_class(result, "support")
    if not 1 < len(found) <= _MAX_BARS:
        return None
    support = list(found.values())
    ticks = nice_ticks(0, max(*support, 1), most=4)
    plane = Plane((0.0, float(len(support))), (0.0, ticks[-1]), 720.0, 180.0)
    names = [visible(name) for name in found]
    bars = tuple(plane.bar(k + 0.1, k + 0.9, n, label=f"{names[k]}: {n:,}") for k, n in enumerate(support))
    least = min(range(len(support)), key=support.__getitem__)
    finding = f"The rarest class is {names[least]} with {support[least]:,} of {result.n_samples:,} samples."
    rows = tuple((name, f"{n:,}") for name, n in zip(names, support, strict=True))
    return plane.chart(
        "support-chart",
        title="Samples of each class",
        finding=finding,
        labels=("Classes in their order", "Samples"),
        ticks=((), ticks),
        header=("Class", "Samples"),
        rows=rows,
        bars=bars,
    )
