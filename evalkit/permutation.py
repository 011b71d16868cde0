"""Whether the class names stand in another order than the outputs: what looks like a bad model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.counts import ConfusionCounts
from evalkit.display import percent, quoted
from evalkit.errors import listed

# A bad model gains little by the best exchange of its names; a permuted one gains nearly everything.
GAINS_ONE_IN = 5
MIN_RATIO = 3
SAMPLES_PER_CLASS = 10


@dataclass(frozen=True, slots=True)
class Permutation:
    """Another order of the classes, under which far more is right.

    Attributes:
        mapping: (name that was predicted, name that it stands for), where they differ.
        accuracy: As the names stand.
        exchanged: With the names exchanged.
    """

    mapping: tuple[tuple[str, str], ...]
    accuracy: float
    exchanged: float

    def __str__(self) -> str:
        pairs = [f"{quoted(said)} is {quoted(meant)}" for said, meant in self.mapping]
        return (
            f"class order looks wrong: with the predicted names exchanged {percent(self.exchanged)} would be "
            f"right, not {percent(self.accuracy)} ({listed(pairs)})"
        )


def suspected_permutation(counts: ConfusionCounts, class_names: Sequence[str]) -> Permutation | None:
    """Find the best assignment of predicted to true classes, and return it where it is far better.

    Far better means an accuracy of at least the diagonal's plus 0.2 and three times the diagonal's, on at
    least ten samples a class.

    Args:
        counts: Of one question, matrix of shape (K, K).
        class_names: K of them.

    Source: the assignment problem, ``scipy.optimize.linear_sum_assignment``.
    """
    matrix = counts.matrix
    n, n_classes = int(matrix.sum()), len(class_names)
    if n < SAMPLES_PER_CLASS * n_classes:
        return None
    right = int(np.trace(matrix))
    # No assignment is better than each row's best, or each column's: most runs end here.
    if not _far_better(min(int(matrix.max(axis=0).sum()), int(matrix.max(axis=1).sum())), right, n):
        return None
    # Only a suspicious run pays for the import.
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415

    true, predicted = linear_sum_assignment(matrix, maximize=True)
    exchanged = int(matrix[true, predicted].sum())
    if not _far_better(exchanged, right, n):
        return None
    pairs = [
        (class_names[said], class_names[meant])
        for meant, said in zip(true.tolist(), predicted.tolist(), strict=True)
        if said != meant and matrix[meant, said] > 0
    ]
    return Permutation(tuple(pairs), right / n, exchanged / n)


def _far_better(exchanged: int, right: int, n: int) -> bool:
    """Compare as counts: a gain of exactly a fifth is one."""
    return GAINS_ONE_IN * (exchanged - right) >= n and exchanged >= MIN_RATIO * right
