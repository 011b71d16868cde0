"""The threshold explorer: counts at every threshold that the document holds, whole numbers only."""

from dataclasses import dataclass
from typing import Any

from evalkit.display import show, visible
from evalkit.render.words import threshold_words
from evalkit.result import EvalResult

Entry = tuple[float, int, int]  # threshold, tp, fp


@dataclass(frozen=True, slots=True)
class PointView:
    """A threshold and what it gives; without a script this is the explorer."""

    name: str
    threshold: str
    counts: tuple[str, str, str, str]
    precision: str
    recall: str


@dataclass(frozen=True, slots=True)
class Explorer:
    """Thresholds of one class or more.

    Attributes:
        in_force: The threshold of this run, and where it was chosen; empty for argmax.
        points: For people without a script: named ones, then a grid.
        data: For the script: of each class its name, positives, negatives, and (threshold, tp, fp) downwards.
    """

    in_force: str
    points: tuple[PointView, ...]
    data: tuple[dict[str, Any], ...]


def explorer_view(result: EvalResult) -> Explorer | None:
    """Return the explorer; None where the document holds no curves with thresholds."""
    counts = result.confusion
    if counts is None or result.task == "multilabel":
        return None
    if result.positive_class is not None:
        if "thresholds" not in result.curves:
            return None
        return Explorer(threshold_words(result), _points(result), (_binary(result),))
    found = []
    for name, curve in (result.curves.get("by_class") or {}).items():
        k = result.class_names.index(name)
        n_positive = int(counts.support[k])
        n_negative = result.n_samples - n_positive
        if n_positive and n_negative and curve.get("exact", True):
            entries = _of_curve(curve.get("roc") or {}, n_positive, n_negative)
            table = curve.get("thresholds") or {}
            entries += [
                *zip(table.get("threshold", ()), table.get("tp", ()), table.get("fp", ()), strict=True)
            ]
            if entries:
                found.append(_entry(name, n_positive, n_negative, entries, None))
    return Explorer("", (), tuple(found)) if found else None


def _binary(result: EvalResult) -> dict[str, Any]:
    counts = result.confusion
    assert counts is not None
    positive = result.class_names.index(str(result.positive_class))
    n_positive = int(counts.support[positive])
    n_negative = result.n_samples - n_positive
    table = result.curves["thresholds"]
    entries = dict.fromkeys(zip(table["threshold"], table["tp"], table["fp"], strict=True))
    for point in result.curves.get("operating_points") or ():
        entries[(point["threshold"], point["tp"], point["fp"])] = None
    if result.curves.get("exact", True):
        entries |= dict.fromkeys(_of_curve(result.curves.get("roc") or {}, n_positive, n_negative))
    force = (float(result.threshold or 0), int(counts.tp[positive]), int(counts.fp[positive]))
    entries = dict.fromkeys([*(entry for entry in entries if _agrees(entry, force)), force])
    cost = (result.spec.get("metrics") or {}).get("cost")
    found = _entry(str(result.positive_class), n_positive, n_negative, list(entries), force[0])
    return found | ({} if cost is None else {"cost": _cost(cost, positive)})


def _agrees(entry: Entry, force: Entry) -> bool:
    """Return whether a stricter threshold finds no more than the one in force.

    The run decided by its own numbers; the curve holds them as float32.
    """
    stricter, looser = (entry, force) if entry[0] > force[0] else (force, entry)
    return entry[0] != force[0] and stricter[1] <= looser[1] and stricter[2] <= looser[2]


def _cost(cost: list[list[float]], positive: int) -> list[float]:
    """Return the costs of tp, fp, fn and tn."""
    negative = 1 - positive
    cells = ((positive, positive), (negative, positive), (positive, negative), (negative, negative))
    return [float(cost[true][said]) for true, said in cells]


def _of_curve(curve: dict[str, Any], n_positive: int, n_negative: int) -> list[Entry]:
    """Return the whole numbers behind a curve's shares."""
    points = zip(*(curve.get(name, ()) for name in ("threshold", "tpr", "fpr")), strict=True)
    return [
        (threshold, round(tpr * n_positive), round(fpr * n_negative))
        for threshold, tpr, fpr in points
        if threshold is not None and tpr is not None and fpr is not None
    ]


def _entry(
    name: str, n_positive: int, n_negative: int, entries: list[Entry], force: float | None
) -> dict[str, Any]:
    """Return one class, a threshold once, from the highest to the lowest."""
    unique = {threshold: (threshold, tp, fp) for threshold, tp, fp in entries}
    ordered = [unique[threshold] for threshold in sorted(unique, reverse=True)]
    return {
        "name": visible(name),
        "p": n_positive,
        "n": n_negative,
        "force": force,
        "t": [entry[0] for entry in ordered],
        "tp": [entry[1] for entry in ordered],
        "fp": [entry[2] for entry in ordered],
    }


def _points(result: EvalResult) -> tuple[PointView, ...]:
    counts = result.confusion
    assert counts is not None
    positive = result.class_names.index(str(result.positive_class))
    force = [int(part[positive]) for part in (counts.tp, counts.fp, counts.fn, counts.tn)]
    named = [_point("in force", float(result.threshold or 0), *force)]
    for point in result.curves.get("operating_points") or ():
        cells = (int(point[cell]) for cell in ("tp", "fp", "fn", "tn"))
        named.append(_point(str(point["name"]).replace("_", " "), float(point["threshold"]), *cells))
    table = result.curves["thresholds"]
    columns = zip(*(table[name] for name in ("threshold", "tp", "fp", "fn", "tn")), strict=True)
    return (*named, *(_point("grid", float(threshold), *cells) for threshold, *cells in columns))


def _point(name: str, threshold: float, tp: int, fp: int, fn: int, tn: int) -> PointView:
    return PointView(
        name,
        f"{threshold:.6g}",
        (f"{tp:,}", f"{fp:,}", f"{fn:,}", f"{tn:,}"),
        show(tp / (tp + fp)) if tp + fp else "n/a",
        show(tp / (tp + fn)) if tp + fn else "n/a",
    )
