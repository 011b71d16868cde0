"""Counting, scoring and intervals against the libraries that people use: interleaved rounds, medians, ratios."""

import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn import metrics as sk

import evalkit
from evalkit.count_rows import count_columns
from evalkit.counts import ConfusionCounts, LabelCounter
from evalkit.metrics import OVERALL, Margins, average, class_members
from evalkit.metrics.areas import roc_auc
from evalkit.metrics.averages import Policy
from evalkit.metrics.ranked import Ranked
from evalkit.rows import Measures
from evalkit.scores import ScoreBins

ROUNDS = 5
BATCH = 256


def labels(n: int, n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels that are right in 90 % of cases."""
    rng = np.random.default_rng(seed)
    y_true = rng.integers(0, n_classes, n)
    return y_true, np.where(rng.random(n) < 0.9, y_true, rng.integers(0, n_classes, n))


def race(
    name: str, must: str, ours: Callable[[], object], theirs: Callable[[], object], rounds: int = ROUNDS
) -> None:
    """Run A/B/A/B and print both medians and their ratio."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for found, function in zip(times, (ours, theirs), strict=True):
            start = time.perf_counter()
            function()
            found.append(time.perf_counter() - start)
    a, b = (statistics.median(found) * 1000 for found in times)
    print(f"{name:62}{a:10.2f} ms{b:12.2f} ms{b / a:9.1f}x   must: {must}", flush=True)


def batches(n_classes: int, must: str) -> None:
    """Label batches of 256: accuracy, precision, recall and F1."""
    try:
        import torch
        import torchmetrics.classification as tm
        from torchmetrics import MetricCollection
    except ImportError:
        print("labels in batches: torchmetrics is not installed (the extra bench)")
        return
    n = 10**6
    y_true, y_pred = labels(n, n_classes)
    true, pred = torch.from_numpy(y_true), torch.from_numpy(y_pred)
    kinds = (tm.MulticlassAccuracy, tm.MulticlassPrecision, tm.MulticlassRecall, tm.MulticlassF1Score)
    starts = range(0, n, BATCH)

    def ours() -> None:
        counter = LabelCounter(n_classes)
        for start in starts:
            counter.add(y_true[start : start + BATCH], y_pred[start : start + BATCH])
        margins = Margins.of(counter.result().matrix)
        members = class_members(margins, Policy())
        OVERALL["accuracy"][0](margins)
        for slug in ("precision", "recall", "f1"):
            average(margins, slug, "macro", members=members)

    def theirs() -> None:
        collection = MetricCollection({kind.__name__: kind(n_classes) for kind in kinds})
        for start in starts:
            collection.update(pred[start : start + BATCH], true[start : start + BATCH])
        collection.compute()

    rounds = ROUNDS if n_classes < 100 else 1
    race(f"labels in batches of 256, n = 10^6, K = {n_classes} / torchmetrics", must, ours, theirs, rounds)


def scoring() -> None:
    """One call with all defaults, intervals among them."""
    evalkit.score([0, 1], [0, 1])
    for n in (3 * 10**6, 10**7):
        y_true, y_pred = labels(n, 10)
        race(
            f"score(y_true, y_pred), n = {n:.0e}, K = 10 / classification_report",
            ">= 40x",
            lambda a=y_true, b=y_pred: evalkit.score(a, b),
            lambda a=y_true, b=y_pred: sk.classification_report(a, b),
            3,
        )
    for n in (3 * 10**6, 10**7):
        y_true, y_pred = labels(n, 1000)
        race(
            f"score(y_true, y_pred), n = {n:.0e}, K = 1000 / prf_support",
            ">= 15x",
            lambda a=y_true, b=y_pred: evalkit.score(a, b),
            lambda a=y_true, b=y_pred: sk.precision_recall_fscore_support(a, b, average=None),
            3,
        )


def intervals() -> None:
    """Macro-F1's interval, whatever n; against a loop that resamples."""
    measures = Measures(asked=(("f1", {}),), averages=("macro",))
    for n_classes, n, must in ((10, 10**4, "<= 1 ms"), (10, 10**8, "<= 1 ms"), (1000, 10**6, "<= 50 ms")):
        y_true, y_pred = labels(min(n, 10**6), n_classes)
        matrix = ConfusionCounts.from_labels(y_true, y_pred, n_classes=n_classes).matrix * max(n // 10**6, 1)
        times = []
        for _ in range(20):
            start = time.perf_counter()
            list(count_columns(matrix[None], measures, by_class=False))
            times.append(time.perf_counter() - start)
        print(
            f"macro-F1 with interval, n = {n:.0e}, K = {n_classes:4}{statistics.median(times) * 1000:34.2f} ms   must: {must}"
        )
    y_true, y_pred = labels(10**4, 10)
    matrix = ConfusionCounts.from_labels(y_true, y_pred, n_classes=10).matrix
    rng = np.random.default_rng(0)

    def resampling() -> None:
        for _ in range(20):  # a hundredth of 2,000 replicates
            rows = rng.integers(0, len(y_true), len(y_true))
            sk.f1_score(y_true[rows], y_pred[rows], average="macro")

    start = time.perf_counter()
    resampling()
    loop = (time.perf_counter() - start) * 100
    start = time.perf_counter()
    for _ in range(20):
        list(count_columns(matrix[None], measures, by_class=False))
    ours = (time.perf_counter() - start) / 20
    print(
        f"macro-F1 interval / 2,000 scikit-learn replicates (n = 10^4, extrapolated from 20){loop / ours:9.0f}x   must: >= 1,000x"
    )


def ranking() -> None:
    """Binary AUC of ten million scores in bins, with its certified bound."""
    rng = np.random.default_rng(1)
    n = 10**7
    positive = rng.random(n) < 0.3
    rare = rng.random(n) < 0.001
    cases = {
        "mild": (positive, 1 / (1 + np.exp(-(rng.normal(size=n) + positive)))),
        "confident": (positive, 1 / (1 + np.exp(-(4 * rng.normal(size=n) + 12 * positive - 6)))),
        "rare, overconfident": (rare, 1 / (1 + np.exp(-(3 * rng.normal(size=n) + 8 * rare - 12)))),
    }
    for name, (true, score) in cases.items():
        found = roc_auc(Ranked.of_bins(ScoreBins.from_scores(true, score, kind="probability")))
        exact = sk.roc_auc_score(true, score)
        inside = abs(found.value - exact) <= found.bound
        race(
            f"binary ROC AUC, n = 10^7, {name} (bound {found.bound:.0e}, inside: {inside})",
            ">= 25x, bound <= 1e-4",
            lambda t=true, s=score: roc_auc(Ranked.of_bins(ScoreBins.from_scores(t, s, kind="probability"))),
            lambda t=true, s=score: sk.roc_auc_score(t, s),
            3,
        )


def run() -> None:
    """Run every race."""
    warnings.simplefilter("ignore")
    print(f"{'work':62}{'evalkit':>13}{'peer':>15}{'ratio':>10}")
    batches(10, ">= 20x")
    batches(1000, ">= 300x")
    scoring()
    intervals()
    ranking()
