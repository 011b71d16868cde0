"""What each metric is: the one table that specifications, gates, documents and reports look metrics up in.

It holds no arithmetic; the formulas that compute stand in :mod:`evalkit.metrics`.
"""

from dataclasses import dataclass

from evalkit.errors import SpecificationError, nearest

AVERAGES = ("micro", "macro", "weighted")


@dataclass(frozen=True, slots=True)
class Metric:
    """One entry of the catalogue.

    Attributes:
        slug: The name in specifications and documents.
        label: The name on a page.
        lower, upper: The range of possible values; None where there is no bound.
        greater_is_better: The direction; None for a plain count of samples.
        overall: True where the metric has one value for the whole run.
        per_class: True where it has one value per class.
        averages: The averages over classes that it has.
        formula: How it is computed, for people.
        undefined: The slug of the reason for a 0/0, or None where that cannot happen.
    """

    slug: str
    label: str
    lower: float
    upper: float | None
    greater_is_better: bool | None
    overall: bool
    per_class: bool
    averages: tuple[str, ...]
    formula: str
    undefined: str | None = None


def _count(slug: str, label: str, formula: str, *, greater_is_better: bool | None) -> Metric:
    return Metric(
        slug, label, 0, None, greater_is_better, overall=False, per_class=True, averages=(), formula=formula
    )


def _ratio(slug: str, label: str, formula: str, undefined: str) -> Metric:
    return Metric(
        slug,
        label,
        lower=0,
        upper=1,
        greater_is_better=True,
        overall=False,
        per_class=True,
        averages=AVERAGES,
        formula=formula,
        undefined=undefined,
    )


def _overall(slug: str, label: str, formula: str) -> Metric:
    return Metric(
        slug,
        label,
        lower=0,
        upper=1,
        greater_is_better=True,
        overall=True,
        per_class=False,
        averages=(),
        formula=formula,
    )


METRICS: dict[str, Metric] = {
    metric.slug: metric
    for metric in (
        _count("tp", "TP", "samples of the class, predicted as it", greater_is_better=True),
        _count("fp", "FP", "samples of other classes, predicted as it", greater_is_better=False),
        _count("fn", "FN", "samples of the class, predicted as another", greater_is_better=False),
        _count("tn", "TN", "samples of other classes, predicted as others", greater_is_better=True),
        _count("support", "Support", "samples whose true class it is", greater_is_better=None),
        _overall("accuracy", "Accuracy", "right / all"),
        _overall("balanced_accuracy", "Balanced accuracy", "mean recall of the classes that occur"),
        _ratio("precision", "Precision", "TP / (TP + FP)", "never_predicted"),
        _ratio("recall", "Recall", "TP / (TP + FN)", "no_samples"),
        _ratio("f1", "F1", "2 TP / (2 TP + FP + FN)", "never_seen"),
        _ratio("specificity", "Specificity", "TN / (TN + FP)", "no_negatives"),
    )
}

DEFAULT_NAMES = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "specificity")
PER_CLASS_NAMES = ("tp", "fp", "fn", "tn", "support", "precision", "recall", "f1", "specificity")

UNDEFINED_TEXTS = {
    "never_predicted": "never predicted",
    "no_samples": "no samples of it",
    "never_seen": "neither occurs nor predicted",
    "no_negatives": "no samples of other classes",
    "no_defined_class": "undefined for every class",
}

# Slugs with a fixed meaning whose measurement this version does not have: named, so that nobody takes them
# for a spelling mistake, and refused, so that nobody takes them for measured.
LATER = frozenset(
    """balanced_accuracy_adjusted fbeta npv fpr fnr jaccard mcc cohen_kappa cohen_kappa_linear
    cohen_kappa_quadratic g_mean informedness markedness average_recall expected_cost hamming_loss
    subset_accuracy top_k_accuracy log_loss brier roc_auc average_precision ece mce negative_flips
    negative_flip_rate duplicate_inputs conflicting_labels throughput latency_p50_ms latency_p95_ms
    peak_memory_mb""".split()
)


def find_metric(slug: str) -> Metric:
    """Return the catalogue's entry; raise SpecificationError with the nearest name for an unknown slug."""
    if slug in METRICS:
        return METRICS[slug]
    if slug in LATER:
        raise SpecificationError(f"metric {slug!r} is not available yet")
    raise SpecificationError(f"unknown metric {slug!r}{nearest(slug, METRICS)}")
