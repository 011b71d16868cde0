"""The layer table: what a model is made of, seen while it runs a batch, checked against the formulas."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves

from evalkit.checkpoints.fields import FieldFollower
from evalkit.checkpoints.layers import Shape, eval_effect, expected_shape, kind_of, settings_of

WHOLE_INPUT = "whole input"


@dataclass(slots=True)
class Layer:
    """One row of the table: a module of a known kind, with parameters of its own, or without parts.

    Attributes:
        name: Its path in the model.
        class_name: Such as ``Conv2d``.
        kind: Such as ``depthwise dilated convolution``.
        settings: Kernel, stride, padding, dilation, groups.
        input_shape, output_shape: Of one sample, as observed; None where it was not called.
        formula_shape: Of its output by formula; None where the kind has none.
        receptive_field: Elements of the input along each spatial axis; ``whole input``; None if not followed.
        n_parameters: Elements of its own parameters; a shared one counts where it comes first.
        trainable: ``trainable``, ``frozen`` or ``partly``; None without parameters.
        flops: Of one sample in the layer itself, a multiplication and an addition being two; 0 for recurrent
            layers, which torch does not count.
        in_eval: What eval mode changes; None for nothing.
        n_calls: How often the batch went through it.
    """

    name: str
    class_name: str
    kind: str
    settings: dict[str, Any]
    n_parameters: int
    trainable: str | None
    in_eval: str | None
    input_shape: Shape | None = None
    output_shape: Shape | None = None
    formula_shape: Shape | None = None
    receptive_field: Sequence[int] | str | None = None
    flops: int = 0
    n_calls: int = 0

    @property
    def differs(self) -> bool:
        """Whether formula and observation disagree."""
        return self.formula_shape is not None and self.formula_shape != self.output_shape


@dataclass(slots=True)
class Architecture:
    """What one batch showed.

    Attributes:
        layers: In the order in which they were first called; those that were not come last.
        n_parameters, n_trainable: Of the model, shared ones once.
        flops: Of one sample through the whole model: matrix products and convolutions, as
            ``torch.utils.flop_counter`` counts them.
    """

    layers: list[Layer] = field(default_factory=list)
    n_parameters: int = 0
    n_trainable: int = 0
    flops: int = 0

    def facts(self) -> dict[str, Any]:
        """Return it as a document holds it: lists, no tuples."""
        rows = [
            {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(layer).items()}
            | {"differs": layer.differs}
            for layer in self.layers
        ]
        return {
            "n_parameters": self.n_parameters,
            "n_trainable": self.n_trainable,
            "flops": self.flops,
            "layers": rows,
        }


def inspect_architecture(
    model: nn.Module, inputs: Sequence[torch.Tensor] | Mapping[str, torch.Tensor]
) -> Architecture:
    """Run a model over a few samples and list its layers.

    Args:
        model: In eval mode already; it is called once, without gradients.
        inputs: What it is called with: positional, or by name; the first dimension counts samples.

    Raises:
        Exception: Whatever the model raises.
    """
    tensors = [value for value in tree_leaves(inputs) if isinstance(value, torch.Tensor)]
    found = _Observer(model, tensors)
    with torch.inference_mode(mode=False), torch.no_grad(), _unfused_attention(), found.watching():
        model(**inputs) if isinstance(inputs, Mapping) else model(*inputs)
    n_samples = next((len(value) for value in tensors if value.dim()), 1)
    for row in found.rows.values():
        row.flops //= n_samples
    parameters = list(model.parameters())
    return Architecture(
        list(found.rows.values()),
        n_parameters=sum(value.numel() for value in parameters),
        n_trainable=sum(value.numel() for value in parameters if value.requires_grad),
        flops=found.flops // n_samples,
    )


@contextmanager
def _unfused_attention() -> Iterator[None]:
    """Let attention run as the operations that the counter knows, instead of one that it does not."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


class _Observer:
    """Fills the rows while the model runs."""

    def __init__(self, model: nn.Module, inputs: Sequence[torch.Tensor]) -> None:
        self.model = model
        self.rows: dict[str, Layer] = {}
        self.flops = 0
        self._follower = FieldFollower(inputs, self._spend)
        self._open: list[Layer] = []
        self._counted: set[int] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hook every layer for a while; the model is the same afterwards."""
        with ExitStack() as stack:
            waiting: dict[str, Layer] = {}
            parts = {
                f"{name}.{inner}" if name else inner
                for name, module in self.model.named_modules()
                if isinstance(module, nn.MultiheadAttention)
                for inner, _ in module.named_modules()
                if inner
            }
            for name, module in self.model.named_modules():
                if name not in parts and _is_layer(module):
                    row = waiting[name] = self._row(name, module)
                    begin = module.register_forward_pre_hook(self._begin(row), with_kwargs=True)
                    stack.callback(begin.remove)
                    stack.callback(module.register_forward_hook(self._end(row)).remove)
            with self._follower:
                yield
        self.rows |= {name: row for name, row in waiting.items() if not row.n_calls and row.n_parameters}

    def _spend(self, flops: int) -> None:
        self.flops += flops
        if self._open:
            self._open[-1].flops += flops

    def _row(self, name: str, module: nn.Module) -> Layer:
        whole = isinstance(module, nn.MultiheadAttention)
        own = list(module.parameters(recurse=whole))
        parameters = [p for p in own if id(p) not in self._counted]
        self._counted |= {id(p) for p in parameters}
        states = {p.requires_grad for p in own}
        trainable = (
            None if not states else "partly" if len(states) > 1 else "trainable" if states.pop() else "frozen"
        )
        return Layer(
            name,
            type(module).__name__,
            kind_of(module),
            settings_of(module),
            sum(p.numel() for p in parameters),
            trainable,
            eval_effect(module),
        )

    def _begin(self, row: Layer) -> Any:
        def observe(_: nn.Module, args: Any, kwargs: Any) -> None:
            self.rows.setdefault(row.name, row)
            self._open.append(row)
            given = _first((args, kwargs))
            if row.n_calls == 0 and given is not None:
                row.input_shape = tuple(given.shape)  # now: the layer may change it in place

        return observe

    def _end(self, row: Layer) -> Any:
        def observe(module: nn.Module, _: Any, output: Any) -> None:
            self._open.remove(row)
            row.n_calls += 1
            gave = _first(output)
            if row.n_calls > 1 or row.input_shape is None or gave is None:
                return
            expected = expected_shape(module, row.input_shape)
            row.formula_shape = None if expected is None else expected[1:]
            row.input_shape, row.output_shape = row.input_shape[1:], tuple(gave.shape[1:])
            row.receptive_field = self._seen(gave)

        return observe

    def _seen(self, value: torch.Tensor) -> list[int] | str | None:
        trace = self._follower.of(value)
        if trace is None:
            return None
        return WHOLE_INPUT if trace.fields is None else [one.size for one in trace.fields]


def _is_layer(module: nn.Module) -> bool:
    """Tell what computes by itself from what only holds layers; attention calls none of its parts."""
    without_parts = not any(True for _ in module.children())
    return without_parts or kind_of(module) != "other" or any(True for _ in module.parameters(recurse=False))


def _first(value: Any) -> torch.Tensor | None:
    return next((leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor) and leaf.dim()), None)
