"""The gallery as it is shown: groups of samples, each with a picture, a small curve, or its name alone."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.display import percent, visible
from evalkit.gallery import GalleryRow
from evalkit.result import EvalResult

_HEADINGS = {
    "confident": ("Most confident mistakes", "Wrong, and surest of it."),
    "label": (
        "Suspected label errors",
        "The model is as sure of another class as it usually is of that class: look at the label first.",
    ),
    "conflict": ("Equal inputs, unequal labels", "The same input stands in the data with different labels."),
    "flip": ("No longer right", "The baseline had these right."),
    "margin": ("Closest calls", "The two best classes were nearly equal, right or wrong."),
}
_WIDTH, _HEIGHT = 120.0, 40.0


@dataclass(frozen=True, slots=True)
class SampleView:
    """One sample.

    Attributes:
        name: Its id.
        true, predicted: Class names; of label sets joined.
        sure: How confident the model was, or nothing.
        picture: A data address; curve: points of a small line; one of them, or neither.
    """

    name: str
    true: str
    predicted: str
    sure: str
    picture: str
    curve: str


@dataclass(frozen=True, slots=True)
class GroupView:
    """Samples that are shown for one reason."""

    anchor: str
    heading: str
    caption: str
    samples: tuple[SampleView, ...]


def gallery_view(result: EvalResult, rows: Sequence[GalleryRow]) -> tuple[GroupView, ...]:
    """Group the samples by why they are there; a picture stands on the page once, in its first group."""
    names = [visible(name) for name in result.class_names]
    groups: dict[str, list[SampleView]] = {}
    for row in rows:
        for position, why in enumerate(row.why):
            groups.setdefault(why, []).append(_sample(row, names, pictured=position == 0))
    order = [*_HEADINGS, *(why for why in groups if why.startswith("pair:"))]
    return tuple(
        GroupView(f"gallery-{position}", *_heading(why, names), tuple(groups[why]))
        for position, why in enumerate(order, 1)
        if why in groups
    )


def _heading(why: str, names: Sequence[str]) -> tuple[str, str]:
    if why in _HEADINGS:
        return _HEADINGS[why]
    _, true, said = why.split(":")
    return (
        f"{_name(names, int(true))} taken for {_name(names, int(said))}",
        "One of the commonest confusions.",
    )


def _sample(row: GalleryRow, names: Sequence[str], *, pictured: bool) -> SampleView:
    sure = "" if row.p_pred is None else percent(row.p_pred)
    picture = curve = ""
    if pictured and row.kind == "webp":
        picture = f"data:image/webp;base64,{base64.b64encode(row.content).decode()}"
    elif pictured and row.kind == "values":
        curve = _curve(np.frombuffer(row.content, "<f4"))
    true, said = (", ".join(_name(names, k) for k in labels) or "none" for labels in (row.y_true, row.y_pred))
    return SampleView(visible(row.sample_id), true, said, sure, picture, curve)


def _name(names: Sequence[str], k: int) -> str:
    return names[k] if 0 <= k < len(names) else "?"


def _curve(values: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> str:
    """Return the points of a small line through some numbers."""
    known = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    if len(known) < 2:  # noqa: PLR2004 - no line
        return ""
    low, span = float(known.min()), float(np.ptp(known)) or 1.0
    x = np.linspace(2, _WIDTH - 2, len(known))
    y = _HEIGHT - 3 - (known - low) / span * (_HEIGHT - 6)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
