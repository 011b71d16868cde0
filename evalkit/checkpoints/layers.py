"""What a layer is: its kind, its settings, the size that its formula gives, and what eval mode changes."""

from collections.abc import Callable
from math import prod
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.modules.pooling import (
    _AdaptiveAvgPoolNd,
    _AdaptiveMaxPoolNd,
    _AvgPoolNd,
    _LPPoolNd,
    _MaxPoolNd,
)

from evalkit.checkpoints.sizes import (
    conv_output_size,
    conv_transpose_output_size,
    per_dimension,
    pool_output_size,
)

Shape = tuple[int, ...]

_SETTINGS = ("kernel_size", "stride", "padding", "dilation", "groups", "output_padding", "output_size")
_ADAPTIVE = (_AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd)
_POOLING = (_MaxPoolNd, _AvgPoolNd, _LPPoolNd, *_ADAPTIVE)
_NORMALISATION = (_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm, nn.RMSNorm)
_DROPOUT = (_DropoutNd,)
_SAME_SIZE = (*_NORMALISATION, *_DROPOUT, nn.Identity)
_RANDOM = ("DropPath", "StochasticDepth", "DropBlock2d", "DropBlock3d")


_KINDS: tuple[tuple[tuple[type, ...], str], ...] = (
    (_POOLING, "pooling"),
    (_NORMALISATION, "normalisation"),
    (_DROPOUT, "dropout"),
    ((nn.Linear, nn.Bilinear), "linear"),
    ((nn.MultiheadAttention,), "attention"),
    ((nn.Flatten, nn.Unflatten), "reshape"),
    ((nn.Embedding,), "embedding"),
    ((nn.Upsample,), "resize"),
    ((nn.RNNBase,), "recurrent"),
)


def kind_of(module: nn.Module) -> str:
    """Return the kind of a layer in the field's words; ``other`` for a class of somebody's own."""
    if isinstance(module, _ConvNd):
        return _convolution(module)
    if type(module).__name__ in _RANDOM:
        return "dropout"
    if type(module).__module__ == "torch.nn.modules.activation" and not isinstance(
        module, nn.MultiheadAttention
    ):
        return "activation"
    return next((kind for classes, kind in _KINDS if isinstance(module, classes)), "other")


def _convolution(module: _ConvNd) -> str:
    kernel = module.kernel_size
    words = []
    if module.groups > 1:
        words.append("depthwise" if module.groups == module.in_channels else "grouped")
    if any(step > 1 and size > 1 for step, size in zip(module.dilation, kernel, strict=True)):
        words.append("dilated")
    if isinstance(module, _ConvTransposeNd):
        words.append("transposed")
    if max(kernel) == 1:
        words.append("pointwise")
    elif min(kernel) == 1 and len(kernel) > 1:
        words.append("spatially separable")
    return f"{' '.join(words) or 'plain'} convolution"


def settings_of(module: nn.Module) -> dict[str, Any]:
    """Return kernel, stride, padding, dilation, groups and what else decides the output's size."""
    if not isinstance(module, (_ConvNd, *_POOLING)):
        return {}
    found = {name: getattr(module, name) for name in _SETTINGS if getattr(module, name, None) is not None}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}
    if plain.get("groups") == 1:
        del plain["groups"]
    if not isinstance(module, _ConvTransposeNd):
        plain.pop("output_padding", None)
    return {**plain, "ceil_mode": True} if getattr(module, "ceil_mode", False) else plain


def expected_shape(module: nn.Module, shape: Shape) -> Shape | None:
    """Return the output shape that a layer's formula gives; None where it has none.

    Args:
        module: The layer.
        shape: Of its input, batch first.
    """
    try:
        if isinstance(module, _ConvNd):
            return (shape[0], module.out_channels, *_conv_sizes(module, shape[2:]))
        if isinstance(module, _POOLING):
            return (*shape[:2], *_pool_sizes(module, shape[2:]))
    except (ValueError, IndexError):
        return None
    if isinstance(module, nn.Linear):
        return (*shape[:-1], module.out_features)
    if isinstance(module, nn.Flatten):
        return _flattened(module, shape)
    same = isinstance(module, _SAME_SIZE) or kind_of(module) == "activation"
    return shape if same and not isinstance(module, nn.GLU) else None


def _conv_sizes(module: _ConvNd, sizes: Shape) -> Shape:
    if isinstance(module, _ConvTransposeNd):
        return _each(
            sizes,
            lambda size, k, s, p, d, extra: conv_transpose_output_size(
                size, k, stride=s, padding=p, dilation=d, output_padding=extra
            ),
            module.kernel_size,
            module.stride,
            module.padding,
            module.dilation,
            module.output_padding,
        )
    if module.padding == "same":
        return sizes
    padding = 0 if module.padding == "valid" else module.padding
    return _each(
        sizes,
        lambda size, k, s, p, d: conv_output_size(size, k, stride=s, padding=p, dilation=d),
        module.kernel_size,
        module.stride,
        padding,
        module.dilation,
    )


def _pool_sizes(module: nn.Module, sizes: Shape) -> Shape:
    if isinstance(module, _ADAPTIVE):
        wanted = per_dimension(module.output_size, len(sizes))
        return tuple(size if want is None else want for size, want in zip(sizes, wanted, strict=True))
    ceil_mode = bool(getattr(module, "ceil_mode", False))
    return _each(
        sizes,
        lambda size, k, s, p, d: pool_output_size(
            size, k, stride=s, padding=p, dilation=d, ceil_mode=ceil_mode
        ),
        module.kernel_size,
        module.stride if module.stride is not None else module.kernel_size,
        getattr(module, "padding", 0),
        getattr(module, "dilation", 1),
    )


def _each(sizes: Shape, formula: Callable[..., int], *settings: Any) -> Shape:
    """Apply a formula to each dimension; a setting is one number for all, or one for each."""
    columns = [per_dimension(setting, len(sizes)) for setting in settings]
    return tuple(formula(size, *row) for size, *row in zip(sizes, *columns, strict=True))


def _flattened(module: nn.Flatten, shape: Shape) -> Shape:
    begin, end = module.start_dim, module.end_dim % len(shape)
    return (*shape[:begin], prod(shape[begin : end + 1]), *shape[end + 1 :])


def eval_effect(module: nn.Module) -> str | None:
    """Say what eval mode changes in a layer; None where it computes the same in both modes."""
    if isinstance(module, (_BatchNorm, _InstanceNorm)):
        return _statistics(module, of_sample=isinstance(module, _InstanceNorm))
    if isinstance(module, _DROPOUT):
        return f"identity; train mode drops {module.p * 100:g} %"
    if type(module).__name__ in _RANDOM:
        return "identity; train mode drops at random"
    dropout = getattr(module, "dropout", 0)
    if isinstance(module, (nn.MultiheadAttention, nn.RNNBase)) and dropout:
        return f"drops nothing; train mode drops {dropout * 100:g} % inside"
    return "fixed slope; train mode a random one" if isinstance(module, nn.RReLU) else None


def _statistics(module: _BatchNorm | _InstanceNorm, *, of_sample: bool) -> str | None:
    if module.running_mean is not None:
        whose = "each sample's" if of_sample else "the batch's"
        return f"running statistics; train mode {whose}, and moves them"
    if of_sample:
        return None
    return "nothing: no running statistics, so the batch's in eval mode, too"
