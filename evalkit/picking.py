"""Which samples a reader wants to see: chosen from the per-sample table, no input is looked at."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evalkit.gallery import GalleryRow
from evalkit.samples import as_numpy

MAX_SHOWN = 64
_MOST = {"confident": 20, "label": 16, "flip": 16, "margin": 8}
_PAIRS, _IN_PAIR = 5, 3
_LEAST_SURE, _SURER, _CLOSE = 0.01, 0.5, 0.2
_ROWS = 1 << 18
_SHIFT = 32
# So many rows say how sure a model usually is.
_TRIED = 1 << 20
_SCORES = ("p_pred", "p_true", "margin", "logloss")
Columns = Mapping[str, NDArray[Any]]
Rows = NDArray[np.int64]


def pick(
    ledger: Path,
    flipped: Sequence[str] = (),
    conflicting: Sequence[int] = (),
    *,
    matrix: NDArray[np.int64] | None = None,
) -> tuple[tuple[GalleryRow, ...], list[int]]:
    """Choose samples from the per-sample table; returns them and their positions in the data set.

    The most confident mistakes; suspected label errors (the model is surer of another class than of the label
    by half, and as sure as nearly always where it gets that class right: a threshold a class, after
    C. Northcutt, L. Jiang and I. Chuang, "Confident learning", JAIR 70 (2021)); samples that the baseline had
    right; the closest calls; and some of each commonest confusion.

    Args:
        ledger: The table; so many of its rows are held at a time.
        flipped: Ids of negative flips.
        conflicting: Rows of samples whose input occurs with another label, too.
        matrix: Counts of the table's samples, shape (K, K), where they are known.
    """
    with ledger.open("rb") as file:
        table = pq.ParquetFile(file, pre_buffer=False)
        several = str(table.schema_arrow.field("y_true").type).startswith("list")
        chosen = _of_sets(table) if several else _of_classes(table, matrix)
        reasons: dict[int, list[str]] = {}
        for why, rows in (*chosen.items(), ("flip", _flips(table, flipped)), ("conflict", conflicting)):
            for row in rows:
                reasons.setdefault(int(row), []).append(why)
        # Conflicts first: they are facts about the data, and the list is cut.
        kept = sorted(reasons, key=lambda row: "conflict" not in reasons[row])[:MAX_SHOWN]
        lines = [(row, _line(table, row)) for row in kept]
    found = tuple(
        GalleryRow(
            line.get("sample_id", str(line["index"])),
            tuple(reasons[row]),
            tuple(line["y_true"]) if several else (line["y_true"],),
            tuple(line["y_pred"]) if several else (line["y_pred"],),
            line.get("p_pred"),
            line.get("p_true"),
        )
        for row, line in lines
    )
    return found, [line["index"] for _, line in lines]


class _Best:
    """Keeps the rows with the smallest keys, the first of equal ones."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._keys, self._rows = np.zeros(0), np.zeros(0, np.int64)

    def add(self, start: int, inside: NDArray[np.bool_], keys: NDArray[Any]) -> None:
        """Take the rows of a piece that begins at a row of the table."""
        here = np.flatnonzero(inside)
        if here.size > self._size:
            here = here[np.argsort(keys[here], kind="stable")[: self._size]]
        found, rows = np.append(self._keys, keys[here]), np.append(self._rows, here + start)
        order = np.argsort(found, kind="stable")[: self._size]
        self._keys, self._rows = found[order], rows[order]

    @property
    def full(self) -> bool:
        """Whether there are as many as wanted."""
        return len(self._rows) == self._size

    def rows(self) -> list[int]:
        """Return the rows, the smallest key first."""
        return [int(row) for row in self._rows]


def _of_classes(table: pq.ParquetFile, matrix: NDArray[np.int64] | None) -> dict[str, list[int]]:
    scored = set(_SCORES) <= set(table.schema_arrow.names)
    usual = _usual(table) if scored else None
    pairs = _pairs(_counted(table) if matrix is None else matrix)
    found = {name: _Best(_MOST[name]) for name in ("confident", "label", "margin")}
    found |= {f"pair:{true}:{said}": _Best(_IN_PAIR) for true, said in pairs}
    for start, columns in _pieces(table, ("y_true", "y_pred", *(_SCORES if scored else ()))):
        wrong = columns["y_true"] != columns["y_pred"]
        sure = np.zeros(len(wrong))
        if usual is not None:
            sure = np.where(np.isnan(columns["p_pred"]), columns["margin"], columns["p_pred"])
            _add_scored(found, start, columns, wrong, sure, usual)
        for true, said in pairs:
            inside = wrong & (columns["y_true"] == true) & (columns["y_pred"] == said)
            found[f"pair:{true}:{said}"].add(start, inside, -np.nan_to_num(sure))
        if usual is None and all(found[f"pair:{true}:{said}"].full for true, said in pairs):
            break
    return {name: best.rows() for name, best in found.items()}


