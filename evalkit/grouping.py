"""Samples that belong together: slices of attributes, clusters, and units that are judged as one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from evalkit.decide import Decision
from evalkit.errors import DataError, listed
from evalkit.labels import is_missing
from evalkit.metrics.estimands import Scalar
from evalkit.rows import MISSING, bin_names
from evalkit.samples import Samples

Ints = NDArray[np.int64]
MAX_SLICES = 10_000
Combine = Literal["mean", "max", "any", "majority"]
SliceBy = str | tuple[str, ...] | Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Grouping:
    """How samples hang together.

    Attributes:
        slices: Columns, crossings of columns, or a column with the edges of its bins.
        cluster: The column of clusters of dependent samples.
        unit: The column of units that are judged as one, and how their samples are combined.
    """

    slices: tuple[SliceBy, ...] = ()
    cluster: str | None = None
    unit: tuple[str, Combine] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Every attribute that is needed."""
        named: list[str] = []
        for by in self.slices:
            named += columns_of(by)
        named += [name for name in (self.cluster, self.unit[0] if self.unit else None) if name]
        return tuple(dict.fromkeys(named))


class Attributed(Protocol):
    """Rows with attributes, whether each is one sample or stands for many."""

    @property
    def attributes(self) -> Mapping[str, NDArray[Any]]:
        """Columns by name."""

    def __len__(self) -> int:
        """How many rows there are."""


@dataclass(frozen=True, slots=True)
class Slicing:
    """The slices of one column or crossing, which no sample is in twice.

    Attributes:
        names: Of each slice, column to value.
        codes: Each sample's slice, shape (n,).
    """

    names: tuple[dict[str, Scalar], ...]
    codes: Ints


def columns_of(by: SliceBy) -> list[str]:
    """Return the columns of one entry of the specification's slices."""
    return [by] if isinstance(by, str) else list(by)


def codes_of(values: NDArray[Any]) -> tuple[list[Scalar], Ints]:
    """Return the distinct values in order, missing ones last, and each sample's position among them."""
    missing = np.array([is_missing(value) for value in values.tolist()])
    known = values[~missing]
    # -0.0 is 0.0, whoever comes first.
    known = known.astype(str) if known.dtype == object else known + 0.0 if known.dtype.kind == "f" else known
    distinct, inverse = np.unique(known, return_inverse=True)
    codes = np.full(len(values), len(distinct), np.int64)
    codes[~missing] = inverse
    names: list[Scalar] = distinct.tolist()
    if missing.any() and MISSING in names:
        raise DataError(f"an attribute holds the word {MISSING!r} and missing values: give one another name")
    return [*names, MISSING] if missing.any() else names, codes


def slicing(by: SliceBy, samples: Attributed) -> Slicing:
    """Sort samples into the slices of one entry of the specification.

    Raises:
        DataError: There are too many, or a column with bins holds no numbers.
    """
    columns = columns_of(by)
    edges = by if isinstance(by, Mapping) else {}
    names: list[dict[str, Scalar]] = [{}]
    codes = np.zeros(len(samples), np.int64)
    for column in columns:
        values = samples.attributes[column]
        found, inner = _bins(column, values, edges[column]) if column in edges else codes_of(values)
        if len(names) * len(found) > MAX_SLICES * 10:
            raise DataError(f"slices by {' and '.join(columns)} are too many; bin a column of numbers")
        codes = codes * len(found) + inner
        names = [{**outer, column: value} for outer in names for value in found]
    present, codes = np.unique(codes, return_inverse=True)
    if len(present) > MAX_SLICES:
        raise DataError(f"{len(present)} slices by {' and '.join(columns)}: bin a column of numbers")
    return Slicing(tuple(names[k] for k in present.tolist()), np.asarray(codes, np.int64))


def _bins(column: str, values: NDArray[Any], edges: Sequence[float]) -> tuple[list[Scalar], Ints]:
    if values.dtype.kind not in "iuf":
        raise DataError(f"the attribute {column!r} holds no numbers that could be binned")
    codes = np.searchsorted(np.array(edges, float), values, side="right")
    codes = np.where(np.isnan(values.astype(float)), len(edges) + 1, codes)
    return list(bin_names(edges)), codes.astype(np.int64)


def combine(samples: Samples, by: str, how: Combine, decision: Decision) -> Samples:
    """Judge the samples of each unit as one.

    ``mean`` and ``max`` combine the scores and decide anew; ``any`` is positive where one sample is;
    ``majority`` takes the commonest prediction, of equally common ones the lowest class (binary and labels:
    the positive side).

    Raises:
        DataError: Labels or other attributes differ inside a unit, a unit is missing, or there are no scores.
    """
    names, codes = codes_of(samples.attributes[by])
    if _any_missing(samples.attributes[by]):
        raise DataError(f"the attribute {by!r}, which makes the units, is missing for some samples")
    _, first = np.unique(codes, return_index=True)
    y_true = samples.y_true[first]
    _check_same("labels", samples.y_true, y_true[codes], by, names, codes)
    attributes = {}
    for name, values in samples.attributes.items():
        attributes[name] = values[first]
        _check_same(f"values of {name!r}", values, values[first][codes], by, names, codes)
    if how in ("mean", "max"):
        if samples.scores is None:
            raise DataError(f"units by {how} need every sample's scores")
        scores = _combined(samples, codes, len(first), how, decision.positive)
        y_pred, _ = _stored_rule(decision, probable=samples.probable).decide(scores)
        return _rescored(y_true, y_pred, scores, attributes, probable=samples.probable, task=decision.task)
    return Samples(y_true, _voted(samples.y_pred, codes, len(first), how, decision), attributes=attributes)


