"""The comparison as a document holds it: every headline row of both runs, their difference, and the flips."""

from typing import Any

from evalkit.compare import Pair
from evalkit.compare.flips import flips_of
from evalkit.rows import MetricRow


def comparison(pair: Pair, *, level: float = 0.95) -> dict[str, Any]:
    """Compare the summary rows of two runs that answer the same question.

    Args:
        pair: The two runs.
        level: Of the intervals.
    """
    rows = [row for row in pair.candidate.metrics if row.class_name is None and row.slice is None]
    found: dict[str, Any] = {"level": level, "rows": [_row(pair, row, level) for row in rows]}
    if pair.tables is not None:
        joined = pair.tables.joined(pair.candidate, pair.baseline, scores=False)
        found["flips"] = flips_of(joined, pair.candidate.class_names)
    return found


def _row(pair: Pair, row: MetricRow, level: float) -> dict[str, Any]:
    mine, theirs = pair.rows(row.key)
    new = None if mine is None else mine.value
    old = None if theirs is None else theirs.value
    gap = pair.gap(row.key, level=level)
    low, high = gap.bounds or (None, None)
    return {
        "metric": row.metric,
        "params": dict(row.params),
        "average": row.average,
        "baseline": old,
        "candidate": new,
        "difference": None if new is None or old is None else new - old,
        "low": low,
        "high": high,
        "method": gap.method if gap.bounds else None,
        "no_interval": None if gap.bounds else gap.reason,
        "greater_is_better": row.greater_is_better,
    }
