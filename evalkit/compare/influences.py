"""How much each sample bears on the difference of two models: a difference's value is a sum over samples."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evalkit.catalogue import METRICS
from evalkit.count_rows import margins_of
from evalkit.metrics import Gradient, Margins
from evalkit.metrics.estimands import Estimand, Scope, class_estimands, summary_estimands
from evalkit.metrics.influence import auc_influence, average_precision_influence
from evalkit.metrics.ranked import Ordered
from evalkit.metrics.ratios import Floats, Mask
from evalkit.rows import Measures, RowKey
from evalkit.sample_rows import sample_values
from evalkit.uncertainty import smoothed

if TYPE_CHECKING:
    from evalkit.compare.joined import Joined

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Influence:
    """A difference and what each sample adds to it.

    Attributes:
        difference: Candidate less baseline.
        spread: Each sample's part, shape (n,); the variance is the sum of their squared deviations.
        method: influence, t, or delong.
        pseudo: The variance of one flip in the smallest class, without which two models that agree on every
            sample would be certain to be equal.
    """

    difference: float
    spread: Floats
    method: str
    pseudo: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """Which row, of which samples.

    Attributes:
        key: The row.
        joined: The two runs' samples.
        measures: The candidate's.
        members: The class set of averages, of both runs.
        k: The class of the row, or None.
        inside: Which samples, shape (n,).
    """

    key: RowKey
    joined: "Joined"
    measures: Measures
    members: Mask
    k: int | None
    inside: Mask


def influence_of(asked: Asked) -> Influence | None:
    """Return the influence of every sample; None for a metric that has none here."""
    metric, params, average, _, _ = asked.key
    if metric in ("log_loss", "brier"):
        return _of_losses(asked)
    if metric in ("roc_auc", "average_precision"):
        return _of_rankings(asked)
    if average == "samples":
        return _of_sets(asked)
    estimand = _estimand(asked)
    if estimand is None or estimand.gradient is None or "prevalence" in dict(params):
        return None
    sides = [
        _of_counts(estimand, one.y_true[asked.inside], one.y_pred[asked.inside], len(asked.members), asked.k)
        for one in (asked.joined.new, asked.joined.old)
    ]
    difference, spread = sides[0][0] - sides[1][0], sides[0][1] - sides[1][1]
    return Influence(difference, spread, "influence", _pseudo_flip(asked, estimand))


def influence_of_right(new: Mask, old: Mask) -> Influence:
    """Return the influence of every sample on a difference of two shares right."""
    n = len(new)
    change = new.astype(float) - old
    return Influence(float(change.mean()), change / n, "t", 1 / n**2)


def _of_losses(asked: Asked) -> Influence | None:
    name = "log_loss" if asked.key[0] == "log_loss" else "brier"
    losses = [getattr(one, name) for one in (asked.joined.new, asked.joined.old)]
    if losses[0] is None or losses[1] is None:
        return None
    halved = 2 if name == "brier" and asked.measures.task == "binary" else 1
    change = (losses[0] - losses[1])[asked.inside] / halved
    return Influence(float(change.mean()), change / len(change), "t")


def _of_sets(asked: Asked) -> Influence | None:
    """Compare means over samples; where 0/0 stays out of them, the two are over other samples."""
    if asked.measures.policy.zero_division == "nan":
        return None
    new, old = (
        sample_values(one, asked.key[0], dict(asked.key[1]))[0][asked.inside]
        for one in (asked.joined.new, asked.joined.old)
    )
    n = len(new)
    return Influence(float((new - old).mean()), (new - old) / n, "t", 1 / n**2)


def _of_rankings(asked: Asked) -> Influence | None:
    """Compare areas: of one class, or the mean over the classes that have one."""
    average, positive = asked.key[2], asked.measures.positive
    if average is None:
        column = positive if asked.k is None else asked.k
        weights = {} if column is None else {column: 1.0}
    else:
        weights = _weights(asked, average)
    sides = [_area(asked, one, weights) for one in (asked.joined.new, asked.joined.old)]
    if not weights or sides[0] is None or sides[1] is None or math.isnan(sides[0][0]):
        return None
    n = int(asked.inside.sum())
    method = "delong" if asked.key[0] == "roc_auc" else "influence"
    return Influence(sides[0][0] - sides[1][0], (sides[0][1] - sides[1][1]) / n, method)


def _weights(asked: Asked, average: str) -> dict[int, float]:
    """Return the weight of each class whose area is defined; the truth is the same for both models."""
    size, n = len(asked.members), int(asked.inside.sum())
    support = [int(asked.joined.new.positive(k)[asked.inside].sum()) for k in range(size)]
    most = n if asked.key[0] == "average_precision" else n - 1
    defined = [k for k in range(size) if 0 < support[k] <= most]
    raw = {k: float(support[k]) if average == "weighted" else 1.0 for k in defined}
    total = sum(raw.values())
    return {k: weight / total for k, weight in raw.items()}


def _area(asked: Asked, side: "object", weights: dict[int, float]) -> tuple[float, Floats] | None:
    scores = getattr(side, "scores", None)
    if scores is None:
        return None
    function = auc_influence if asked.key[0] == "roc_auc" else average_precision_influence
    value, spread = 0.0, np.zeros(int(asked.inside.sum()))
    for k, weight in weights.items():
        truth = asked.joined.new.positive(k)[asked.inside]
        area, influence = function(Ordered.of(truth, scores[asked.inside, k]))
        value, spread = value + weight * area, spread + weight * influence
    return value, spread


def _estimand(asked: Asked) -> Estimand | None:
    metric, params, average, class_name, _ = asked.key
    measures = asked.measures
    cost = None if measures.cost is None else np.array(measures.cost, float)
    kinds = (average,) if average else measures.averages
    scope = Scope(measures.task, asked.members, measures.policy, kinds, cost)
    if class_name is None:
        found = [one for one in summary_estimands(metric, dict(params), scope) if one.average == average]
    else:
        found = [one for one in class_estimands([(metric, dict(params))]) if one.metric is METRICS[metric]]
        found = [one for one in found if dict(one.params) == dict(params)]
    return found[0] if found else None


def _of_counts(
    estimand: Estimand, y_true: Labels, y_pred: Labels, size: int, k: int | None
) -> tuple[float, Floats]:
    """Return a metric of some samples, and each one's influence on it."""
    matrix = _matrix(y_true, y_pred, size)
    several = y_true.ndim == 2  # noqa: PLR2004 - (n, L)
    task = "multilabel" if several else "multiclass"
    observed, calm = margins_of(matrix, task), margins_of(smoothed(matrix), task)
    value = estimand.value(observed).value
    gradient = _gradient(estimand, calm, observed, k)
    if several:
        influence = y_true @ gradient.support + y_pred @ gradient.predicted + (y_true & y_pred) @ gradient.tp
        return float(value if k is None else value[k]), np.asarray(influence + gradient.n)
    influence = gradient.support[y_true] + gradient.predicted[y_pred] + gradient.n
    influence = influence + np.where(y_true == y_pred, gradient.tp[y_true], 0)
    if gradient.cells is not None:
        influence = influence + gradient.cells[y_true, y_pred]
    return float(value if k is None else value[k]), np.asarray(influence)


