"""Floating-point operations of matrix products and convolutions, as torch counts them.

The formulas are those of ``torch.utils.flop_counter``, which would load triton: 75 MB for what stands here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

Formula = Callable[[Sequence[Any], torch.Tensor], int]


def flops_of(func: Any, args: Sequence[Any], found: Any) -> int:
    """Return the operations of one call, two for each multiplication and addition; 0 of what is not counted.

    Args:
        func: The operator, as a dispatch mode is handed it.
        args: What it was called with.
        found: What it returned.
    """
    formula = _FORMULAS.get(func.overloadpacket.__name__) if func.namespace == "aten" else None
    return 0 if formula is None else formula(args, found)


def _product(first: int) -> Formula:
    """Count a product of matrices, or of batches of them: the arguments at two places that follow."""
    return lambda args, _: int(2 * math.prod(args[first].shape) * args[first + 1].shape[-1])


def _convolution(args: Sequence[Any], found: torch.Tensor) -> int:
    """Count at every place of the output, or of the input of a transposed one."""
    value, weight, transposed = args[0], args[1], bool(args[6])
    places = (value if transposed else found).shape[2:]
    return int(2 * value.shape[0] * math.prod(weight.shape) * math.prod(places))


def _attention(args: Sequence[Any], _: Any) -> int:
    """Count scores and sums, whatever is masked."""
    queries, keys, values = (one.shape for one in args[:3])
    return int(2 * math.prod(queries[:-1]) * keys[-2] * (queries[-1] + values[-1]))


_FORMULAS: Mapping[str, Formula] = {
    "mm": _product(0),
    "addmm": _product(1),
    "bmm": _product(0),
    "baddbmm": _product(1),
    "convolution": _convolution,
    "_convolution": _convolution,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_cudnn_attention": _attention,
}
