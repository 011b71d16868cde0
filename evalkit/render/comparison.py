"""Two runs side by side in finished words, for console and page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.display import show, visible
from evalkit.render.charts import Chart, RowPoint, row_chart
from evalkit.render.numbers import digits_of, signed, signed_interval
from evalkit.render.terms import Terms
from evalkit.rows import describe_slice

FLIP_COLUMNS = (
    "Samples of",
    "Samples",
    "Both right",
    "Only right now",
    "Only right before",
    "Both wrong",
    "Difference",
    "Interval",
)
MAX_GROUPS = 25
SHOWN_IDS = 10


@dataclass(frozen=True, slots=True)
class ComparisonView:
    """What changed since the baseline.

    Attributes:
        baseline: Its name and path.
        signature: Its signature.
        lines: A metric each: name, both values, difference, interval, method.
        common: Which samples are new, gone or relabelled.
        square: The four counts of two models' answers: title, count, words.
        sentences: McNemar's test, and the first flips.
        groups: Classes with flips, and slices.
        chart: The classes' changes.
    """

    baseline: str
    signature: str
    lines: tuple[tuple[str, ...], ...]
    common: tuple[str, ...]
    square: tuple[tuple[str, str, str], ...]
    sentences: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    chart: Chart | None


def comparison_view(
    document: dict[str, Any], *, baseline: str, signature: str, terms: Terms
) -> ComparisonView:
    """Build the view of a comparison as ``verdict.json`` holds it."""
    flips = document.get("flips")
    return ComparisonView(
        visible(baseline),
        visible(signature, limit=2000),
        tuple(comparison_line(row, terms) for row in document.get("rows") or ()),
        tuple(_common_lines(document["common"])) if "common" in document else (),
        _square(flips) if flips else (),
        tuple(_sentences(flips)) if flips else (),
        tuple(flip_groups(flips)) if flips else (),
        _chart(flips) if flips else None,
    )


def comparison_line(row: dict[str, Any], terms: Terms) -> tuple[str, ...]:
    """Return one metric: its name, both values, their difference, its interval and the method."""
    label = terms.metric(row["metric"], row["average"], row["params"])
    digits = digits_of(row["low"], row["high"])
    values = ("n/a" if row[side] is None else show(row[side], digits) for side in ("baseline", "candidate"))
    low, high = row["low"], row["high"]
    return (
        label,
        *values,
        signed(row["difference"], low, high),
        signed_interval(low, high),
        row["method"] or "",
    )


def flip_groups(flips: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the classes with flips, those that lost most first, and every slice, a line each."""
    found = [(visible(one["class_name"]), one) for one in _changed(flips)[:MAX_GROUPS]]
    found += [(visible(describe_slice(one["slice"])), one) for one in flips["by_slice"][:MAX_GROUPS]]
    return [_group(name, one) for name, one in found]


def _changed(flips: dict[str, Any]) -> list[dict[str, Any]]:
    classes = [one for one in flips["by_class"] if one["only_candidate"] or one["only_baseline"]]
    return sorted(classes, key=lambda one: float(one["difference"] or 0.0))


def _group(name: str, one: dict[str, Any]) -> tuple[str, ...]:
    counts = ("n_samples", "both_right", "only_candidate", "only_baseline", "both_wrong")
    low, high = one["low"], one["high"]
    return (
        name,
        *(f"{one[key]:,}" for key in counts),
        signed(one["difference"], low, high),
        signed_interval(low, high),
    )


def _square(flips: dict[str, Any]) -> tuple[tuple[str, str, str], ...]:
    cells = (
        ("both_right", "both right", "as before"),
        ("only_candidate", "only right now", "corrected"),
        ("only_baseline", "only right before", "spoiled"),
        ("both_wrong", "both wrong", "as before"),
    )
    return tuple((title, f"{flips[key]:,}", words) for key, title, words in cells)


def _sentences(flips: dict[str, Any]) -> list[str]:
    test = flips["mcnemar"]
    parts = [f"McNemar's test: p = {test['exact']:.3g}, mid-p = {test['mid_p']:.3g}; shown, never judged."]
    for name, key, words in (
        ("negative_ids", "only_baseline", "No longer right"),
        ("positive_ids", "only_candidate", "Newly right"),
    ):
        text = _ids(flips[name], flips[key])
        if text:
            parts.append(f"{words}: {text}.")
    return parts


def _common_lines(common: dict[str, Any]) -> list[str]:
    """Return which samples are new, gone or relabelled, the first of each kind, a line each."""
    parts = []
    for name in ("new", "gone", "relabelled"):
        text = _ids(common[f"{name}_ids"], common[f"n_{name}"])
        if text:
            parts.append(f"{name.capitalize()}: {text}.")
    return parts


def _ids(ids: Sequence[str], total: int) -> str:
    shown = [visible(one) for one in ids[:SHOWN_IDS]]
    more = total - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "") if shown else ""


def _chart(flips: dict[str, Any]) -> Chart | None:
    found = [one for one in _changed(flips) if one["difference"] is not None][:MAX_GROUPS]
    if not found:
        return None
    points = [
        RowPoint(
            visible(one["class_name"]),
            one["difference"],
            None if one["low"] is None else (one["low"], one["high"]),
            one["n_samples"] < 30,  # noqa: PLR2004 - as everywhere: too few to conclude from
            f"{visible(one['class_name'])}: {signed(one['difference'], one['low'], one['high'])}, "
            f"{one['n_samples']:,} samples",
        )
        for one in found
    ]
    first = found[0]
    words = "lost" if first["difference"] < 0 else "gained"
    change = signed(first["difference"], first["low"], first["high"])
    finding = f"{visible(first['class_name'])} {words} most: {change}."
    if words == "gained":
        finding = "No class lost."
    return row_chart(
        points,
        id="change-chart",
        title="Change in recall by class",
        finding=finding,
        x_label="Candidate less baseline",
        header=FLIP_COLUMNS,
        rows=tuple(_group(visible(one["class_name"]), one) for one in found),
        mark=0.0,
    )
