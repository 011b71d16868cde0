"""The comparison as a document holds it: every headline row of both runs, their difference, and the flips."""

from typing import Any

from evalkit.catalogue import METRICS
from evalkit.compare import Pair
from evalkit.compare.gap import Gap
from evalkit.rows import MetricRow

# Above so many samples times classes an area's mean over classes is compared only where a gate asks.
_MAX_RANKED = 1_000_000


def comparison(pair: Pair, *, level: float = 0.95) -> dict[str, Any]:
    """Compare the summary rows of two runs that answer the same question.

    Args:
        pair: The two runs.
        level: Of the intervals.
    """
    rows = [row for row in pair.candidate.metrics if row.class_name is None and row.slice is None]
    found: dict[str, Any] = {"level": level, "rows": [_row(pair, row, level) for row in rows]}
    if pair.overlap is not None:
        found["common"] = pair.overlap.document()
    if pair.tables is not None:
        from evalkit.compare.flips import flips_of  # noqa: PLC0415 - arrow

        found["flips"] = flips_of(pair.tables.joined(), pair.candidate.class_names, level=level)
    return found


def _row(pair: Pair, row: MetricRow, level: float) -> dict[str, Any]:
    mine, theirs = pair.rows(row.key)
    new = None if mine is None else mine.value
    old = None if theirs is None else theirs.value
    gap = Gap(None, "none", "too_large") if _is_slow(pair, row) else pair.gap(row.key, level=level)
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


def _is_slow(pair: Pair, row: MetricRow) -> bool:
    ranked = METRICS[row.metric].needs == "scores" and row.average is not None
    return ranked and pair.candidate.n_samples * len(pair.candidate.class_names) > _MAX_RANKED
