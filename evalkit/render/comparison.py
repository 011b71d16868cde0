"""The console's table of a comparison."""

from typing import Any

from evalkit.catalogue import METRICS
from evalkit.display import show, visible
from evalkit.render.text import table
from evalkit.rows import describe_params


def render_comparison(document: dict[str, Any]) -> str:
    """Return both runs' headline numbers, their differences and the flips as text."""
    old, new = (visible(document[name]["name"]) for name in ("baseline", "candidate"))
    parts = [f"{new} against {old}", *(f"  note: {visible(text)}" for text in document["warnings"])]
    lines = [_line(row) for row in document["rows"]]
    level = f"{document['level'] * 100:g} % interval"
    parts.append(table(["metric", "baseline", "candidate", "difference", level, ""], lines))
    if "flips" in document:
        parts += _flips(document["flips"])
    return "\n".join(parts) + "\n"


def _line(row: dict[str, Any]) -> list[str]:
    label = METRICS[row["metric"]].label if row["metric"] in METRICS else row["metric"]
    label = f"{label}, {row['average']}" if row["average"] else label
    label = f"{label} ({describe_params(row['params'])})" if row["params"] else label
    bounds = "" if row["low"] is None else f"{row['low']:+.4f} to {row['high']:+.4f}"
    difference = "" if row["difference"] is None else f"{row['difference']:+.4f}"
    return [label, _value(row["baseline"]), _value(row["candidate"]), difference, bounds, row["method"] or ""]


def _value(value: float | None) -> str:
    return "n/a" if value is None else show(value)


def _flips(flips: dict[str, Any]) -> list[str]:
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
