"""Gates to start from: limits that a model as good as the measured one clears, each with its reason."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from evalkit.result import EvalResult
from evalkit.rows import MIN_SUPPORT, MetricRow, row_key
from evalkit.uncertainty import normal_quantile
from evalkit.uncertainty.power import Design, Disagreement, Normal

CLEARED = 0.99
Noise = Disagreement | Normal
_ALPHA = 1 - CLEARED
_GUARD = Design("guard", 0.025)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A gate, as a specification writes it, and why its limit is where it is."""

    gate: dict[str, Any]
    reason: str


def suggest(result: EvalResult, noise: Noise | None) -> list[Suggestion]:
    """Suggest floors for the headline metrics, one for every class, and a margin for a drop.

    Args:
        result: A valid, whole run.
        noise: How far the shares of two models differ by chance; None where that is not known, and then no
            margin is suggested.
    """
    rows = result.rows()
    found = [_floor(rows[key], gate) for key, gate in _headlines(result) if key in rows]
    whole = [one for one in (*found, _classes(result)) if one is not None]
    headline = _right(result)
    if noise is not None and headline in rows:
        whole.append(_margin(result, noise))
    return whole


def clearable(hits: int, n: int) -> float:
    """Return the share that a model as good clears 99 times in 100 on so many other samples.

    Its own share counts one right and one wrong sample more than were seen, so that 1 is nothing certain.
    """
    from scipy.special import bdtr  # noqa: PLC0415 - documents are read without it

    share = (hits + 1) / (n + 2)
    low, high = 0, n
    while low < high:  # the largest number of hits that is reached so often
        middle = (low + high + 1) // 2
        reached = 1 - float(bdtr(middle - 1, n, share))
        low, high = (middle, high) if reached >= CLEARED else (low, middle - 1)
    return low / n


def _right(result: EvalResult) -> Any:
    return row_key("subset_accuracy" if result.task == "multilabel" else "accuracy")


def _headlines(result: EvalResult) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield the rows that a release is usually judged by, and the gates that name them."""
    headline = _right(result)
    yield headline, {"metric": headline[0]}
    if result.positive_class is None:
        yield row_key("f1", average="macro"), {"metric": "f1", "average": "macro"}
        return
    for metric in ("recall", "precision"):
        gate = {"metric": metric, "class": result.positive_class}
        if result.positive_class != "*":  # which would name all classes
            yield row_key(metric, class_name=result.positive_class), gate


def _floor(row: MetricRow, gate: dict[str, Any]) -> Suggestion | None:
    """Put a floor where a model as good as this one is 99 times in 100."""
    if row.value is None or row.low is None or row.high is None or row.level is None:
        return None
    if row.class_name is not None and (row.denominator or 0) < MIN_SUPPORT:
        return None  # a single class needs so many to be judged
    if row.numerator is not None and row.denominator and row.method == "wilson":
        limit, of = clearable(row.numerator, row.denominator), f" over {row.denominator} samples"
    else:
        error = (row.high - row.low) / (2 * normal_quantile(row.level))
        limit, of = row.value - normal_quantile(2 * CLEARED - 1) * error, ""
    limit = _rounded_down(limit)
    if limit <= 0:
        return None
    reason = f"{row.value:.4f}{of}; a model as good as this one clears {limit:g} 99 times in 100"
    return Suggestion({**gate, "min": limit}, reason)


def _classes(result: EvalResult) -> Suggestion | None:
    """Put one floor under the recall of every class that has enough samples."""
    rows = [
        row
        for row in result.metrics
        if row.metric == "recall" and row.class_name is not None and row.slice is None and not row.params
    ]
    judged = [row for row in rows if row.n_samples and (row.denominator or 0) >= MIN_SUPPORT]
    if len(judged) < 2:  # noqa: PLR2004 - one class is no family
        return None
    worst = min(judged, key=lambda row: row.value or 0.0)
    limit = _rounded_down(float(worst.value or 0.0), digits=2)
    if limit <= 0:
        return None
    reason = (
        f"the lowest is {worst.value:.4f}; a model whose classes all reach {limit:g} passes 99 times in 100"
    )
    return Suggestion({"metric": "recall", "class": "*", "min": limit, "alpha": round(_ALPHA, 6)}, reason)


def _margin(result: EvalResult, noise: Noise) -> Suggestion:
    """Allow the drop that an equally good model stays within."""
    least = noise.smallest_margin(_GUARD, power=CLEARED)
    margin = math.ceil(max(least or 0.0, 1 / result.n_samples) * 1e4 - 1e-9) / 1e4
    drop = noise.smallest_drop(_GUARD, margin)
    found = "no drop is found" if drop is None else f"a true drop of {drop:.4f} fails 4 times in 5"
    at = (
        f"a standard error of {noise.error:.4f}"
        if isinstance(noise, Normal)
        else f"{noise.share:.1%} disagreement"
    )
    reason = f"at {at} an equally good model passes 99 times in 100; {found}"
    return Suggestion({"metric": _right(result)[0], "max_drop": margin}, reason)


def _rounded_down(value: float, *, digits: int = 3) -> float:
    scale = float(10**digits)
    return math.floor(value * scale + 1e-9) / scale
