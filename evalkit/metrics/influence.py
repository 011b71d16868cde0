"""How much each sample bears on an area under a curve: what variances and paired differences are made of."""

import math

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.areas import average_precision, precisions, roc_auc
from evalkit.metrics.ranked import Ordered

Floats = NDArray[np.float64]


def auc_influence(ordered: Ordered) -> tuple[float, Floats]:
    """Return the AUC and each sample's influence on it, float64, shape (n,), with mean 0.

    Var(auc) is about ``(influence**2).sum() / n**2``: the placements of ``delong_variance``, without its
    m / (m - 1). The influence on a mean of AUCs over the same samples is the mean of the influences.
    NaN throughout without positives or without negatives.
    """
    ranked, n_samples = ordered.ranked, len(ordered.rows)
    auc = roc_auc(ranked).value
    if math.isnan(auc):
        return auc, np.full(n_samples, np.nan)
    of_positives, of_negatives = ranked.placements
    of_positives = (of_positives - auc) * (n_samples / ranked.n_positives)
    of_negatives = (of_negatives - auc) * (n_samples / ranked.n_negatives)
    return auc, ordered.by_sample(of_positives, of_negatives)


def average_precision_influence(ordered: Ordered) -> tuple[float, Floats]:
    """Return the average precision and each sample's influence on it, float64, shape (n,), with mean 0.

    The derivative of AP = (1/P) sum p_g T_g / N_g over groups of equal score (p positives; T positives and N
    samples with at least that score) by each sample's weight: a sample counts in T and N of every group below
    it, and a positive in its own term and in P, too. NaN throughout without positives.
    """
    ranked, n_samples = ordered.ranked, len(ordered.rows)
    area = average_precision(ranked).value
    if math.isnan(area):
        return area, np.full(n_samples, np.nan)
    n_above, precision = ranked.tp + ranked.fp, precisions(ranked)
    raised = _from_below(ranked.positives / n_above)
    lowered = _from_below(ranked.positives * precision / n_above)
    weight = n_samples / ranked.n_positives
    return area, ordered.by_sample((precision - area + raised - lowered) * weight, -lowered * weight)


def _from_below(terms: Floats) -> Floats:
    """Sum each group's term and those of all groups with a lower score."""
    return np.asarray(np.cumsum(terms[::-1])[::-1])
