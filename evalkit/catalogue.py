"""What each metric is: the one table that specifications, gates, documents and reports look metrics up in.

It holds no arithmetic; the formulas that compute stand in :mod:`evalkit.metrics`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from evalkit.errors import SpecificationError, nearest

AVERAGES = ("micro", "macro", "weighted", "samples")

Needs = Literal["counts", "samples", "scores", "flips", "facts"]
Tasks = tuple[str, ...]

_ALL: Tasks = ("binary", "multiclass", "multilabel")
_SINGLE: Tasks = ("binary", "multiclass")


@dataclass(frozen=True, slots=True)
class Metric:
    """One entry of the catalogue.

    Attributes:
        slug: The name in specifications and documents.
        label: The name on a page.
        formula: How it is computed, for people.
        lower, upper: The range of possible values; None where there is no bound.
        greater_is_better: The direction; None for a plain count of samples.
        overall: The tasks in which it has one value for the whole run.
        per_class: The tasks in which it has one value per class, or label.
        averages: The averages over classes that it has where it has a value per class.
        params: Parameters and their defaults.
        undefined: The slug of the reason for a 0/0, or None where that cannot happen.
        needs: What it is computed from: ``counts``; ``samples``, each one's labels; ``scores``; ``flips``,
            two runs on the same samples; or ``facts``, what was found out about the data. The last two can
            be gated, and are no rows of a run.
    """

    slug: str
    label: str
    formula: str
    lower: float | None = 0
    upper: float | None = 1
    greater_is_better: bool | None = True
    overall: Tasks = ()
    per_class: Tasks = ()
    averages: tuple[str, ...] = ()
    params: Mapping[str, float | str] = field(default_factory=dict)
    undefined: str | None = None
    needs: Needs = "counts"

    def averages_in(self, task: str) -> tuple[str, ...]:
        """Return the averages that the metric has in a task."""
        if task not in self.per_class:
            return ()
        return tuple(kind for kind in self.averages if kind != "samples" or task == "multilabel")


def _count(slug: str, label: str, formula: str, *, better: bool | None) -> Metric:
    return Metric(slug, label, formula, upper=None, greater_is_better=better, per_class=_ALL)


def _ratio(
    slug: str,
    label: str,
    formula: str,
    undefined: str,
    *,
    averages: tuple[str, ...] = ("micro", "macro", "weighted"),
    better: bool = True,
    lower: float = 0,
    params: Mapping[str, float | str] | None = None,
) -> Metric:
    return Metric(
        slug,
        label,
        formula,
        lower=lower,
        greater_is_better=better,
        per_class=_ALL,
        averages=averages,
        undefined=undefined,
        params=params or {},
    )


def _overall(
    slug: str, label: str, formula: str, undefined: str | None = None, *, lower: float = 0
) -> Metric:
    return Metric(slug, label, formula, lower=lower, overall=_SINGLE, undefined=undefined)


_WITH_SAMPLES = ("micro", "macro", "weighted", "samples")
_COUNTED = (
    _count("tp", "TP", "samples of the class, predicted as it", better=True),
    _count("fp", "FP", "samples of other classes, predicted as it", better=False),
    _count("fn", "FN", "samples of the class, predicted as another", better=False),
    _count("tn", "TN", "samples of other classes, predicted as others", better=True),
    _count("support", "Support", "samples whose true class it is", better=None),
    _overall("accuracy", "Accuracy", "right / all"),
    _overall("balanced_accuracy", "Balanced accuracy", "mean recall of the classes that occur"),
    _overall(
        "balanced_accuracy_adjusted",
        "Balanced accuracy, adjusted",
        "(balanced accuracy - 1/S) / (1 - 1/S), S classes occur: 0 for guessing",
        "one_class",
        lower=-1,
    ),
    _ratio("precision", "Precision", "TP / (TP + FP)", "never_predicted", averages=_WITH_SAMPLES),
    _ratio("recall", "Recall", "TP / (TP + FN)", "no_samples", averages=_WITH_SAMPLES),
    _ratio("f1", "F1", "2 TP / (2 TP + FP + FN)", "never_seen", averages=_WITH_SAMPLES),
    _ratio(
        "fbeta",
        "F-beta",
        "(1 + b²) TP / ((1 + b²) TP + b² FN + FP); beta 2 unless said",
        "never_seen",
        averages=_WITH_SAMPLES,
        params={"beta": 2.0},
    ),
    _ratio("specificity", "Specificity", "TN / (TN + FP)", "no_negatives"),
    _ratio("npv", "NPV", "TN / (TN + FN)", "always_predicted"),
    _ratio("fpr", "FPR", "FP / (TN + FP)", "no_negatives", better=False),
    _ratio("fnr", "FNR", "FN / (TP + FN)", "no_samples", better=False),
    _ratio("jaccard", "Jaccard", "TP / (TP + FP + FN)", "never_seen", averages=_WITH_SAMPLES),
    _ratio(
        "informedness",
        "Informedness",
        "recall + specificity - 1",
        "one_sided",
        averages=("macro", "weighted"),
        lower=-1,
    ),
    _ratio(
        "markedness",
        "Markedness",
        "precision + NPV - 1",
        "one_sided_prediction",
        averages=("macro", "weighted"),
        lower=-1,
    ),
    _overall("mcc", "MCC", "correlation of truth and prediction (Matthews, Gorodkin)", "one_class", lower=-1),
    _overall(
        "cohen_kappa", "Cohen's kappa", "(observed - chance) / (1 - chance) agreement", "one_class", lower=-1
    ),
    _overall(
        "cohen_kappa_linear",
        "Cohen's kappa, linear",
        "kappa with disagreement weighted by distance in class order",
        "one_class",
        lower=-1,
    ),
    _overall(
        "cohen_kappa_quadratic",
        "Cohen's kappa, quadratic",
        "kappa with disagreement weighted by squared distance in class order",
        "one_class",
        lower=-1,
    ),
    _overall("g_mean", "G-mean", "geometric mean of the recalls of the classes that occur"),
    Metric(
        "average_recall",
        "Average recall",
        "macro recall: the mean of the classes' recalls",
        overall=_ALL,
        undefined="no_defined_class",
    ),
    Metric(
        "expected_cost",
        "Expected cost",
        "mean of metrics.cost[true][predicted]",
        lower=None,
        upper=None,
        greater_is_better=False,
        overall=_SINGLE,
    ),
    Metric(
        "hamming_loss",
        "Hamming loss",
        "wrong labels / all labels of all samples",
        greater_is_better=False,
        overall=("multilabel",),
    ),
    Metric(
        "subset_accuracy",
        "Subset accuracy",
        "samples with every label right / all",
        overall=("multilabel",),
        needs="samples",
    ),
)
_SCORED = (
    Metric(
        "top_k_accuracy",
        "Top-k accuracy",
        "true class among the k best; of equal scores the lower index is better; k 5 unless said",
        overall=("multiclass",),
        params={"k": 5},
        needs="scores",
    ),
    Metric(
        "log_loss",
        "Log loss",
        "mean -log p(true)",
        upper=None,
        greater_is_better=False,
        overall=_ALL,
        undefined="no_probabilities",
        needs="scores",
    ),
    Metric(
        "brier",
        "Brier score",
        "mean squared distance of probabilities and truth, over classes (binary: of the positive)",
        upper=2,
        greater_is_better=False,
        overall=_ALL,
        undefined="no_probabilities",
        needs="scores",
    ),
    Metric(
        "roc_auc",
        "ROC AUC",
        "share of (positive, negative) pairs in the right order, ties half; one class against the rest",
        overall=("binary",),
        per_class=("multiclass", "multilabel"),
        averages=("macro", "weighted"),
        undefined="one_sided",
        needs="scores",
    ),
    Metric(
        "average_precision",
        "Average precision",
        "sum of precision times gain in recall down the ranking; one class against the rest",
        overall=("binary",),
        per_class=("multiclass", "multilabel"),
        averages=("macro", "weighted"),
        undefined="no_samples",
        needs="scores",
    ),
    Metric(
        "ece",
        "ECE",
        "mean gap of confidence and share right over 15 bins: of equal mass and debiased, or of equal width",
        lower=-1,
        greater_is_better=False,
        overall=_SINGLE,
        params={"bins": "mass"},
        undefined="no_probabilities",
        needs="scores",
    ),
    Metric(
        "mce",
        "MCE",
        "largest gap of confidence and share right over 15 bins of equal mass",
        greater_is_better=False,
        overall=_SINGLE,
        undefined="no_probabilities",
        needs="scores",
    ),
)

_FLIPPED = (
    Metric(
        "negative_flips",
        "Negative flips",
        "samples that the baseline has right and the candidate wrong; for gates",
        upper=None,
        greater_is_better=False,
        overall=_ALL,
        per_class=_ALL,
        needs="flips",
    ),
    Metric(
        "negative_flip_rate",
        "Negative flip rate",
        "negative flips / all samples; for gates",
        greater_is_better=False,
        overall=_ALL,
        per_class=_ALL,
        undefined="no_samples",
        needs="flips",
    ),
)

_FACTS = (
    Metric(
        "duplicate_inputs",
        "Duplicate inputs",
        "samples whose input equals an earlier one; for gates",
        upper=None,
        greater_is_better=False,
        overall=_ALL,
        needs="facts",
    ),
    Metric(
        "conflicting_labels",
        "Conflicting labels",
        "samples whose input also occurs with another label; for gates",
        upper=None,
        greater_is_better=False,
        overall=_ALL,
        needs="facts",
    ),
    Metric(
        "throughput",
        "Throughput",
        "samples a second, reading and accounting included; for gates",
        upper=None,
        greater_is_better=True,
        overall=_ALL,
        needs="facts",
    ),
    Metric(
        "latency_p50_ms",
        "Latency, median",
        "milliseconds that half of the batches took at most in the model; for gates",
        upper=None,
        greater_is_better=False,
        overall=_ALL,
        needs="facts",
    ),
    Metric(
        "latency_p95_ms",
        "Latency, 95 %",
        "milliseconds that 95 % of the batches took at most in the model; for gates",
        upper=None,
        greater_is_better=False,
        overall=_ALL,
        needs="facts",
    ),
    Metric(
        "peak_memory_mb",
        "Peak memory",
        "the most memory held, in 2^20 bytes: of the GPU, else of the process; for gates",
        upper=None,
        greater_is_better=False,
        overall=_ALL,
        needs="facts",
    ),
)

METRICS: dict[str, Metric] = {metric.slug: metric for metric in (*_COUNTED, *_SCORED, *_FLIPPED, *_FACTS)}

DEFAULT_COUNTED = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "specificity",
    "mcc",
    "cohen_kappa",
)
DEFAULT_MULTILABEL = ("subset_accuracy", "hamming_loss", "precision", "recall", "f1", "specificity")
DEFAULT_SCORED = ("top_k_accuracy", "log_loss", "brier", "roc_auc", "average_precision", "ece")
PER_CLASS_NAMES = ("tp", "fp", "fn", "tn", "support", "precision", "recall", "f1", "specificity")

# How a run went, not what it found: measured once.
OF_RUN = frozenset("throughput latency_p50_ms latency_p95_ms peak_memory_mb".split())

# Numbers of samples, and how a run went: they have no interval.
COUNTS = OF_RUN | frozenset("tp fp fn tn support negative_flips duplicate_inputs conflicting_labels".split())


def is_of_flips(slug: str) -> bool:
    """Return whether a metric is one of two runs together."""
    return slug in METRICS and METRICS[slug].needs == "flips"


def is_of_facts(slug: str) -> bool:
    """Return whether a metric is a fact about the data or the run, not about the model's answers."""
    return slug in METRICS and METRICS[slug].needs == "facts"


def find_metric(slug: str) -> Metric:
    """Return the catalogue's entry; raise SpecificationError with the nearest name for an unknown slug."""
    if slug in METRICS:
        return METRICS[slug]
    raise SpecificationError(f"unknown metric {slug!r}{nearest(slug, METRICS)}")
