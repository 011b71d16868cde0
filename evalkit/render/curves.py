"""ROC and precision-recall curves, and calibration: pictures of what the document holds."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from evalkit.display import show, visible
from evalkit.render.charts import (
    COLOURS,
    DASHES,
    GREY,
    UNIT,
    Chart,
    Plane,
    Points,
    nice_ticks,
    thinned,
    unit_plane,
)
from evalkit.render.numbers import interval_text, value_text
from evalkit.result import EvalResult
from evalkit.rows import row_key
from evalkit.uncertainty import wilson

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
    finding += f"; {more} better ranked classes are not drawn." if more > 0 else "."
    if not all(
        curve.get("exact", True) for curve in (result.curves, *(result.curves.get("by_class") or {}).values())
    ):
        finding += " The curve comes from bins."
    return Chart(
        f"curve-{kind}",
        "ROC curve" if kind == "roc" else "Precision-recall curve",
        finding,
        "340",
        "300",
        plane.frame,
        x_label,
        y_label,
        plane.ticks("x", UNIT),
        plane.ticks("y", UNIT),
        ("Class", x_label, y_label),
        tuple(table),
        lines=tuple(lines),
    )


def _points(curve: dict[str, Any], x: str, y: str) -> Points:
    pairs = zip(curve[x], curve[y], strict=True)
    return [(float(a), float(b)) for a, b in pairs if a is not None and b is not None]


def _thin(points: Points) -> Sequence[tuple[float, float]]:
    places = thinned([(str(k),) for k in range(len(points))], 11)
    return [points[int(place)] for (place,) in places]


def calibration_charts(result: EvalResult) -> tuple[Chart, ...]:
    """Return the reliability diagram, and how confident the model is."""
    mass, width = result.calibration.get("mass"), result.calibration.get("width")
    if not mass or not width or not mass["n"]:
        return ()
    return _reliability(mass), _histogram(width)


def _reliability(mass: dict[str, list[Any]]) -> Chart:
    plane = unit_plane()
    n = np.array(mass["n"], np.int64)
    right = np.rint(n * np.array(mass["share_correct"], float)).astype(np.int64)
    low, high = wilson(right, n, level=0.95)
    dots, table = [], []
    columns = (mass["mean_confidence"], mass["share_correct"], low.tolist(), high.tolist(), n.tolist())
    for confidence, share, least, most, count in zip(*columns, strict=True):
        label = f"{count} samples: {show(confidence)} sure on average, {show(share)} right"
        dots.append(plane.dot(confidence, share, up=(least, most), label=label))
        table.append((show(confidence), show(share), f"{show(least)} to {show(most)}", str(count)))
    gaps = [confidence - share for confidence, share, *_ in zip(*columns, strict=True)]
    mean = float(np.average(gaps, weights=n))
    words = "more" if mean > 0 else "less"
    finding = f"On average the model is {abs(mean):.4f} {words} confident than it is right."
    return Chart(
        "reliability",
        "Confidence against share right",
        finding,
        "340",
        "300",
        plane.frame,
        "Confidence",
        "Share right",
        plane.ticks("x", UNIT),
        plane.ticks("y", UNIT),
        ("Mean confidence", "Share right", "95 % interval", "Samples"),
        tuple(table),
        lines=(plane.line([(0, 0), (1, 1)], colour=GREY, dash="2 4"),),
        dots=tuple(dots),
    )


def _histogram(width: dict[str, list[Any]]) -> Chart:

    most = max(width["n"])
    ticks = nice_ticks(0, most, most=4)
    plane = Plane((0.0, 1.0), (0.0, ticks[-1]))
    bins = list(zip(width["low"], width["high"], width["n"], width["share_correct"], strict=True))
    bars = tuple(
        plane.bar(low, high, n, label=f"{low:.2f} to {high:.2f}: {n} samples")
        for low, high, n, _ in bins
        if n
    )
    total, last = sum(width["n"]), bins[-1]
    finding = f"{last[2]:,} of {total:,} samples are predicted with a confidence of {last[0]:.2f} or more."
    rows = tuple((f"{low:.2f} to {high:.2f}", str(n), show(share)) for low, high, n, share in bins if n)
    return Chart(
        "confidence",
        "How confident the model is",
        finding,
        "340",
        "300",
        plane.frame,
        "Confidence",
        "Samples",
        plane.ticks("x", UNIT),
        plane.ticks("y", ticks),
        ("Confidence", "Samples", "Share right"),
        rows,
        bars=bars,
    )
