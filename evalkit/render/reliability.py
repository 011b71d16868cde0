"""Calibration: whether what the model is sure of is so, and how sure it is."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from evalkit.display import show, visible
from evalkit.render.charts import GREY, UNIT, Chart, Plane, nice_ticks, unit_plane
from evalkit.result import EvalResult
from evalkit.uncertainty import wilson

_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Words:
    """What is calibrated: confidence in the answer, or of a binary run the positive class's probability."""

    sure: str
    so: str

    @classmethod
    def of(cls, result: EvalResult) -> "Words":
        """Return the words of a run."""
        if result.positive_class is None:
            return cls("Confidence", "Share right")
        name = visible(result.positive_class)
        return cls(f"p({name})", f"Share that is {name}")


def calibration_charts(result: EvalResult) -> tuple[Chart, ...]:
    """Return the reliability diagram, and how confident the model is."""
    mass, width = result.calibration.get("mass"), result.calibration.get("width")
    if not mass or not width or not mass["n"]:
        return ()
    words = Words.of(result)
    return _reliability(mass, words), _histogram(width, words)


def _reliability(mass: dict[str, list[Any]], words: Words) -> Chart:
    plane, n = unit_plane(), np.array(mass["n"], np.int64)
    hits = np.rint(n * np.array(mass["share_correct"], float)).astype(np.int64)
    low, high = wilson(hits, n, level=_LEVEL)
    dots, table = [], []
    columns = (mass["mean_confidence"], mass["share_correct"], low.tolist(), high.tolist(), n.tolist())
    for confidence, share, least, most, count in zip(*columns, strict=True):
        label = (
            f"{count:,} samples: {words.sure} {show(confidence)} on average, {words.so.lower()} {show(share)}"
        )
        dots.append(plane.dot(confidence, share, up=(least, most), label=label))
        table.append((show(confidence), show(share), f"{show(least)} to {show(most)}", f"{count:,}"))
    gaps = np.array(mass["mean_confidence"], float) - np.array(mass["share_correct"], float)
    gap = float(np.average(gaps, weights=n))
    where = "above" if gap > 0 else "below"
    return plane.chart(
        "reliability",
        title=f"{words.sure} against {words.so.lower()}",
        finding=f"On average {words.sure} is {abs(gap):.4f} {where} the {words.so.lower()}.",
        labels=(words.sure, words.so),
        ticks=(UNIT, UNIT),
        header=(f"Mean {words.sure}", words.so, f"{_LEVEL * 100:g} % interval", "Samples"),
        rows=tuple(table),
        lines=(plane.line([(0, 0), (1, 1)], colour=GREY, dash="2 4"),),
        dots=tuple(dots),
    )


def _histogram(width: dict[str, list[Any]], words: Words) -> Chart:
    ticks = nice_ticks(0, max(width["n"]), most=4)
    plane = Plane((0.0, 1.0), (0.0, ticks[-1]))
    columns = (width["low"], width["high"], width["n"], width["share_correct"])
    bins = [one for one in zip(*columns, strict=True) if one[2]]
    bars = (
        plane.bar(low, high, n, label=f"{low:.2f} to {high:.2f}: {n:,} samples") for low, high, n, _ in bins
    )
    last, total = bins[-1], sum(width["n"])
    return plane.chart(
        "confidence",
        title="How sure the model is",
        finding=f"{last[2]:,} of {total:,} samples have {words.sure} of {last[0]:.2f} or more.",
        labels=(words.sure, "Samples"),
        ticks=(UNIT, ticks),
        header=(words.sure, "Samples", words.so),
        rows=tuple((f"{low:.2f} to {high:.2f}", f"{n:,}", show(share)) for low, high, n, share in bins),
        bars=tuple(bars),
    )
