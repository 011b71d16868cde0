"""Follows how much of the input each tensor sees, operation by operation, through branches and sums."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from evalkit.checkpoints.axes import (
    Dimension,
    Dimensions,
    axes_of,
    is_image,
    of_input,
    positions,
    resized,
    spatial,
    viewed,
)
from evalkit.checkpoints.flops import flops_of
from evalkit.checkpoints.sizes import Field, per_dimension


@dataclass(frozen=True, slots=True)
class Trace:
    """What is known of a tensor.

    Attributes:
        fields: The receptive field of each of its elements, along each spatial axis; None for all of the
            input.
        dimensions: What its dimensions run over.
        n_positions: How many places of the input's plane it tells apart.
        sure: Whether the last dimensions are spatial: of shape (n, a, b) that is known once it was convolved.
    """

    fields: tuple[Field, ...] | None
    dimensions: Dimensions = ()
    n_positions: int = 1
    sure: bool = True


_WHOLE = Trace(None)
_FEW = 2  # batch and channels
_SERIES = 3  # (batch, channels, time), or (batch, time, features)


class FieldFollower(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch has no types here
    """While it is entered, remembers the receptive field of every tensor that comes of the inputs.

    By formula, as if the input had no edge. Operations outside the tables below (windowed attention, sorting,
    resampling) are not followed: of what comes of them nothing is said.

    Args:
        inputs: Feature maps, shape (batch, channels, spatial…); others are not followed.
        spend: Told the floating-point operations of every matrix product and convolution, as
            ``torch.utils.flop_counter`` counts them.
    """

    def __init__(self, inputs: Sequence[torch.Tensor], spend: Callable[[int], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._spend = spend
        self._traces: Any = WeakIdKeyDictionary()
        # Of memory that was written to, the one tensor whose trace still holds; kept, so that none takes it.
        self._written: dict[int, torch.Tensor] = {}
        for value in inputs:
            if value.is_floating_point() and value.dim() > _FEW:
                n = value.dim() - _FEW
                self._traces[value] = Trace(
                    (Field(),) * n, of_input(value.shape), value[0, 0].numel(), value.dim() != _SERIES
                )

    def of(self, value: torch.Tensor) -> Trace | None:
        """Return what is known of a tensor."""
        if self._written.get(_memory(value), value) is not value:
            return None
        trace: Trace | None = self._traces.get(value)
        return trace

    def _is_followed(self, value: torch.Tensor) -> bool:
        return value in self._traces or _memory(value) in self._written

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation, and note what its results see."""
        found = func(*args, **(kwargs or {}))
        self._spend(flops_of(func, args, found))
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
        followed = [value for value in given if self._is_followed(value)]
        if followed:
            for value in tree_leaves(found):
                if isinstance(value, torch.Tensor):
                    self._note(value, self._behind(func, args, followed, value), func)
        return found

    def _note(self, value: torch.Tensor, trace: Trace | None, func: Any) -> None:
        """Remember a result; where it was written into memory, no other view of that is known any more."""
        changed = func._schema.is_mutable and trace != self._traces.get(value)  # noqa: SLF001 - the only way
        if changed:
            self._written[_memory(value)] = value
        self._traces[value] = trace

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing here is compiled: torch need not load its compiler, which takes more than a second."""
        return False

    def _behind(
        self, func: Any, args: Sequence[Any], followed: list[torch.Tensor], result: torch.Tensor
    ) -> Trace | None:
        traces = [self.of(value) for value in followed]
        if any(trace == _WHOLE for trace in traces):
            return _WHOLE  # whatever is computed of all of the input
        known = [trace for trace in traces if trace is not None]
        if len(known) < len(traces):
            return None
        name = func.overloadpacket.__name__
        if torch.Tag.pointwise in func.tags or name in _JOINS:
            return _joined(known, result.shape)
        rule = _RULES.get(name)
        first = args[1] if name in ("addmm", "baddbmm") else args[0]
        if rule is None or (name != "cat" and first is not followed[0]):
            return None  # what is followed is not what the rule is about
        try:
            return rule(known, args, result)
        except (IndexError, ValueError, TypeError):
            return None  # arguments in a form that the rule does not know


def _memory(value: torch.Tensor) -> int:
    return value.untyped_storage().data_ptr() if value.layout == torch.strided and value.numel() else -1


Rule = Callable[[list[Trace], Sequence[Any], torch.Tensor], Trace | None]


def _joined(traces: Sequence[Trace], shape: Sequence[int]) -> Trace | None:
    """Several tensors go into each element."""
    fields = _together(traces)
    dimensions = next(
        (found for one in traces if (found := resized(one.dimensions, shape)) is not None), None
    )
    if fields is None or dimensions is None:
        return None
    return Trace(
        fields, dimensions, max(trace.n_positions for trace in traces), all(trace.sure for trace in traces)
    )


def _together(traces: Sequence[Trace]) -> tuple[Field, ...] | None:
    fields = traces[0].fields or ()
    for other in traces[1:]:
        if len(other.fields or ()) != len(fields):
            return None
        both = [a.joined(b) for a, b in zip(fields, other.fields or (), strict=True)]
        if any(field is None for field in both):
            return None
        fields = tuple(field for field in both if field is not None)
    return fields


def _concatenated(traces: list[Trace], args: Sequence[Any], result: torch.Tensor) -> Trace | None:
    """Beside each other: along channels as if joined; along anything spatial the fields must be the same."""
    along = args[1] if len(args) > 1 else 0
    over = spatial(axes_of([trace.dimensions[along] for trace in traces if len(trace.dimensions) > along]))
    if over and any(trace.fields != traces[0].fields for trace in traces):
        return None
    joined = _joined(traces, result.shape)
    if joined is None or not over:
        return joined
    return replace(joined, fields=tuple(replace(field, start=None) for field in joined.fields or ()))


def _with(trace: Trace, dimensions: Dimensions | None) -> Trace | None:
    return None if dimensions is None else replace(trace, dimensions=dimensions)


def _mixed(trace: Trace, over: Sequence[Dimension], dimensions: Dimensions | None) -> Trace | None:
    """Sums over dimensions: nothing changes over channels, everything is seen over all positions."""
    axes = spatial(axes_of(over))
    if not axes:
        return _with(trace, dimensions)
    every = len(axes) == len(trace.fields or ()) and positions(over) >= trace.n_positions
    return _WHOLE if every and trace.sure else None


def _resized(traces: list[Trace], _: Sequence[Any], result: torch.Tensor) -> Trace | None:
    return _with(traces[0], resized(traces[0].dimensions, result.shape))


def _sliced(traces: list[Trace], args: Sequence[Any], result: torch.Tensor) -> Trace | None:
    dim, start, step = (args[k] if len(args) > k else usual for k, usual in ((1, 0), (2, 0), (4, 1)))
    size = args[0].shape[dim]
    first = min(max((start or 0) + (size if (start or 0) < 0 else 0), 0), size)
    return _cut(traces[0], args[0], dim, first, result) if step == 1 else None


def _parted(traces: list[Trace], args: Sequence[Any], result: torch.Tensor) -> Trace | None:
    """Split into parts: where each begins along a spatial axis is told by its memory, if by anything."""
    dim = args[2] if len(args) > _FEW else 0
    stride = args[0].stride(dim)
    first = (result.storage_offset() - args[0].storage_offset()) // stride if stride else 0
    return _cut(traces[0], args[0], dim, first, result)


def _padded(traces: list[Trace], args: Sequence[Any], result: torch.Tensor) -> Trace | None:
    """Padded, from the last dimension on: (left, right, left, right, …)."""
    found: Trace | None = traces[0]
    for k, left in enumerate(args[1][::2]):
        found = None if found is None else _cut(found, args[0], args[0].dim() - 1 - k, -left, result)
    return found


def _cut(trace: Trace, source: torch.Tensor, dim: int, first: int, result: torch.Tensor) -> Trace | None:
    """Leave out the first elements of a dimension, or with a negative number pad it."""
    dimensions = resized(trace.dimensions, result.shape)
    axes = spatial(axes_of([trace.dimensions[dim % source.dim()]]))
    if dimensions is None or (axes and len(axes) > 1 and first):
        return None
    fields = tuple(
        field.cut(first) if axis in axes else field for axis, field in enumerate(trace.fields or ())
    )
    return replace(trace, fields=fields, dimensions=dimensions)


def _viewed(traces: list[Trace], _: Sequence[Any], result: torch.Tensor) -> Trace | None:
    return _with(traces[0], viewed(traces[0].dimensions, result.shape))


def _permuted(traces: list[Trace], args: Sequence[Any], _: torch.Tensor) -> Trace | None:
    held = traces[0].dimensions
    return _with(traces[0], tuple(held[k] for k in args[1]))


def _transposed(traces: list[Trace], args: Sequence[Any], _: torch.Tensor) -> Trace | None:
    held = list(traces[0].dimensions)
    first, second = args[1:] if len(args) > 1 else (0, 1)
    held[first], held[second] = held[second], held[first]
    return _with(traces[0], tuple(held))


def _selected(traces: list[Trace], args: Sequence[Any], _: torch.Tensor) -> Trace | None:
    held = list(traces[0].dimensions)
    del held[args[1] if len(args) > 1 else 0]
    return _with(traces[0], tuple(held))


def _unsqueezed(traces: list[Trace], args: Sequence[Any], result: torch.Tensor) -> Trace | None:
    held = list(traces[0].dimensions)
    held.insert(args[1] % result.dim(), ())
    return _with(traces[0], tuple(held))


def _reduced(traces: list[Trace], args: Sequence[Any], result: torch.Tensor) -> Trace | None:
    held = traces[0].dimensions
    named = args[1] if len(args) > 1 and isinstance(args[1], (list, tuple, int)) else None
    over = [named] if isinstance(named, int) else list(named or range(len(held)))
    over = [k % len(held) for k in over]
    rest = tuple(() if k in over else held[k] for k in range(len(held)))
    kept = rest if result.dim() == len(held) else tuple(d for k, d in enumerate(held) if k not in over)
    return _mixed(traces[0], [held[k] for k in over], kept)


def _softmax(traces: list[Trace], args: Sequence[Any], _: torch.Tensor) -> Trace | None:
    held = traces[0].dimensions
    return _mixed(traces[0], [held[args[1]]], held)


def _linear(traces: list[Trace], _: Sequence[Any], result: torch.Tensor) -> Trace | None:
    """Of a matrix of samples (or positions) with a matrix of weights."""
    held = traces[0].dimensions
    if len(traces) > 1 or len(held) != _FEW:
        return None
    return _mixed(traces[0], [held[1]], resized((held[0], of_input((1, 1))[1]), result.shape))


def _products(traces: list[Trace], _: Sequence[Any], __: torch.Tensor) -> Trace | None:
    """Of two matrices of each sample, as attention written out."""
    fields = _together(traces)
    if len(traces) != 2 or fields is None:  # noqa: PLR2004 - one of them alone would be weights
        return None
    a, b = (trace.dimensions for trace in traces)
    loose = tuple(replace(field, start=None) for field in fields)
    return _mixed(replace(traces[0], fields=loose), [a[-1]], (*a[:-1], b[-1]))


def _layer_norm(traces: list[Trace], args: Sequence[Any], _: torch.Tensor) -> Trace | None:
    held = traces[0].dimensions
    return _mixed(traces[0], held[-len(args[1]) :], held)


def _batch_norm(traces: list[Trace], args: Sequence[Any], result: torch.Tensor) -> Trace | None:
    training = any(argument is True for argument in args)  # of several signatures, each with one flag
    return None if training else _resized(traces, args, result)


def _group_norm(traces: list[Trace], _: Sequence[Any], __: torch.Tensor) -> Trace | None:
    """Its statistics are of all positions."""
    return _mixed(traces[0], traces[0].dimensions[1:], None)


def _convolved(traces: list[Trace], args: Sequence[Any], result: torch.Tensor) -> Trace | None:
    trace, n = traces[0], len(traces[0].fields or ())
    if len(traces) > 1 or not is_image(trace.dimensions, n):
        return None
    columns = (args[1].shape[2:], *(per_dimension(args[k], n) for k in (3, 4, 5)))
    through = Field.through_transposed if args[6] else Field.through
    pairs = zip(trace.fields or (), zip(*columns, strict=True), strict=True)
    fields = [through(f, k, stride=s, padding=p, dilation=d) for f, (k, s, p, d) in pairs]
    return _maps(trace, fields, result)


def _max_pooled(traces: list[Trace], args: Sequence[Any], result: torch.Tensor) -> Trace | None:
    return _pooled(traces[0], args, result, dilation=args[4] if len(args) > 4 else 1)  # noqa: PLR2004


def _avg_pooled(traces: list[Trace], args: Sequence[Any], result: torch.Tensor) -> Trace | None:
    return _pooled(traces[0], args, result, dilation=1)


def _pooled(trace: Trace, args: Sequence[Any], result: torch.Tensor, *, dilation: Any) -> Trace | None:
    n, held = len(trace.fields or ()), trace.dimensions
    # One dimension is pooled as two, of which the first is empty: the settings of the last count.
    if not is_image((*held[:_FEW], *(dimension for dimension in held[_FEW:] if dimension)), n):
        return None
    stride = args[2] if len(args) > _FEW and args[2] else args[1]
    padding = args[3] if len(args) > _FEW + 1 else 0
    columns = (per_dimension(setting, n)[-n:] for setting in (args[1], stride, padding, dilation))
    pairs = zip(trace.fields or (), zip(*columns, strict=True), strict=True)
    return _maps(trace, [f.through(k, stride=s, padding=p, dilation=d) for f, (k, s, p, d) in pairs], result)


def _adapted(traces: list[Trace], args: Sequence[Any], result: torch.Tensor) -> Trace | None:
    """Adaptive pooling: known where each output's window is equally large."""
    trace, n = traces[0], len(traces[0].fields or ())
    before, wanted = args[0].shape[2:], result.shape[2:]
    if not is_image(trace.dimensions, n) or any(a % b for a, b in zip(before, wanted, strict=True)):
        return None
    if all(size == 1 for size in wanted) and any(size > 1 for size in before):
        return _WHOLE if trace.sure else None
    ratios = [a // b for a, b in zip(before, wanted, strict=True)]
    fields = [f.through(r, stride=r) for f, r in zip(trace.fields or (), ratios, strict=True)]
    return _maps(trace, fields, result)


def _maps(trace: Trace, fields: Sequence[Field], result: torch.Tensor) -> Trace | None:
    """New feature maps: as many positions as they have elements."""
    dimensions = resized(trace.dimensions, result.shape)
    return None if dimensions is None else Trace(tuple(fields), dimensions, positions(dimensions))


# Names of torch's own operations, without the overload.
_JOINS = frozenset(
    "clone detach _to_copy alias native_dropout dropout copy_ lift_fresh"
    " hardswish hardswish_ prelu _prelu_kernel log_sigmoid_forward".split()  # pointwise, but not marked so
)
_RULES: dict[str, Rule] = {
    **dict.fromkeys("split split_with_sizes".split(), _parted),
    **dict.fromkeys("view _unsafe_view reshape squeeze".split(), _viewed),
    **dict.fromkeys("mean sum amax amin".split(), _reduced),
    **dict.fromkeys("mm addmm".split(), _linear),
    **dict.fromkeys("bmm baddbmm".split(), _products),
    **dict.fromkeys("max_pool2d_with_indices max_pool3d_with_indices".split(), _max_pooled),
    **dict.fromkeys("avg_pool2d avg_pool3d".split(), _avg_pooled),
    **dict.fromkeys("_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d".split(), _adapted),
    **dict.fromkeys("native_batch_norm _native_batch_norm_legit cudnn_batch_norm".split(), _batch_norm),
    **dict.fromkeys("select unbind".split(), _selected),
    **dict.fromkeys("_softmax _safe_softmax".split(), _softmax),
    "_native_batch_norm_legit_no_training": _resized,
    "cat": _concatenated,
    "constant_pad_nd": _padded,
    "expand": _resized,
    "slice": _sliced,
    "permute": _permuted,
    "transpose": _transposed,
    "t": _transposed,
    "unsqueeze": _unsqueezed,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "convolution": _convolved,
}
