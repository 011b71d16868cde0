"""How much each sample bears on an area under a curve: what variances and paired differences are made of."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.metrics.ranking import (
    Ranked,
    average_precision,
    checked,
    groups_of,
    placements,
    precisions,
    roc_auc,
)

Floats = NDArray[np.float64]


def auc_influence(positive: ArrayLike, score: ArrayLike) -> tuple[float, Floats]:
    """Return the AUC and each sample's influence on it, float64, shape (n,), with mean 0.

    Var(auc) is about ``(influence**2).sum() / n**2``: the placements of ``delong_variance``, without its
    m / (m - 1). The influence on a mean of AUCs over the same samples is the mean of the influences.
    NaN throughout without positives or without negatives.
    """
    truth, values = checked(positive, score)
    ranked = Ranked.of(truth, values)
    auc = roc_auc(ranked).value
    if math.isnan(auc):
        return auc, np.full(values.shape, np.nan)
    of_positives, of_negatives = placements(ranked)
    of_positives = (of_positives - auc) * (values.size / ranked.n_positives)
    of_negatives = (of_negatives - auc) * (values.size / ranked.n_negatives)
    group = groups_of(ranked, values)
    return auc, np.where(truth, of_positives[group], of_negatives[group])


def average_precision_influence(positive: ArrayLike, score: ArrayLike) -> tuple[float, Floats]:
    """Return the average precision and each sample's influence on it, float64, shape (n,), with mean 0.

    The derivative of AP = (1/P) sum p_g T_g / N_g over groups of equal score (p positives; T positives and N
    samples with at least that score) by each sample's weight: a sample counts in T and N of every group below
    it, and a positive in its own term and in P, too. NaN throughout without positives.
    """
    truth, values = checked(positive, score)
    ranked = Ranked.of(truth, values)
    area = average_precision(ranked).value
    if math.isnan(area):
        return area, np.full(values.shape, np.nan)
    n_above, precision = ranked.tp + ranked.fp, precisions(ranked)
    raised = _from_below(ranked.positives / n_above)
    lowered = _from_below(ranked.positives * precision / n_above)
    group = groups_of(ranked, values)
    own = np.where(truth, (precision - area + raised)[group], 0.0)
    return area, (own - lowered[group]) * (values.size / ranked.n_positives)


def _from_below(terms: Floats) -> Floats:
    """Sum each group's term and those of all groups with a lower score."""
    return np.asarray(np.cumsum(terms[::-1])[::-1])
