"""The layer table as finished strings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.display import MAX_TEXT, visible

COLUMNS = (
    "Layer",
    "Kind",
    "Settings",
    "Output",
    "Receptive field",
    "Parameters",
    "Training",
    "FLOPs",
    "In eval mode",
)
NUMERIC = frozenset({"Parameters", "FLOPs"})
_SHORT = {"kernel_size": "kernel", "output_size": "output"}
_READING = (
    "Shapes of one sample, observed; where the formula of a layer gives another one, both stand there.",
    "Receptive fields by formula, as if the input had no edge; none where operations were not followed.",
    "FLOPs count matrix products and convolutions, not recurrent layers; multiply and add are two.",
)
# What stands in a table only where it is not the usual.
_USUAL = {"stride": 1, "padding": 0, "dilation": 1, "output_padding": 0}


@dataclass(frozen=True, slots=True)
class LayersView:
    """The table.

    Attributes:
        caption: What the whole model is.
        rows: A row a layer, in the order of :data:`COLUMNS`.
        notes: What must be known to read it.
    """

    caption: str
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def layers_view(model: Mapping[str, Any]) -> LayersView | None:
    """Return the layer table of a document's model; None where it has none."""
    found = model.get("architecture")
    if not isinstance(found, dict):
        return None
    if "not_available" in found:
        note = f"No layer table: {visible(str(found['not_available']), limit=MAX_TEXT)}."
        return LayersView("Layers", (), (note,))
    layers = [layer for layer in found.get("layers") or () if isinstance(layer, dict)]
    rows = tuple(_row(layer) for layer in layers)
    n_all = found.get("n_layers", len(layers))
    caption = (
        f"{_number(n_all)} layers, {_number(found.get('n_parameters'))} parameters "
        f"({_number(found.get('n_trainable'))} trainable), {_number(found.get('flops'))} FLOPs a sample"
    )
    return LayersView(caption, rows, _notes(layers, n_all))


def _notes(layers: Sequence[Mapping[str, Any]], n_all: Any) -> tuple[str, ...]:
    notes = [*_READING]
    differing = [visible(str(layer.get("name"))) for layer in layers if layer.get("differs")]
    if differing:
        notes.append(f"Formula and observation differ: {', '.join(differing[:10])}.")
    if any(not layer.get("n_calls") for layer in layers):
        notes.append("Layers without an output were not called, or are compiled.")
    if isinstance(n_all, int) and n_all > len(layers):
        notes.append(f"The first {len(layers):,} of {n_all:,} layers.")
    return tuple(notes)


def _row(layer: Mapping[str, Any]) -> tuple[str, ...]:
    trainable = layer.get("trainable")
    field = layer.get("receptive_field")
    return tuple(
        visible(cell, limit=MAX_TEXT) if cell else ""
        for cell in (
            str(layer.get("name") or "(the model)"),
            f"{layer.get('kind')} ({layer.get('class_name')})",
            _settings(layer.get("settings")),
            _output(layer),
            str(field) if isinstance(field, str) else _shape(field),
            _number(layer.get("n_parameters")) if trainable else "",
            str(trainable or ""),
            _number(layer.get("flops")) if layer.get("flops") else "",
            str(layer.get("in_eval") or ""),
        )
    )


def _output(layer: Mapping[str, Any]) -> str:
    observed = _shape(layer.get("output_shape"))
    calls = layer.get("n_calls")
    times = f" ({calls} calls)" if isinstance(calls, int) and calls > 1 else ""
    if layer.get("differs"):
        return f"{observed}{times}, by formula {_shape(layer.get('formula_shape'))}"
    return observed + times


def _settings(settings: Any) -> str:
    if not isinstance(settings, dict):
        return ""
    parts: list[str] = []
    for name, value in settings.items():
        numbers = value if isinstance(value, list) else [value]
        if name in _USUAL and all(number == _USUAL[name] for number in numbers):
            continue
        shown = numbers[0] if len(set(map(str, numbers))) == 1 else _shape(numbers)
        word = _SHORT.get(name, str(name))
        parts.append(word if value is True else f"{word} {shown}")
    return ", ".join(parts)


def _shape(numbers: Any) -> str:
    return "x".join(str(number) for number in numbers) if isinstance(numbers, (list, tuple)) else ""


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "n/a"
