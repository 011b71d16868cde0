"""One value with everything that a row says of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.catalogue import METRICS
from evalkit.metrics.estimands import Params
from evalkit.metrics.ratios import Floats
from evalkit.rows import Column

Bounds = tuple[float, float]
_NARROWEST = 1e-12
# Of every resampled interval of scores.
SEED = 20_240_229
N_REPLICATES = 1000


@dataclass(frozen=True, slots=True)
class Number:
    """One value before it becomes a row."""

    value: float
    undefined: str | None = None
    bounds: Bounds | None = None
    method: str | None = None
    no_interval: str = "zero_variance"
    n_classes: int | None = None
    numerator: int | None = None
    denominator: int | None = None
    bound: float | None = None
    trivial: float = math.nan


def column_of(
    slug: str,
    params: Params,
    numbers: Sequence[Number],
    *,
    average: str | None = None,
    by_class: bool = False,
) -> Column:
    """Return the numbers as a column of one slice, of the whole run or of all classes."""
    shape = (1, len(numbers)) if by_class else (1,)

    def array(values: list[float]) -> Floats:
        return np.array(values, float).reshape(shape)

    bounds = [_wide_enough(one.bounds) for one in numbers]
    first = numbers[0]
    counted = first.numerator is not None
    # A column has one method and one reason for all of its cells: those of a cell that has them.
    told = next((one for one in numbers if one.undefined is None), first)
    return Column(
        METRICS[slug],
        array([one.value for one in numbers]),
        np.array([one.undefined is not None for one in numbers]).reshape(shape),
        next((one.undefined for one in numbers if one.undefined), "no_probabilities"),
        params,
        average,
        by_class,
        (array([low for low, _ in bounds]), array([high for _, high in bounds])),
        told.method,
        told.no_interval,
        np.array([first.numerator]) if counted else None,
        np.array([first.denominator]) if counted else None,
        None if first.n_classes is None else np.array([first.n_classes]),
        None if told.bound is None else array([one.bound or 0.0 for one in numbers]),
        None if by_class else array([one.trivial for one in numbers]),
    )


def _wide_enough(bounds: Bounds | None) -> Bounds:
    """Return bounds, or none where their width is no more than rounding errors."""
    if bounds is None or bounds[1] - bounds[0] <= _NARROWEST:
        return math.nan, math.nan
    return bounds
