"""The confusion matrix as it is shown: whole while people can read it, then its largest confusions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.counts import ConfusionCounts
from evalkit.display import percent, visible

MAX_TABLE = 25
MAX_CONFUSIONS = 20
SHADES = 9


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One true class: its name and (count, shade, is the diagonal) cells."""

    name: str
    cells: tuple[tuple[str, int, bool], ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A whole matrix; shades go from 0 (nothing) to 9 (the whole row)."""

    names: tuple[str, ...]
    rows: tuple[MatrixRow, ...]


@dataclass(frozen=True, slots=True)
class Confusion:
    """One off-diagonal cell: how often a class was taken for another."""

    true: str
    predicted: str
    count: str
    share: str


def matrix_view(counts: ConfusionCounts, class_names: Sequence[str]) -> Matrix | None:
    """Return the matrix for up to 25 classes, else None."""
    if counts.n_classes > MAX_TABLE:
        return None
    names = tuple(visible(name) for name in class_names)
    rows = []
    for true, line in enumerate(counts.matrix.tolist()):
        total = sum(line) or 1
        cells = tuple((str(count), _shade(count, total), true == pred) for pred, count in enumerate(line))
        rows.append(MatrixRow(names[true], cells))
    return Matrix(names, tuple(rows))


def top_confusions(counts: ConfusionCounts, class_names: Sequence[str]) -> tuple[Confusion, ...]:
    """Return the largest off-diagonal cells, the largest first, ties in the order of the classes."""
    wrong = counts.matrix * (1 - np.eye(counts.n_classes, dtype=np.int64))
    true, pred = np.nonzero(wrong)
    order = np.lexsort((pred, true, -wrong[true, pred]))[:MAX_CONFUSIONS]
    support = counts.support
    return tuple(
        Confusion(
            visible(class_names[i]),
            visible(class_names[j]),
            str(wrong[i, j]),
            percent(wrong[i, j] / support[i]),
        )
        for i, j in zip(true[order].tolist(), pred[order].tolist(), strict=True)
    )


def _shade(count: int, total: int) -> int:
    return 0 if count == 0 else max(1, round(SHADES * count / total))
