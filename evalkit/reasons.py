"""Why a number is missing or has no interval, and where it is meant to be another than scikit-learn's."""

UNDEFINED_TEXTS = {
    "never_predicted": "never predicted",
    "always_predicted": "predicted for every sample",
    "no_samples": "no samples of it",
    "never_seen": "neither occurs nor predicted",
    "no_negatives": "no samples of other classes",
    "no_defined_class": "undefined for every class",
    "one_class": "only one class occurs, in truth or prediction",
    "one_sided": "only samples of it, or none",
    "one_sided_prediction": "predicted for every sample, or never",
    "no_probabilities": "the scores are no probabilities",
    "scores_not_stored": "its scores were not stored",
}

# Why low and high are null although there is a value.
NO_INTERVAL_TEXTS = {
    "count": "a count",
    "measured_once": "measured once",
    "undefined": "no value",
    "zero_variance": "no variation to measure",
    "too_few_clusters": "fewer than 20 clusters",
    "selected_on_test": "chosen on these very samples",
    "binned": "computed from bins",
    "clustered": "none for clustered samples",
    "no_closed_form": "no closed form",
    "too_large": "too many samples and classes for it",
    "no_samples_stored": "needs each sample's labels",
}

# Where a number is meant to differ from scikit-learn's: metrics, when, what stands here instead and why.
EXCEPTIONS = (
    (
        "every ratio",
        "0/0",
        "null with its reason: it was not measured; in an average it counts as zero_division says",
    ),
    (
        "mcc",
        "one class alone in truth or in prediction",
        "undefined, where scikit-learn prints 0: nothing varies that could correlate",
    ),
    (
        "cohen_kappa, cohen_kappa_linear, cohen_kappa_quadratic",
        "the same class alone in truth and prediction",
        "undefined, as scikit-learn's NaN: chance alone agrees everywhere",
    ),
    (
        "balanced_accuracy_adjusted",
        "one class occurs",
        "undefined, where scikit-learn divides by 0",
    ),
    (
        "cohen_kappa_linear, cohen_kappa_quadratic",
        "a declared class never occurs",
        "distances in the declared order, where scikit-learn without labels closes the gap",
    ),
    (
        "averages of a slice",
        "a class does not occur in the slice",
        "over the whole run's class set, so that slices can be compared",
    ),
    (
        "top_k_accuracy",
        "equal scores",
        "the lower index is better, so that top-1 is accuracy; scikit-learn takes the higher one",
    ),
    (
        "log_loss",
        "p(true) near 0 or 1",
        "from log-softmax for logits; probabilities are clipped at float64's epsilon, not their own type's",
    ),
    (
        "roc_auc, average_precision",
        "a class without samples (AUC: or with all of them)",
        "undefined and left out of averages, where scikit-learn prints NaN or 0",
    ),
    (
        "roc_auc, average_precision, ece, mce",
        "always",
        "from the float32 values of predictions.parquet, so that anybody can compute them again",
    ),
)
