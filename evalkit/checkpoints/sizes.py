"""Output sizes and receptive fields of convolutions and pooling, one dimension at a time; no torch.

Dilation is torch's: 1 means that the kernel's elements are neighbours. Texts that write "D = 0" for no
dilation count the gaps instead; their D is this dilation minus one.

>>> conv_output_size(224, 7, stride=2, padding=3)
112
>>> pool_output_size(112, 3, stride=2, ceil_mode=True)
56
>>> conv_transpose_output_size(7, 4, stride=2, padding=1)
14
"""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, gcd
from typing import Any


def conv_output_size(size: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Return the output size of a convolution.

    floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1

    Args:
        size: Of the input along this dimension, in elements.
        kernel: Elements of the kernel.
        stride: Step between outputs.
        padding: Added on each side.
        dilation: Distance between the kernel's elements; 1 is none, as torch defines it.

    Raises:
        ValueError: The kernel is larger than the padded input, or an argument is out of range.

    Source: torch.nn.Conv2d.
    """
    _check(size=size, kernel=kernel, stride=stride, dilation=dilation)
    return _positive((size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)


def pool_output_size(
    size: int,
    kernel: int,
    *,
    stride: int | None = None,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """Return the output size of max pooling, or with dilation 1 of average pooling.

    Args:
        size, kernel, padding, dilation: As of :func:`conv_output_size`.
        stride: Step between outputs; by default the kernel.
        ceil_mode: Round up instead of down; a window that would begin in the right padding is left out.

    Raises:
        ValueError: The kernel is larger than the padded input, or an argument is out of range.

    Source: torch.nn.MaxPool2d, torch.nn.AvgPool2d.
    """
    step = kernel if stride is None else stride
    _check(size=size, kernel=kernel, stride=step, dilation=dilation)
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    n = (room + (step - 1 if ceil_mode else 0)) // step + 1
    if ceil_mode and (n - 1) * step >= size + padding:
        n -= 1
    return _positive(n)


def conv_transpose_output_size(
    size: int, kernel: int, *, stride: int = 1, padding: int = 0, output_padding: int = 0, dilation: int = 1
) -> int:
    """Return the output size of a transposed convolution.

    (size - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1: the input size of a
    convolution with the same numbers, of which output_padding picks one.

    Args:
        size, kernel, stride, padding, dilation: As of :func:`conv_output_size`.
        output_padding: Added on one side of the output.

    Raises:
        ValueError: Nothing is left of the output, or an argument is out of range.

    Source: torch.nn.ConvTranspose2d.
    """
    _check(size=size, kernel=kernel, stride=stride, dilation=dilation)
    return _positive((size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1)


def per_dimension(setting: Any, n: int) -> list[Any]:
    """Return a setting for each of n dimensions: torch writes one number for all, or one for each."""
    values = list(setting) if isinstance(setting, (tuple, list)) else [setting]
    return values * n if len(values) == 1 else values


@dataclass(frozen=True, slots=True)
class Field:
    """How much of the input one element sees along one dimension.

    Attributes:
        extent: Elements of the input, as if it went on for ever (padding counts); a fraction behind
            transposed convolutions, whose outputs stand between inputs.
        jump: How far the fields of two neighbours are apart, in elements of the input.
        start: Where the field of the first element begins; None where that differs from place to place.
    """

    extent: Fraction = Fraction(1)
    jump: Fraction = Fraction(1)
    start: Fraction | None = Fraction(0)

    @property
    def size(self) -> int:
        """Elements of the input."""
        return ceil(self.extent)

    def through(self, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> "Field":
        """Return the field behind a convolution or pooling: extent + dilation (kernel - 1) jump."""
        return Field(
            self.extent + dilation * (kernel - 1) * self.jump, self.jump * stride, self._moved(-padding)
        )

    def through_transposed(
        self, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1
    ) -> "Field":
        """Return the field behind a transposed convolution: the largest, since outputs differ by place.

        An output meets every (stride / g)-th tap, g being the common divisor of stride and dilation; their
        inputs are dilation / g apart.
        """
        shared = gcd(stride, dilation)
        taps = -(-kernel * shared // stride)
        spread = self.through(taps, dilation=dilation // shared)
        plain = stride == 1 and kernel == 1 and padding == 0
        return Field(spread.extent, self.jump / stride, self.start if plain else None)

    def cut(self, first: int) -> "Field":
        """Return the field where the first elements were left out, or with a negative number padded."""
        return Field(self.extent, self.jump, self._moved(first))

    def joined(self, other: "Field") -> "Field | None":
        """Return the field of what both go into, element by element; None where it is not known."""
        if self == other:
            return self
        if self.jump != other.jump or self.start is None or other.start is None:
            return None
        start = min(self.start, other.start)
        end = max(self.start + self.extent, other.start + other.extent)
        return Field(end - start, self.jump, start)

    def _moved(self, elements: int) -> Fraction | None:
        return None if self.start is None else self.start + elements * self.jump


def _check(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name}: expected 1 or more, got {number}")


def _positive(size: int) -> int:
    if size < 1:
        raise ValueError(f"the output would have {size} elements")
    return size