def _gradient(estimand: Estimand, calm: Margins, observed: Margins, k: int | None) -> Gradient:
    """Return a metric's derivative; of a class's own metric only that class's margins count."""
    assert estimand.gradient is not None
    gradient = estimand.gradient(calm, observed)
    if k is None:
        return gradient
    one = np.arange(gradient.tp.shape[-1]) == k
    return Gradient(
        np.where(one, gradient.tp, 0),
        np.where(one, gradient.support, 0),
        np.where(one, gradient.predicted, 0),
        gradient.n[k],
    )


def _pseudo_flip(asked: Asked, estimand: Estimand) -> float:
    """Return what one flip in the smallest class that occurs would add to the variance."""
    new, k = asked.joined.new, asked.k
    y_true, y_pred = new.y_true[asked.inside], new.y_pred[asked.inside]
    matrix = _matrix(y_true, y_pred, len(asked.members))
    several = y_true.ndim == 2  # noqa: PLR2004 - (n, L)
    task = "multilabel" if several else "multiclass"
    calm = margins_of(smoothed(matrix), task)
    gradient = _gradient(estimand, calm, margins_of(matrix, task), k)
    support = np.where(calm.support > 0, calm.support, np.inf)
    smallest = int(np.argmin(support)) if k is None else k
    tp, predicted = gradient.tp, gradient.predicted
    others = np.arange(len(tp)) != smallest
    if several:  # a label goes wrong alone
        flips = (tp[smallest] + predicted[smallest], predicted[smallest])
    else:  # its sample goes to another class, or another's to it
        lost = tp[smallest] + predicted[smallest] - predicted[others].mean()
        flips = (lost, predicted[smallest] - (tp + predicted)[others].mean())
    return float(max(abs(flip) for flip in flips) ** 2)


def _matrix(y_true: Labels, y_pred: Labels, size: int) -> Labels:
    if y_true.ndim == 1:
        return np.bincount(y_true * size + y_pred, minlength=size * size).reshape(size, size)
    cell = y_true.astype(np.int64) * 2 + y_pred
    return np.stack([np.bincount(cell[:, k], minlength=4).reshape(2, 2) for k in range(size)])
