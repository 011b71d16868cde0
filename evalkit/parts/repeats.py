"""Inputs that occur more than once, and equal inputs with unequal labels, by 8 bytes a sample."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

MAX_SHOWN = 16
Prints = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Repeats:
    """What occurs more than once.

    Attributes:
        n_duplicates: Samples whose input occurred before.
        n_conflicting: Samples whose input occurs with another label, too.
        conflicting: Rows of the first of these, groups side by side.
    """

    n_duplicates: int = 0
    n_conflicting: int = 0
    conflicting: tuple[int, ...] = ()


def find_repeats(codes: Prints, ledger: Path) -> Repeats:
    """Compare every input with every other.

    Args:
        codes: 64 bits of a keyed hash of each sample's input, in the ledger's order. Of a million
            unequal inputs two share one once in 37 million runs.
        ledger: The per-sample table, for labels.
    """
    order = np.argsort(codes, kind="stable")
    again = np.concatenate([[False], codes[order[1:]] == codes[order[:-1]]])  # as the one before
    if not again.any():
        return Repeats()
    # Groups of equal prints side by side, each in the order of its rows.
    inside = again | np.append(again[1:], False)
    rows, starts = order[inside], np.flatnonzero(~again[inside])
    labels = _labels(ledger, rows)
    conflict = np.minimum.reduceat(labels, starts) != np.maximum.reduceat(labels, starts)
    ends = np.append(starts[1:], len(rows))
    n_conflicting = int((ends - starts)[conflict].sum())
    first = np.argsort(rows[starts[conflict]])[:MAX_SHOWN]
    groups = zip(starts[conflict][first].tolist(), ends[conflict][first].tolist(), strict=True)
    shown = [row for start, end in groups for row in rows[start : min(end, start + MAX_SHOWN)].tolist()]
    return Repeats(int(again.sum()), n_conflicting, tuple(shown[:MAX_SHOWN]))


def _labels(ledger: Path, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a number for the label, or the set of labels, of some rows."""
    with ledger.open("rb") as file:
        column = pq.ParquetFile(file).read(columns=["y_true"])["y_true"]
    if not str(column.type).startswith("list"):
        return np.asarray(column.to_numpy(), np.int64)[rows]
    numbers: dict[tuple[int, ...], int] = {}
    sets = (tuple(label) for label in column.take(rows).to_pylist())
    return np.array([numbers.setdefault(label, len(numbers)) for label in sets], np.int64)