def _any_missing(values: NDArray[Any]) -> bool:
    """Return whether a column has a missing value."""
    return any(is_missing(value) for value in values.tolist())


def _stored_rule(decision: Decision, *, probable: bool) -> Decision:
    """Return the rule for stored scores, which are probabilities where logits were returned."""
    output = "probabilities" if probable else decision.output
    return Decision(decision.task, output, decision.positive, decision.threshold)


def _combined(
    samples: Samples, codes: Ints, n_units: int, how: Combine, positive: int | None
) -> NDArray[np.float64]:
    assert samples.scores is not None
    wide = samples.scores.astype(np.float64)
    if how == "max":
        found = np.full((n_units, wide.shape[1]), -math.inf)
        np.maximum.at(found, codes, wide)
        # Of two classes the other's score follows from the positive one's.
        if positive is None:
            return found
        score = found[:, positive]
        other = 1 - score if samples.probable else -score
        return np.stack((other, score) if positive == 1 else (score, other), axis=1)
    sizes = np.bincount(codes, minlength=n_units)[:, None]
    sums = np.stack([np.bincount(codes, column, n_units) for column in wide.T], axis=1)
    return np.asarray(sums / sizes)


def _voted(y_pred: NDArray[Any], codes: Ints, n_units: int, how: Combine, decision: Decision) -> NDArray[Any]:
    sizes = np.bincount(codes, minlength=n_units)
    if y_pred.ndim == 2:  # noqa: PLR2004 - (n, L)
        votes = np.stack([np.bincount(codes, column, n_units) for column in y_pred.T], axis=1)
        return votes > 0 if how == "any" else 2 * votes >= sizes[:, None]
    if decision.positive is not None:
        votes = np.bincount(codes, y_pred == decision.positive, n_units)
        chosen = votes > 0 if how == "any" else 2 * votes >= sizes
        return np.where(chosen, decision.positive, 1 - decision.positive)
    n_classes = int(y_pred.max()) + 1
    table = np.bincount(codes * n_classes + y_pred, minlength=n_units * n_classes)
    return np.asarray(table.reshape(n_units, n_classes).argmax(axis=1), np.int64)


def _rescored(
    y_true: NDArray[Any],
    y_pred: NDArray[Any],
    scores: NDArray[np.float64],
    attributes: Mapping[str, NDArray[Any]],
    *,
    probable: bool,
    task: str,
) -> Samples:
    """Return units with their own losses, from the combined probabilities."""
    stored = scores.astype(np.float32)
    if task == "multilabel":
        chance = np.where(y_true, scores, 1 - scores)
        loss, brier = -_log(chance).mean(axis=1), ((scores - y_true) ** 2).mean(axis=1)
        return Samples(y_true, y_pred, stored, probable, log_loss=loss, brier=brier, attributes=attributes)
    rows = np.arange(len(y_true))
    true = scores[rows, y_true]
    hit = np.zeros(scores.shape)
    hit[rows, y_true] = 1
    before = np.arange(scores.shape[1]) < y_true[:, None]
    rank = ((scores > true[:, None]) | ((scores == true[:, None]) & before)).sum(axis=1).astype(np.int32)
    units = Samples(y_true, y_pred, stored, probable, true_rank=rank, attributes=attributes)
    if not probable:
        return units
    brier = ((scores - hit) ** 2).sum(axis=1)
    return replace(units, log_loss=-_log(true), brier=brier, confidence=stored[rows, y_pred])


def _log(chance: NDArray[np.float64]) -> NDArray[np.float64]:
    eps = np.finfo(np.float64).eps
    return np.asarray(np.log(np.clip(chance, eps, 1 - eps)))


def _check_same(
    what: str, values: NDArray[Any], expected: NDArray[Any], by: str, names: Sequence[Scalar], codes: Ints
) -> None:
    """Raise DataError where something differs inside a unit."""
    same = np.array(
        [
            a == b or (is_missing(a) and is_missing(b))
            for a, b in zip(values.tolist(), expected.tolist(), strict=True)
        ]
    )
    if not same.all():
        units = dict.fromkeys(str(names[codes[row]]) for row in np.flatnonzero(~same).tolist())
        raise DataError(f"{what} differ inside {len(units)} units of {by!r}: {listed(units, limit=5)}")
