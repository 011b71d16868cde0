"""Whether two runs answer the same question, and what a reader must know although they do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.result import EvalResult
from evalkit.signature import SAMPLES, question

# How far statistics of inputs may differ, as a share of their spread, and still count as the same.
_SAME_STATISTICS = 1e-3


@dataclass(frozen=True, slots=True)
class Remarks:
    """What is said beside a comparison.

    Attributes:
        warnings: What may make it worthless; a failure where the caller is strict.
        notes: What is good to know.
    """

    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def obstacles(candidate: EvalResult, baseline: EvalResult) -> tuple[str, ...]:
    """Return what keeps two runs from being compared; empty where nothing does."""
    found = [] if baseline.valid else ["the baseline is an invalid run"]
    if baseline.partial is not None:
        found.append("the baseline is a partial run")
    ours, theirs = question(candidate), question(baseline)
    return (*found, *(f"another {name}" for name in ours if ours[name] != theirs[name]))


def only_data_changed(found: Sequence[str]) -> bool:
    """Return whether the samples, or their labels, are all that keeps two runs apart."""
    return list(found) == [f"another {SAMPLES}"]


def is_same_model(candidate: EvalResult, baseline: EvalResult) -> bool:
    """Return whether weights and inputs are the same, to the bit."""
    return all(
        candidate.digests.get(name) is not None and candidate.digests[name] == baseline.digests.get(name)
        for name in ("weights", "inputs")
    )


def remarks(candidate: EvalResult, baseline: EvalResult) -> Remarks:
    """Say what the digests of inputs and the thresholds show."""
    notes = []
    if candidate.threshold != baseline.threshold:
        notes.append(
            f"The two models decide by other thresholds: {baseline.threshold!r} before, "
            f"{candidate.threshold!r} now."
        )
    if is_same_model(candidate, baseline):
        same = "Nothing was compared: the baseline is the same model on the same inputs."
        return Remarks((same,), tuple(notes))
    if candidate.digests.get("inputs") == baseline.digests.get("inputs"):
        return Remarks(notes=tuple(notes))
    fed = "The two models were fed other inputs (another preprocessing, or another data file)"
    change = _changed_statistics(candidate.data, baseline.data)
    if change is None:
        return Remarks(notes=(*notes, f"{fed}; their statistics agree within 0.1 %."))
    weights = candidate.digests.get("weights")
    alike = weights is not None and weights == baseline.digests.get("weights")
    same = " The weights are the same: only the inputs are compared." if alike else ""
    return Remarks((f"{fed}: {change}; a forgotten scaling looks just like it.{same}",), tuple(notes))


def _changed_statistics(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """Name the first statistic of the inputs that differs; None where all agree."""
    new, old = (facts.get("input_statistics") or {} for facts in (ours, theirs))
    if not (new and old):
        return "their statistics were not recorded"
    for name in ("mean", "std", "min", "max"):
        mine, other = new.get(name) or [], old.get(name) or []
        if len(mine) != len(other):
            return f"{len(other)} channels before, {len(mine)} now"
        for channel, (value, before) in enumerate(zip(mine, other, strict=True)):
            spread = (old.get("std") or [0.0] * len(other))[channel]
            if abs(value - before) > _SAME_STATISTICS * max(abs(before), spread):
                where = f" of channel {channel}" if len(mine) > 1 else ""
                return f"{name}{where} was {before:.4g} and is {value:.4g}"
    return None
