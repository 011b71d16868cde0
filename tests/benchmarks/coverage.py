"""How often 95 % intervals hold the truth: the whole grid of accuracies, classes, rarities and sizes."""

import statistics
from collections.abc import Iterator

import numpy as np

from evalkit.count_rows import count_columns
from evalkit.rows import Measures, asked_metric

TRIALS = 2000
ACCURACIES = (0.7, 0.9, 0.97, 0.99)
SIZES = (200, 500, 2000)
NAMES = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "mcc", "cohen_kappa", "g_mean")
LOWEST, ENOUGH = 0.90, 20


def points() -> Iterator[tuple[float, int, float, int]]:
    """Yield accuracy, number of classes, share of the rarest class, and samples."""
    for n_classes in (2, 5, 10):
        for rarest in sorted({1 / n_classes, 0.05, 0.01}, reverse=True):
            for accuracy in ACCURACIES:
                for n in SIZES:
                    yield accuracy, n_classes, rarest, n


def cells_of(accuracy: float, n_classes: int, rarest: float) -> np.ndarray:
    """Return the joint shares of truth and prediction; errors go to any other class."""
    shares = np.full(n_classes, (1 - rarest) / (n_classes - 1))
    shares[-1] = rarest
    confusion = np.full((n_classes, n_classes), (1 - accuracy) / (n_classes - 1))
    np.fill_diagonal(confusion, accuracy)
    return shares[:, None] * confusion


def run(seed: int = 2026) -> None:
    """Print the mean over all points by metric, and every point under 90 % that has 20 of the rarest class."""
    rng = np.random.default_rng(seed)
    measures = Measures(asked=tuple(asked_metric(name) for name in NAMES), averages=("macro",))
    covered: dict[str, list[float]] = {}
    low: list[str] = []
    for accuracy, n_classes, rarest, n in points():
        cells = cells_of(accuracy, n_classes, rarest)
        matrices = rng.multinomial(n, cells.ravel(), TRIALS).reshape(TRIALS, n_classes, n_classes)
        true = count_columns(cells[None] * 1e12, measures)
        members = np.ones(n_classes, bool)
        for column, truth in zip(count_columns(matrices, measures, members=members), true, strict=True):
            if column.interval is None:
                continue
            bounds = [bound[:, -1] if column.by_class else bound for bound in column.interval]
            target = float(truth.value[0, -1] if column.by_class else truth.value[0])
            known = np.isfinite(bounds[0])
            share = (
                float(np.mean((bounds[0] <= target) & (target <= bounds[1]) | ~known)) if known.any() else 1.0
            )
            name = f"{column.metric.slug} of the rarest" if column.by_class else column.metric.slug
            covered.setdefault(name, []).append(share)
            if share < LOWEST and rarest * n >= ENOUGH:
                low.append(
                    f"  {name:32} acc {accuracy}, K {n_classes}, rarest {rarest:.2f}, n {n}: {share:.3f}"
                )
    print(f"{'metric':34}{'mean':>8}{'lowest':>8}{'highest':>9}   ({TRIALS} trials a point, seed {seed})")
    for name, shares in covered.items():
        print(f"{name:34}{statistics.mean(shares):8.3f}{min(shares):8.3f}{max(shares):9.3f}")
    print(f"points under {LOWEST} with at least {ENOUGH} expected samples of the rarest class: {len(low)}")
    print("\n".join(low))
