"""What pictures and tables of thresholds are drawn from: curves, operating points, reliability."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.calibration import Reliability, reliability
from evalkit.metrics.ranking import Ranked, operating_points, pr_curve, roc_curve, threshold_table
from evalkit.score_rows import ScoreStates, each

MAX_CLASSES = 12
_POINTS = 100
_THRESHOLDS = 21
_TARGET = 0.9


def curves(
    states: ScoreStates,
    class_names: Sequence[str],
    *,
    positive: int | None,
    cost: tuple[tuple[float, ...], ...] | None,
) -> dict[str, Any]:
    """Return ROC and precision-recall curves of up to 12 classes; of a binary task also its thresholds.

    Args:
        states: What is known of the scores.
        class_names: In output order.
        positive: The index of the positive class of a binary task.
        cost: ``cost[i][j]`` of true class i taken for j.
    """
    if positive is not None:
        ranked = states.ranked(positive)
        return {} if ranked is None else {**_curve(ranked), **_thresholds(ranked, states, positive, cost)}
    if len(class_names) > MAX_CLASSES:
        return {}
    values = _values(states, (states.ranked(k) for k in range(len(class_names))))

    def drawn(k: int) -> dict[str, Any] | None:
        ranked = states.ranked(k)
        return None if ranked is None else {**_curve(ranked), "thresholds": _table_of(ranked, values)}

    found = zip(class_names, each(drawn, range(len(class_names))), strict=True)
    by_class = {name: curve for name, curve in found if curve is not None}
    return {"by_class": by_class} if by_class else {}


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
    values = _values(states, [ranked])
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


def _values(states: ScoreStates, found: Iterable[Ranked | None]) -> NDArray[np.float64]:
    """Return thresholds to count over: of probabilities the same for everybody, of scores by their spread."""
    if states.probable:
        return np.linspace(0, 1, _THRESHOLDS)
    scores = [ranked.scores for ranked in found if ranked is not None]
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
