"""Which dimensions of a tensor stand for which axes of the input, through views, permutations and joins."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

Axes = frozenset[str | int]


@dataclass(frozen=True, slots=True)
class Factor:
    """A part of a dimension's size.

    Attributes:
        axes: What it runs over: ``batch``, ``channel``, or the number of a spatial axis; empty for nothing.
        size: Elements.
    """

    axes: Axes
    size: int


# A dimension is a product of factors: flattening joins them, unflattening takes them apart again.
Dimension = tuple[Factor, ...]
Dimensions = tuple[Dimension, ...]


def of_input(shape: Sequence[int]) -> Dimensions:
    """Return the dimensions of inputs, shape (batch, channels, spatial…)."""
    names: list[str | int] = ["batch", "channel", *range(len(shape) - 2)]
    return tuple(_one({name}, size) for name, size in zip(names, shape, strict=True))


def axes_of(dimensions: Iterable[Dimension]) -> Axes:
    """Return every axis that some dimensions run over."""
    return frozenset(axis for dimension in dimensions for factor in dimension for axis in factor.axes)


def spatial(axes: Axes) -> frozenset[int]:
    """Return the spatial ones."""
    return frozenset(axis for axis in axes if isinstance(axis, int))


def positions(dimensions: Iterable[Dimension]) -> int:
    """Return how many positions some dimensions tell apart."""
    return prod(factor.size for dimension in dimensions for factor in dimension if spatial(factor.axes))


def resized(dimensions: Dimensions, shape: Sequence[int]) -> Dimensions | None:
    """Return the dimensions with the sizes of another shape: padded, cut or joined along some of them."""
    if len(dimensions) != len(shape):
        return None
    return tuple(
        dimension if prod(factor.size for factor in dimension) == size else _one(axes_of([dimension]), size)
        for dimension, size in zip(dimensions, shape, strict=True)
    )


def viewed(dimensions: Dimensions, shape: Sequence[int]) -> Dimensions | None:
    """Return the dimensions of a view: the same factors in the same order, grouped anew; None if uneven."""
    waiting = [factor for dimension in dimensions for factor in dimension if factor.size != 1][::-1]
    found: list[Dimension] = []
    for size in shape:
        group: list[Factor] = []
        rest = size
        while rest > 1 and waiting:
            factor = waiting.pop()
            if rest % factor.size == 0:
                group.append(factor)
                rest //= factor.size
            elif factor.size % rest == 0:
                group.append(Factor(factor.axes, rest))
                waiting.append(Factor(factor.axes, factor.size // rest))
                rest = 1
            else:
                return None
        if rest > 1:
            return None
        found.append(tuple(group))
    return None if waiting else tuple(found)


def is_image(dimensions: Dimensions, n_spatial: int) -> bool:
    """Return whether the dimensions are batch, channels, then the spatial axes in their order."""
    if len(dimensions) != n_spatial + 2:
        return False
    expected: list[Axes] = [frozenset({"batch"}), frozenset({"channel"})]
    expected += [frozenset({axis}) for axis in range(n_spatial)]
    whole = all(axes_of([dimension]) <= axes for dimension, axes in zip(dimensions, expected, strict=True))
    return whole and all(len(dimension) <= 1 for dimension in dimensions[2:])


def _one(axes: Iterable[str | int], size: int) -> Dimension:
    return (Factor(frozenset(axes), size),)
