"""The confusion matrix as it is shown: in words for two classes, a table, a grid, then a picture."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from evalkit.counts import ConfusionCounts
from evalkit.display import percent, visible
from evalkit.result import EvalResult

MAX_TABLE, MAX_GRID, MAX_PICTURE = 25, 60, 2000
MAX_CONFUSIONS = 20
SHADES = 9
# Cells of a picture that the page can name.
_MAX_CELLS = 6000
_CAPTION = (
    "Rows are true classes, columns predicted ones; the shade is the share of the row, "
    "right answers are framed."
)
_GROUND, _INK = (247, 251, 255), (0, 68, 120)


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its count, shades 0 to 9 by share of the row, whether it is right, and its shares."""

    count: str
    shade: int
    right: bool
    of_row: str
    of_column: str


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One true class."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """One of the four cells of two classes."""

    title: str
    count: str
    text: str
    right: bool


@dataclass(frozen=True, slots=True)
class Confusion:
    """One off-diagonal cell: how often a class was taken for another."""

    true: str
    predicted: str
    count: str
    share: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix: words for two classes, rows up to 60, a picture above.

    Attributes:
        caption: What it shows.
        names: Of the classes.
        rows: Empty where there is a picture.
        dense: Whether numbers show on focus only.
        words: The four cells of two classes.
        picture: A PNG as a data address, one pixel a cell; empty for none.
        alternative: What the picture shows, in words.
        cells: For a script: (true, predicted, count) of the picture's largest cells.
        confusions: The largest cells beside the diagonal.
    """

    caption: str
    names: tuple[str, ...]
    rows: tuple[MatrixRow, ...] = ()
    dense: bool = False
    words: tuple[Words, ...] = ()
    picture: str = ""
    alternative: str = ""
    cells: tuple[tuple[int, int, int], ...] = ()
    confusions: tuple[Confusion, ...] = ()


def matrix_view(result: EvalResult) -> Matrix | None:
    """Return the matrix of exclusive classes; None for label sets and for an invalid run."""
    counts = result.confusion
    if counts is None or result.task == "multilabel":
        return None
    names = tuple(visible(name) for name in result.class_names)
    confusions = top_confusions(counts, names)
    if counts.n_classes > MAX_GRID:
        return _picture(counts, names, confusions)
    matrix = counts.matrix
    columns = matrix.sum(axis=0)
    rows = tuple(
        MatrixRow(names[true], tuple(_cell(line, true, pred, columns) for pred in range(len(names))))
        for true, line in enumerate(matrix)
    )
    words = _words(matrix, names, result) if len(names) == 2 else ()  # noqa: PLR2004
    return Matrix(_CAPTION, names, rows, counts.n_classes > MAX_TABLE, words, confusions=confusions)


def top_confusions(counts: ConfusionCounts, names: Sequence[str]) -> tuple[Confusion, ...]:
    """Return the largest off-diagonal cells, the largest first, ties in the order of the classes."""
    wrong = counts.matrix * (1 - np.eye(counts.n_classes, dtype=np.int64))
    true, pred = np.nonzero(wrong)
    order = np.lexsort((pred, true, -wrong[true, pred]))[:MAX_CONFUSIONS]
    support = counts.support
    return tuple(
        Confusion(names[i], names[j], f"{wrong[i, j]:,}", percent(wrong[i, j] / support[i]))
        for i, j in zip(true[order].tolist(), pred[order].tolist(), strict=True)
    )


def _cell(line: NDArray[np.int64], true: int, pred: int, columns: NDArray[np.int64]) -> Cell:
    count, total, column = int(line[pred]), int(line.sum()), int(columns[pred])
    return Cell(
        f"{count:,}",
        _shade(count, total or 1),
        true == pred,
        percent(count / total) if total else "n/a",
        percent(count / column) if column else "n/a",
    )


def _shade(count: int, total: int) -> int:
    return 0 if count == 0 else max(1, round(SHADES * count / total))


def _words(matrix: NDArray[np.int64], names: tuple[str, ...], result: EvalResult) -> tuple[Words, ...]:
    """Say what each cell of two classes is: found, missed, false alarms, rightly left alone."""
    positive = 1 if result.positive_class is None else result.class_names.index(result.positive_class)
    negative = 1 - positive
    name = names[positive]
    found = (
        ("found", positive, positive, f"{name}, and said so"),
        ("missed", positive, negative, f"{name}, but taken for {names[negative]}"),
        ("false alarms", negative, positive, f"{names[negative]}, but taken for {name}"),
        ("rightly left alone", negative, negative, f"{names[negative]}, and said so"),
    )
    return tuple(
        Words(title, f"{matrix[true, pred]:,}", text, true == pred) for title, true, pred, text in found
    )


def _picture(counts: ConfusionCounts, names: tuple[str, ...], confusions: tuple[Confusion, ...]) -> Matrix:
    """Paint one pixel a cell, by the logarithm of its count; several cells a pixel above 2,000 classes."""
    matrix, k = counts.matrix, counts.n_classes
    size = min(k, MAX_PICTURE)
    if size < k:
        matrix = _pooled(matrix, size)
    level = np.log1p(matrix) / max(float(np.log1p(matrix.max())), 1e-9)
    pooled = "" if size == k else f" Several classes share a pixel: {k:,} classes in {size:,}."
    caption = f"One pixel a cell, rows are true classes, darker is more (logarithmic).{pooled}"
    wrong = int(counts.matrix.sum() - np.trace(counts.matrix))
    alternative = (
        f"Matrix of {k:,} classes; {wrong:,} samples lie off the diagonal, the commonest listed below"
    )
    return Matrix(
        caption,
        names,
        picture=_png(np.rint(level * 255).astype(np.uint8)),
        alternative=alternative,
        cells=_largest(counts.matrix) if size == k else (),
        confusions=confusions,
    )


def _pooled(matrix: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    edges = np.linspace(0, len(matrix), size, endpoint=False).astype(np.intp)
    return np.asarray(np.add.reduceat(np.add.reduceat(matrix, edges, axis=0), edges, axis=1))


def _largest(matrix: NDArray[np.int64]) -> tuple[tuple[int, int, int], ...]:
    """Return the cells beside the diagonal that a script can name, the largest first."""
    wrong = matrix - np.diag(np.diag(matrix))
    true, pred = np.nonzero(wrong)
    order = np.lexsort((pred, true, -wrong[true, pred]))[:_MAX_CELLS]
    true, pred = true[order], pred[order]
    return tuple(zip(true.tolist(), pred.tolist(), wrong[true, pred].tolist(), strict=True))


def _png(levels: NDArray[np.uint8]) -> str:
    from PIL import Image  # noqa: PLC0415 - only large matrices are painted

    picture = Image.fromarray(levels, mode="P")
    ramp = [
        round(a + (b - a) * step / 255) for step in range(256) for a, b in zip(_GROUND, _INK, strict=True)
    ]
    picture.putpalette(ramp)
    target = BytesIO()
    picture.save(target, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(target.getvalue()).decode()}"
