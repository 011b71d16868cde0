"""The oracle table: what scikit-learn prints for each metric, average, class policy and zero_division."""

import warnings

import numpy as np
from sklearn import metrics as sk

AVERAGES = ("micro", "macro", "weighted")


def specificity(y_true, y_pred, *, labels, average, zero_division):
    """scikit-learn has no specificity: recall of "not this class", averaged as scikit-learn averages."""
    cells = sk.multilabel_confusion_matrix(y_true, y_pred, labels=labels)
    tn, fp = cells[:, 0, 0], cells[:, 0, 1]
    if average == "micro":
        tn, fp = np.array([tn.sum()]), np.array([fp.sum()])
    with np.errstate(invalid="ignore"):
        values = np.where(tn + fp == 0, zero_division, tn / (tn + fp))
    if average is None:
        return values
    support = cells[:, 1, 1] + cells[:, 1, 0]
    weights = support if average == "weighted" else np.ones(len(values))
    kept = ~np.isnan(values)
    if not kept.any():
        return np.nan
    weights = np.where(kept, weights, 0) if weights[kept].sum() else kept
    return np.average(np.where(kept, values, 0), weights=weights)


# metric -> callable(y_true, y_pred, labels=, average=, zero_division=)
ORACLE = {
    "precision": sk.precision_score,
    "recall": sk.recall_score,
    "f1": sk.f1_score,
    "specificity": specificity,
}
OVERALL = {"accuracy": sk.accuracy_score, "balanced_accuracy": sk.balanced_accuracy_score}
CELLS = {"tp", "fp", "fn", "tn", "support"}  # against multilabel_confusion_matrix in test_counts


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
