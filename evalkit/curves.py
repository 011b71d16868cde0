"""What pictures and tables of thresholds are drawn from: curves, operating points, reliability."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.calibration import Reliability, reliability
from evalkit.metrics.ranked import Ordered, Ranked
from evalkit.metrics.thresholds import operating_points, pr_curve, roc_curve, threshold_table
from evalkit.score_rows import ScoreStates

MAX_CLASSES = 12
_POINTS = 100
_THRESHOLDS = 21
_TARGET = 0.9


def drawing(
    states: ScoreStates, n_classes: int, *, positive: int | None, cost: tuple[tuple[float, ...], ...] | None
) -> Callable[[Ranked], dict[str, Any]] | None:
    """Return what gives the curves of a class's ranking; None where there are too many classes.

    Args:
        states: What is known of the scores.
        n_classes: K; ROC and precision-recall curves are drawn of up to 12 classes.
        positive: The index of the positive class of a binary task, which also gets its thresholds.
        cost: ``cost[i][j]`` of true class i taken for j.
    """
    if positive is not None:
        return lambda ranked: {**_curve(ranked), **_thresholds(ranked, states, positive, cost)}
    if n_classes > MAX_CLASSES:
        return None
    values = _values(states, lambda: (states.ranked(k) for k in range(n_classes)))
    return lambda ranked: {**_curve(ranked), "thresholds": _table_of(ranked, values)}


def curves(
    found: Sequence[tuple[int, dict[str, Any]]], class_names: Sequence[str], *, positive: int | None
) -> dict[str, Any]:
    """Return the curves as a document holds them: of a binary task the positive class's, else by class.

    Args:
        found: Class indices and their curves.
        class_names: In output order.
        positive: The index of the positive class of a binary task.
    """
    if not found:
        return {}
    return found[0][1] if positive is not None else {"by_class": {class_names[k]: one for k, one in found}}


def calibration_tables(states: ScoreStates) -> dict[str, Any]:
    """Return confidence against share right, in bins of equal mass and of equal width."""
    if states.confidences is None:
        return {}
    return {scheme: _table(reliability(states.confidences, scheme=scheme)) for scheme in ("mass", "width")}


def _curve(ranked: Ranked) -> dict[str, Any]:
    return {
        "roc": roc_curve(ranked, max_points=_POINTS),
        "pr": pr_curve(ranked, max_points=_POINTS),
        "exact": ranked.exact,
    }


def _thresholds(
    ranked: Ranked, states: ScoreStates, positive: int, cost: tuple[tuple[float, ...], ...] | None
) -> dict[str, Any]:
    """Count over thresholds, and at those that are best on these very samples: optimistic, and marked so."""
    values = _values(states, lambda: [ranked])
    extra = None
    if cost is not None:
        negative = 1 - positive
        extra = (
            cost[negative][positive] - cost[negative][negative],
            cost[positive][negative] - cost[positive][positive],
        )
    points = operating_points(ranked, cost=extra, min_recall=_TARGET, min_precision=_TARGET)
    return {
        "thresholds": _table_of(ranked, values),
        "operating_points": [{**point, "selected_on_test": True} for point in points],
    }


def _values(
    states: ScoreStates, found: Callable[[], Iterable[Ordered | Ranked | None]]
) -> NDArray[np.float64]:
    """Return thresholds to count over: of probabilities the same for everybody, of scores by their spread."""
    if states.probable:
        return np.linspace(0, 1, _THRESHOLDS)
    rankings = (one.ranked if isinstance(one, Ordered) else one for one in found())
    scores = [ranked.scores for ranked in rankings if ranked is not None]
    if not scores:
        return np.array([])
    return np.unique(np.quantile(np.concatenate(scores), np.linspace(0, 1, _THRESHOLDS)))


def _table_of(ranked: Ranked, values: NDArray[np.float64]) -> dict[str, list[Any]]:
    table = threshold_table(ranked, values)
    return {"threshold": values.tolist(), **{name: part.tolist() for name, part in table.items()}}


def _table(bins: Reliability) -> dict[str, list[Any]]:
    return {
        "low": bins.low.tolist(),
        "high": bins.high.tolist(),
        "n": bins.n.tolist(),
        "mean_confidence": bins.mean_confidence.tolist(),
        "share_correct": bins.share_correct.tolist(),
    }
