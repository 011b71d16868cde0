"""Numbers as the page writes them: as many digits as the interval supports, and words where there is none."""

import math

from evalkit.display import show
from evalkit.reasons import NO_INTERVAL_TEXTS, UNDEFINED_TEXTS
from evalkit.rows import MetricRow

_FEWEST, _MOST, _USUAL = 2, 8, 4


def digits_of(low: float | None, high: float | None) -> int:
    """Return how many digits leave two that mean something in an interval's width; 4 without an interval."""
    if low is None or high is None or not high > low:
        return _USUAL
    return min(max(1 - math.floor(math.log10(high - low)), _FEWEST), _MOST)


def value_text(row: MetricRow) -> str:
    """Write a row's value, or ``n/a`` with the reason."""
    if row.value is None:
        return f"n/a ({undefined_text(row)})"
    return show(row.value, digits_of(row.low, row.high)) if isinstance(row.value, float) else f"{row.value:,}"


def interval_text(row: MetricRow) -> str:
    """Write a row's interval; nothing where there is none."""
    if row.low is None or row.high is None:
        return ""
    digits = digits_of(row.low, row.high)
    return f"{show(row.low, digits)} to {show(row.high, digits)}"


def signed(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """Write a difference with its sign, with the digits of its interval."""
    return "" if value is None else f"{value:+.{digits_of(low, high)}f}"


def signed_interval(low: float | None, high: float | None) -> str:
    """Write the interval of a difference."""
    if low is None or high is None:
        return ""
    digits = digits_of(low, high)
    return f"{low:+.{digits}f} to {high:+.{digits}f}"


def undefined_text(row: MetricRow) -> str:
    """Say why a row has no value."""
    return UNDEFINED_TEXTS.get(row.undefined or "", str(row.undefined))


def row_note(row: MetricRow) -> str:
    """Say what a value is over, how far binning may have moved it, and why it has no interval."""
    notes = [] if row.n_classes is None else [f"over {row.n_classes} classes"]
    if row.bound is not None:
        notes.append(f"binned, within {row.bound:.1e}")
    if row.no_interval not in (None, "undefined", "count"):
        notes.append(f"no interval: {NO_INTERVAL_TEXTS.get(str(row.no_interval), row.no_interval)}")
    return "; ".join(notes)


def of_thousand(share: float) -> str:
    """Write a share as cases in 1,000."""
    return cases(share, 1000)


def cases(share: float, of: int) -> str:
    """Write a share as whole cases; never none or all of them where it is not exactly that."""
    found = round(share * of)
    if found == 0 and share > 0:
        return "fewer than 1"
    if found == of and share < 1:
        return f"more than {of - 1:,}"
    return f"{found:,}"


def about(share: float, of: int = 1000) -> str:
    """Write the same with ``about``, where that is English."""
    text = cases(share, of)
    return f"about {text}" if text[0].isdigit() else text
