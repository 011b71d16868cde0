"""The oracle tables: what scikit-learn prints for each metric, average, class policy and zero_division."""

import warnings

import numpy as np
from sklearn import metrics as sk

AVERAGES = ("micro", "macro", "weighted")


def averaged(values_of):
    """Average a ratio of the four cells as scikit-learn averages its own, for ratios that it does not have."""

    def metric(y_true, y_pred, *, labels, average, zero_division):
        cells = sk.multilabel_confusion_matrix(y_true, y_pred, labels=labels)
        tn, fp, fn, tp = cells[:, 0, 0], cells[:, 0, 1], cells[:, 1, 0], cells[:, 1, 1]
        support = tp + fn
        if average == "micro":
            tn, fp, fn, tp = (np.array([part.sum()]) for part in (tn, fp, fn, tp))
        values = np.array(values_of(tn, fp, fn, tp, zero_division), float)
        if average is None:
            return values
        weights = support if average == "weighted" else np.ones(len(values))
        kept = ~np.isnan(values)
        if not kept.any():
            return np.nan
        weights = np.where(kept, weights, 0) if weights[kept].sum() else kept
        return np.average(np.where(kept, values, 0), weights=weights)

    return metric


def quotient(numerator, denominator, zero_division):
    """Divide, with scikit-learn's substitute for 0/0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(denominator == 0, zero_division, numerator / denominator)


def sum_of(first, second, zero_division):
    """Add two ratios less 1; what is 0/0 in one is 0/0 as a whole."""
    found = first + second - 1
    return np.where(np.isnan(found), zero_division, found)


def fbeta(y_true, y_pred, **arguments):
    return sk.fbeta_score(y_true, y_pred, beta=2, **arguments)


# metric -> callable(y_true, y_pred, labels=, average=, zero_division=)
ORACLE = {
    "precision": sk.precision_score,
    "recall": sk.recall_score,
    "f1": sk.f1_score,
    "fbeta": fbeta,
    "jaccard": averaged(lambda tn, fp, fn, tp, zero: quotient(tp, tp + fp + fn, zero)),
    "specificity": averaged(lambda tn, fp, fn, tp, zero: quotient(tn, tn + fp, zero)),
    "npv": averaged(lambda tn, fp, fn, tp, zero: quotient(tn, tn + fn, zero)),
    "fpr": averaged(lambda tn, fp, fn, tp, zero: quotient(fp, tn + fp, zero)),
    "fnr": averaged(lambda tn, fp, fn, tp, zero: quotient(fn, tp + fn, zero)),
    "informedness": averaged(
        lambda tn, fp, fn, tp, zero: sum_of(
            quotient(tp, tp + fn, np.nan), quotient(tn, tn + fp, np.nan), zero
        )
    ),
    "markedness": averaged(
        lambda tn, fp, fn, tp, zero: sum_of(
            quotient(tp, tp + fp, np.nan), quotient(tn, tn + fn, np.nan), zero
        )
    ),
}
NO_MICRO = {"informedness", "markedness"}


def g_mean(y_true, y_pred):
    recalls = sk.recall_score(y_true, y_pred, labels=sorted(set(y_true)), average=None)
    return float(np.prod(recalls) ** (1 / len(recalls)))


def adjusted(y_true, y_pred):
    return sk.balanced_accuracy_score(y_true, y_pred, adjusted=True)


def kappa(weights):
    """scikit-learn's kappa over all declared classes, so that distances are those of the declared order."""
    return lambda y_true, y_pred: sk.cohen_kappa_score(y_true, y_pred, labels=range(4), weights=weights)


OVERALL = {
    "accuracy": sk.accuracy_score,
    "balanced_accuracy": sk.balanced_accuracy_score,
    "balanced_accuracy_adjusted": adjusted,
    "mcc": sk.matthews_corrcoef,
    "cohen_kappa": kappa(None),
    "cohen_kappa_linear": kappa("linear"),
    "cohen_kappa_quadratic": kappa("quadratic"),
    "g_mean": g_mean,
}
CELLS = {"tp", "fp", "fn", "tn", "support"}  # against multilabel_confusion_matrix in test_counts
ELSEWHERE = {"average_recall", "expected_cost", "hamming_loss", "subset_accuracy"}  # in test_count_rows


def labels_of(policy, y_true, y_pred, n_classes):
    """The `labels` argument that means the same as a class policy."""
    if policy == "declared":
        return list(range(n_classes))
    seen = set(y_true) if policy == "supported" else set(y_true) | set(y_pred)
    return sorted(seen)


def ask(metric, y_true, y_pred, **arguments):
    """Ask scikit-learn without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ORACLE[metric](y_true, y_pred, **arguments)


def ask_overall(metric, y_true, y_pred):
    """Ask for a metric with one value without warnings."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return float(OVERALL[metric](y_true, y_pred))
