"""Two runs side by side in finished words, for console and page."""

from typing import Any

from evalkit.catalogue import METRICS
from evalkit.display import MAX_TEXT, show, visible
from evalkit.rows import describe_params, describe_slice

FLIP_COLUMNS = (
    "samples of",
    "samples",
    "both right",
    "only right now",
    "only right before",
    "both wrong",
    "difference",
    "interval",
)
MAX_GROUPS = 25
_MAX_SHOWN = 10


def render_comparison(document: dict[str, Any]) -> str:
    """Return both runs' headline numbers, their differences and the flips as text."""
    old, new = (visible(document[name]["name"]) for name in ("baseline", "candidate"))
    parts = [
        f"{new} against {old}",
        *(f"  warning: {visible(text, limit=MAX_TEXT)}" for text in document["warnings"]),
    ]
    parts += [f"  note: {visible(text, limit=MAX_TEXT)}" for text in document["notes"]]
    lines = [comparison_line(row) for row in document["rows"]]
    level = f"{document['level'] * 100:g} % interval"
    from evalkit.render.text import table  # noqa: PLC0415 - the page needs the lines alone

    parts.append(table(["metric", "baseline", "candidate", "difference", level, ""], lines))
    if "common" in document:
        parts += common_lines(document["common"])
    if "flips" in document:
        parts += flip_lines(document["flips"])
        groups = flip_groups(document["flips"])
        if groups:
            parts.append(table(list(FLIP_COLUMNS), groups))
    return "\n".join(parts) + "\n"


def comparison_line(row: dict[str, Any]) -> list[str]:
    """Return one metric: its name, both values, their difference, its interval and the method."""
    label = METRICS[row["metric"]].label if row["metric"] in METRICS else row["metric"]
    label = f"{label}, {row['average']}" if row["average"] else label
    label = f"{label} ({describe_params(row['params'])})" if row["params"] else label
    bounds = "" if row["low"] is None else f"{row['low']:+.4f} to {row['high']:+.4f}"
    difference = "" if row["difference"] is None else f"{row['difference']:+.4f}"
    return [label, _value(row["baseline"]), _value(row["candidate"]), difference, bounds, row["method"] or ""]


def _value(value: float | None) -> str:
    return "n/a" if value is None else show(value)


def flip_lines(flips: dict[str, Any]) -> list[str]:
    """Return who was right before and after, and the first samples that changed, a line each."""
    n, up, down = flips["n_samples"], flips["only_candidate"], flips["only_baseline"]
    counts = (
        f"{n} samples: {flips['both_right']} right in both, {flips['both_wrong']} wrong in both, "
        f"{up} only right now, {down} only right before"
    )
    test = flips["mcnemar"]
    parts = [counts, f"McNemar: p = {test['exact']:.3g}, mid-p = {test['mid_p']:.3g} (shown, never judged)"]
    for name, words in (("negative_ids", "no longer right"), ("positive_ids", "newly right")):
        ids = [visible(one) for one in flips[name][:_MAX_SHOWN]]
        if ids:
            parts.append(f"  {words}: {', '.join(ids)}")
    return parts


def flip_groups(flips: dict[str, Any]) -> list[list[str]]:
    """Return the classes with flips, those that lost most first, and every slice, a line each."""
    classes = [one for one in flips["by_class"] if one["only_candidate"] or one["only_baseline"]]
    classes.sort(key=lambda one: one["only_candidate"] - one["only_baseline"])
    found = [(visible(one["class_name"]), one) for one in classes[:MAX_GROUPS]]
    found += [(visible(describe_slice(one["slice"])), one) for one in flips["by_slice"][:MAX_GROUPS]]
    return [_group(name, one) for name, one in found]


def _group(name: str, one: dict[str, Any]) -> list[str]:
    counts = ("n_samples", "both_right", "only_candidate", "only_baseline", "both_wrong")
    difference = "" if one["difference"] is None else f"{one['difference']:+.4f}"
    bounds = "" if one["low"] is None else f"{one['low']:+.4f} to {one['high']:+.4f}"
    return [name, *(str(one[key]) for key in counts), difference, bounds]


def common_lines(common: dict[str, Any]) -> list[str]:
    """Return which samples are new, gone or relabelled, the first of each kind, a line each."""
    parts = []
    for name, words in (("new", "new"), ("gone", "gone"), ("relabelled", "relabelled")):
        ids = [visible(one) for one in common[f"{name}_ids"][:_MAX_SHOWN]]
        if ids:
            more = common[f"n_{name}"] - len(ids)
            parts.append(f"  {words}: {', '.join(ids)}{f' and {more} more' if more else ''}")
    return parts