def _add_scored(
    found: Mapping[str, _Best],
    start: int,
    columns: Columns,
    wrong: NDArray[np.bool_],
    sure: NDArray[np.float64],
    usual: NDArray[np.float64],
) -> None:
    p_pred, p_true, margin = (columns[name] for name in ("p_pred", "p_true", "margin"))
    found["confident"].add(start, wrong & ~np.isnan(sure), -sure)
    sure_of_it = (p_pred - p_true >= _SURER) & (p_pred >= usual[columns["y_pred"]])
    found["label"].add(start, wrong & sure_of_it, p_true - p_pred)
    found["margin"].add(start, margin <= _CLOSE, margin)


def _usual(table: pq.ParquetFile) -> NDArray[np.float64]:
    """Return how sure the model nearly always is where it gets a sample's predicted class right."""
    said, sure, largest = [], [], 0
    for start, columns in _pieces(table, ("y_true", "y_pred", "p_pred")):
        largest = max(largest, int(columns["y_pred"].max()))
        right = (columns["y_true"] == columns["y_pred"]) & ~np.isnan(columns["p_pred"])
        if start < _TRIED:
            said.append(columns["y_pred"][right])
            sure.append(columns["p_pred"][right])
    y_pred, p_pred = np.concatenate(said), np.concatenate(sure)
    usual = np.full(largest + 1, np.inf)
    for k in np.unique(y_pred).tolist():
        usual[k] = np.quantile(p_pred[y_pred == k], _LEAST_SURE)
    return usual


def _counted(table: pq.ParquetFile) -> NDArray[np.int64]:
    """Count the confusions, as a matrix up to the largest index."""
    found: Counter[int] = Counter()
    for _, columns in _pieces(table, ("y_true", "y_pred")):
        wrong = columns["y_true"] != columns["y_pred"]
        cells = columns["y_true"][wrong].astype(np.int64) << _SHIFT | columns["y_pred"][wrong]
        distinct, n = np.unique(cells, return_counts=True)
        found.update(dict(zip(distinct.tolist(), n.tolist(), strict=True)))
    pairs = [divmod(cell, 1 << _SHIFT) for cell in found]
    size = max((max(pair) for pair in pairs), default=0) + 1
    matrix = np.zeros((size, size), np.int64)
    for pair, n_samples in zip(pairs, found.values(), strict=True):
        matrix[pair] = n_samples
    return matrix


def _pairs(matrix: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return the commonest confusions."""
    cells = matrix.copy()
    np.fill_diagonal(cells, 0)
    order = np.argsort(-cells, axis=None, kind="stable")[:_PAIRS].tolist()
    return [divmod(cell, len(cells)) for cell in order if cells.flat[cell]]


def _of_sets(table: pq.ParquetFile) -> dict[str, list[int]]:
    """Choose the sets that are furthest off; without losses the first wrong ones."""
    best, start = _Best(_MOST["confident"]), 0
    names = [name for name in ("y_true", "y_pred", "logloss") if name in table.schema_arrow.names]
    for batch in table.iter_batches(_ROWS, columns=names):
        pairs = zip(batch["y_true"].to_pylist(), batch["y_pred"].to_pylist(), strict=True)
        wrong = np.array([sorted(a) != sorted(b) for a, b in pairs], bool)
        loss = _floats(batch["logloss"]) if "logloss" in names else np.zeros(len(wrong))
        best.add(start, wrong, -np.nan_to_num(loss))
        start += batch.num_rows
    return {"confident": best.rows()}


def _flips(table: pq.ParquetFile, flipped: Sequence[str]) -> list[int]:
    """Return the rows of the first flipped samples, in their order."""
    wanted = list(flipped)[: _MOST["flip"]]
    if not wanted or "sample_id" not in table.schema_arrow.names:
        return [int(name) for name in wanted]  # known by position
    place_of, start = {}, 0
    for batch in table.iter_batches(_ROWS, columns=["sample_id"]):
        place = pc.index_in(batch["sample_id"], value_set=pa.array(wanted, pa.string()))
        for row in np.flatnonzero(np.asarray(pc.is_valid(place))).tolist():
            place_of[wanted[place[row].as_py()]] = start + row
        start += batch.num_rows
    return [place_of[name] for name in wanted if name in place_of]


def _pieces(table: pq.ParquetFile, names: Sequence[str]) -> Iterator[tuple[int, Columns]]:
    """Yield columns of numbers, so many rows at a time, and where they begin."""
    start = 0
    for batch in table.iter_batches(_ROWS, columns=list(names)):
        yield (
            start,
            {name: _floats(batch[name]) if name in _SCORES else as_numpy(batch[name]) for name in names},
        )
        start += batch.num_rows


def _line(table: pq.ParquetFile, row: int) -> dict[str, Any]:
    """Read what is shown of one row."""
    names = ("index", "sample_id", "y_true", "y_pred", "p_pred", "p_true")
    known = [name for name in names if name in table.schema_arrow.names]
    group = 0
    while row >= table.metadata.row_group(group).num_rows:
        row -= table.metadata.row_group(group).num_rows
        group += 1
    line: dict[str, Any] = table.read_row_group(group, columns=known).slice(row, 1).to_pylist()[0]
    return line


def _floats(column: Any) -> NDArray[np.float64]:
    return np.asarray(as_numpy(column), np.float64)
