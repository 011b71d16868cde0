"""Which samples a reader wants to see: chosen from the per-sample table, no input is looked at."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evalkit.gallery import GalleryRow

MAX_SHOWN = 64
_MOST = {"confident": 20, "label": 16, "flip": 16, "margin": 8}
_PAIRS, _IN_PAIR = 5, 3
_LEAST_SURE, _SURER, _CLOSE = 0.01, 0.5, 0.2
_COLUMNS = ("index", "sample_id", "y_true", "y_pred", "p_pred", "p_true", "margin", "logloss")
Reasons = dict[int, list[str]]


def pick(
    ledger: Path, flipped: Sequence[str] = (), conflicting: Sequence[int] = ()
) -> tuple[tuple[GalleryRow, ...], list[int]]:
    """Choose samples from the per-sample table; returns them and their positions in the data set.

    The most confident mistakes; suspected label errors (the model is surer of another class than of the label
    by half, and as sure as nearly always where it gets that class right: a threshold a class, after
    C. Northcutt, L. Jiang and I. Chuang, "Confident learning", JAIR 70 (2021)); samples that the baseline had
    right; the closest calls; and some of each commonest confusion.

    Args:
        ledger: The table.
        flipped: Ids of negative flips.
        conflicting: Rows of samples whose input occurs with another label, too.
    """
    with ledger.open("rb") as file:
        table = pq.ParquetFile(file).read(columns=list(_COLUMNS))
    columns = {name: table[name] for name in _COLUMNS}
    several = str(table.schema.field("y_true").type).startswith("list")
    reasons = _of_sets(columns) if several else _of_classes(columns)
    if flipped:
        place = {name: row for row, name in enumerate(table["sample_id"].to_pylist())}
        for name in list(flipped)[: _MOST["flip"]]:
            if name in place:
                reasons.setdefault(place[name], []).append("flip")
    for row in conflicting:
        reasons.setdefault(row, []).append("conflict")
    # Conflicts first: they are facts about the data, and the list is cut.
    rows = sorted(reasons, key=lambda row: "conflict" not in reasons[row])[:MAX_SHOWN]
    found = table.take(rows).to_pylist()
    chosen = tuple(
        GalleryRow(
            line["sample_id"],
            tuple(reasons[row]),
            tuple(line["y_true"]) if several else (line["y_true"],),
            tuple(line["y_pred"]) if several else (line["y_pred"],),
            line["p_pred"],
            line["p_true"],
        )
        for row, line in zip(rows, found, strict=True)
    )
    return chosen, [line["index"] for line in found]


def _of_classes(columns: Mapping[str, Any]) -> Reasons:
    y_true, y_pred = (np.asarray(columns[name].to_numpy()) for name in ("y_true", "y_pred"))
    p_pred, p_true, margin = (_floats(columns[name]) for name in ("p_pred", "p_true", "margin"))
    wrong = y_true != y_pred
    found: Reasons = {}
    sure = np.where(np.isnan(p_pred), margin, p_pred)
    _add(found, "confident", _ordered(wrong & ~np.isnan(sure), -sure))
    if not np.isnan(p_true).any():
        sure_of_it = (p_pred - p_true >= _SURER) & (p_pred >= _usual(y_pred, p_pred, ~wrong))
        _add(found, "label", _ordered(wrong & sure_of_it, p_true - p_pred))
    _add(found, "margin", _ordered(margin <= _CLOSE, margin))
    size = int(max(y_true.max(), y_pred.max())) + 1
    cells = np.bincount((y_true * size + y_pred)[wrong], minlength=size * size)
    for cell in np.argsort(-cells, kind="stable")[:_PAIRS].tolist():
        if cells[cell]:
            true, said = divmod(cell, size)
            inside = wrong & (y_true == true) & (y_pred == said)
            _add(found, f"pair:{true}:{said}", _ordered(inside, -np.nan_to_num(sure))[:_IN_PAIR])
    return found


def _usual(
    y_pred: NDArray[Any], p_pred: NDArray[np.float64], right: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return how sure the model nearly always is where it gets a sample's predicted class right."""
    usual = np.full(int(y_pred.max()) + 1, np.inf)
    for k in np.unique(y_pred[right]).tolist():
        usual[k] = np.quantile(p_pred[right & (y_pred == k)], _LEAST_SURE)
    return np.asarray(usual[y_pred])


def _of_sets(columns: Mapping[str, Any]) -> Reasons:
    """Choose the sets that are furthest off; without losses the first wrong ones."""
    pairs = zip(columns["y_true"].to_pylist(), columns["y_pred"].to_pylist(), strict=True)
    wrong = np.array([sorted(a) != sorted(b) for a, b in pairs])
    found: Reasons = {}
    _add(found, "confident", _ordered(wrong, -np.nan_to_num(_floats(columns["logloss"]))))
    return found


def _add(found: Reasons, why: str, rows: Sequence[int]) -> None:
    for row in list(rows)[: _MOST.get(why, _IN_PAIR)]:
        found.setdefault(row, []).append(why)


def _ordered(inside: NDArray[np.bool_], by: NDArray[Any]) -> list[int]:
    rows = np.flatnonzero(inside)
    order: list[int] = rows[np.argsort(by[rows], kind="stable")].tolist()
    return order


def _floats(column: Any) -> NDArray[np.float64]:
    return np.asarray(column.to_numpy(), np.float64)
