"""Two runs side by side in finished words, for console and page."""

from typing import Any

from evalkit.catalogue import METRICS
from evalkit.display import show, visible
from evalkit.rows import describe_params


def render_comparison(document: dict[str, Any]) -> str:
    """Return both runs' headline numbers, their differences and the flips as text."""
    old, new = (visible(document[name]["name"]) for name in ("baseline", "candidate"))
    parts = [f"{new} against {old}", *(f"  note: {visible(text)}" for text in document["warnings"])]
    lines = [comparison_line(row) for row in document["rows"]]
    level = f"{document['level'] * 100:g} % interval"
    from evalkit.render.text import table  # noqa: PLC0415 - the page needs the lines alone

    parts.append(table(["metric", "baseline", "candidate", "difference", level, ""], lines))
    if "flips" in document:
        parts += flip_lines(document["flips"])
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
        ids = [visible(one) for one in flips[name][:10]]
        if ids:
            parts.append(f"  {words}: {', '.join(ids)}")
    return parts
