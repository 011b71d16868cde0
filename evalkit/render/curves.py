"""ROC and precision-recall curves: pictures of what the document holds."""

from collections.abc import Sequence
from typing import Any

from evalkit.display import show, visible
from evalkit.render.charts import (
    COLOURS,
    DASHES,
    GREY,
    UNIT,
    Chart,
    Points,
    thinned,
    unit_plane,
)
from evalkit.render.numbers import interval_text, value_text
from evalkit.result import EvalResult
from evalkit.rows import row_key

# Curves of so many classes fit in one picture: those that are ranked worst.
MAX_LINES = 4
_AXES = {
    "roc": ("fpr", "tpr", "False positive rate", "True positive rate", "roc_auc", "AUC"),
    "pr": ("recall", "precision", "Recall", "Precision", "average_precision", "average precision"),
}


def curve_charts(result: EvalResult) -> tuple[Chart, ...]:
    """Return the two curves; of many classes those that are ranked worst."""
    return tuple(chart for kind in _AXES if (chart := _curve(result, kind)) is not None)


def _curve(result: EvalResult, kind: str) -> Chart | None:
    x, y, x_label, y_label, metric, area = _AXES[kind]
    rows = result.rows()
    if result.positive_class is not None:
        key = row_key(metric)
        found = [(result.positive_class, result.curves.get(kind), rows.get(key))]
    else:
        by_class = result.curves.get("by_class") or {}
        found = [
            (name, curves.get(kind), rows.get(row_key(metric, class_name=name)))
            for name, curves in by_class.items()
        ]
    drawn = [(name, curve, row) for name, curve, row in found if curve and row and row.value is not None]
    drawn.sort(key=lambda one: one[2].value if one[2] and one[2].value is not None else 0.0)
    if not drawn:
        return None
    plane = unit_plane()
    lines, table = [], []
    for position, (name, curve, row) in enumerate(drawn[:MAX_LINES]):
        points = _points(curve, x, y)
        assert row is not None
        label = f"{visible(name)}: {area} {value_text(row)}"
        colour, dash = COLOURS[position % len(COLOURS)], DASHES[position % len(DASHES)]
        lines.append(plane.line(points, colour=colour, dash=dash, label=label))
        table += [(visible(name), show(a), show(b)) for a, b in _thin(points)]
    if kind == "roc":
        lines.append(plane.line([(0, 0), (1, 1)], colour=GREY, dash="2 4"))
    worst = drawn[0][2]
    assert worst is not None
    bounds = interval_text(worst)
    finding = f"The {area} of {visible(drawn[0][0])} is {value_text(worst)}{f' ({bounds})' if bounds else ''}"
    more = len(drawn) - MAX_LINES
    finding += f"; better ranked and not drawn: {more}." if more > 0 else "."
    if not all(
        curve.get("exact", True) for curve in (result.curves, *(result.curves.get("by_class") or {}).values())
    ):
        finding += " The curve comes from bins."
    return plane.chart(
        f"curve-{kind}",
        title="ROC curve" if kind == "roc" else "Precision-recall curve",
        finding=finding,
        labels=(x_label, y_label),
        ticks=(UNIT, UNIT),
        header=("Class", x_label, y_label),
        rows=tuple(table),
        lines=tuple(lines),
    )


def _points(curve: dict[str, Any], x: str, y: str) -> Points:
    pairs = zip(curve[x], curve[y], strict=True)
    return [(float(a), float(b)) for a, b in pairs if a is not None and b is not None]


def _thin(points: Points) -> Sequence[tuple[float, float]]:
    places = thinned([(str(k),) for k in range(len(points))], 11)
    return [points[int(place)] for (place,) in places]
