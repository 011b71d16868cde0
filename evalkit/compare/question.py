"""Whether two runs answer the same question, and what a reader must know although they do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.result import EvalResult
from evalkit.signature import SAMPLES, question

# How far statistics of inputs may differ, as a share of their spread, and still count as the same.
_SAME_STATISTICS, _FAR = 1e-3, 0.1
_FED = "The two models were fed other inputs (another preprocessing, or another data file)"
_UNKNOWN = "Whether the two models were fed the same is not known: a table of predictions does not say."
_COUNTED = "Counts do not say whose they are: only the number of samples of each class is known to agree."
_LOOKS_LIKE = "a forgotten scaling looks just like it"
_RESAVED = (
    "The baseline holds the same weights in another file: of the two models' weights nothing was compared."
)
_SAME_WEIGHTS = f"The weights are the same: only the inputs are compared, and {_LOOKS_LIKE}."


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
    if not baseline.valid:
        return (_invalid(baseline),)
    found = []
    if baseline.partial is not None:
        found.append("the baseline is a partial run")
    ours, theirs = question(candidate), question(baseline)
    return (*found, *(f"another {name}" for name in ours if ours[name] != theirs[name]))


def _invalid(baseline: EvalResult) -> str:
    """Say why a baseline is an invalid run."""
    reasons = [row.detail for row in baseline.integrity if row.status == "fail"]
    return f"the baseline is an invalid run{''.join(f': {reason}' for reason in reasons[:1])}"


def only_data_changed(found: Sequence[str]) -> bool:
    """Return whether the samples, or their labels, are all that keeps two runs apart."""
    return list(found) == [f"another {SAMPLES}"]


def is_same_model(candidate: EvalResult, baseline: EvalResult) -> bool:
    """Return whether weights and inputs are the same, to the bit, and the threshold and the precision, too.

    Results without weights are the same if their documents are; what their tables say is asked of those
    (:meth:`~evalkit.compare.joined.Tables.are_one`).
    """
    if candidate.digests.get("weights") is None and baseline.digests.get("weights") is None:
        return candidate == baseline or _same_table(candidate, baseline)
    return computed_alike(candidate, baseline) and all(
        candidate.digests.get(name) is not None and candidate.digests[name] == baseline.digests.get(name)
        for name in ("weights", "inputs")
    )


def computed_alike(candidate: EvalResult, baseline: EvalResult) -> bool:
    """Return whether equal answers would be decided, and were computed, in the same way."""
    return candidate.threshold == baseline.threshold and _precision(candidate) == _precision(baseline)


def _precision(result: EvalResult) -> str:
    return str(result.run.get("precision") or "exact")


def _same_table(candidate: EvalResult, baseline: EvalResult) -> bool:
    """Return whether two results were scored from the same columns of the same table."""
    ours, theirs = (
        (
            one.data.get("sha256"),
            one.threshold,
            {
                key: (one.spec.get("data") or {}).get(key)
                for key in ("label", "prediction", "scores", "count")
            },
        )
        for one in (candidate, baseline)
    )
    scored = all(one.data.get("source") == "predictions" for one in (candidate, baseline))
    return scored and ours[0] is not None and ours == theirs


def have_same_weights(candidate: EvalResult, baseline: EvalResult) -> bool:
    """Return whether two models hold the same parameters and buffers, from whatever file."""
    return any(
        candidate.digests.get(name) is not None and candidate.digests[name] == baseline.digests.get(name)
        for name in ("weights", "parameters")
    )


def remarks(candidate: EvalResult, baseline: EvalResult, *, same: bool) -> Remarks:
    """Say what the digests of inputs and the thresholds show.

    Args:
        candidate, baseline: The two runs.
        same: They are one.
    """
    if not baseline.valid:
        return Remarks((f"Nothing was compared: {_invalid(baseline)}.",))
    if same:
        return Remarks(("Nothing was compared: the baseline is the same model on the same inputs.",))
    notes = []
    if "counted" in (candidate.data.get("ids"), baseline.data.get("ids")):
        notes.append(_COUNTED)
    if candidate.threshold != baseline.threshold:
        notes.append(
            f"The two models decide by other thresholds: {baseline.threshold!r} before, "
            f"{candidate.threshold!r} now."
        )
    kinds = _precision(baseline), _precision(candidate)
    if kinds[0] != kinds[1]:
        notes.append(f"The two runs computed otherwise: precision {kinds[0]} before, {kinds[1]} now.")
    warnings, more = _of_inputs(candidate, baseline)
    return Remarks(warnings, (*notes, *more))


def _of_inputs(candidate: EvalResult, baseline: EvalResult) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return warnings and notes on what the two models were fed."""
    alike = have_same_weights(candidate, baseline)
    if candidate.digests.get("inputs") == baseline.digests.get("inputs"):
        return ((_RESAVED,) if alike and computed_alike(candidate, baseline) else ()), ()
    if None in (candidate.digests.get("inputs"), baseline.digests.get("inputs")):
        return (), (_UNKNOWN,)
    change = _changed_statistics(candidate.data, baseline.data, tolerance=_SAME_STATISTICS)
    if alike:
        change = change or "their statistics agree within 0.1 %"
        return (f"{_FED}: {change}. {_SAME_WEIGHTS}",), ()
    if change is None:
        return (), (f"{_FED}; their statistics agree within 0.1 %.",)
    return (f"{_FED}: {change}; {_LOOKS_LIKE}.",), ()


def on_changed_data(candidate: EvalResult, baseline: EvalResult, overlap: str) -> Remarks:
    """Say the same of runs whose data changed: their inputs differ anyhow, a scaling by far."""
    found = remarks(candidate, baseline, same=False)
    notes = (f"The data changed: {overlap}.", *found.notes)
    change = _changed_statistics(candidate.data, baseline.data, tolerance=_FAR, names=("mean", "std"))
    if change is None and not have_same_weights(candidate, baseline):
        return Remarks(notes=notes)
    return Remarks(found.warnings, notes)


def _changed_statistics(
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    *,
    tolerance: float,
    names: Sequence[str] = ("mean", "std", "min", "max"),
) -> str | None:
    """Name the first statistic of the inputs that differs; None where all agree."""
    new, old = (facts.get("input_statistics") or {} for facts in (ours, theirs))
    if not (new and old):
        return "their statistics were not recorded"
    for name in names:
        mine, other = new.get(name) or [], old.get(name) or []
        if len(mine) != len(other):
            return f"{len(other)} channels before, {len(mine)} now"
        for channel, (value, before) in enumerate(zip(mine, other, strict=True)):
            spread = (old.get("std") or [0.0] * len(other))[channel]
            if abs(value - before) > tolerance * max(abs(before), spread):
                where = f" of channel {channel}" if len(mine) > 1 else ""
                return f"{name}{where} was {before:.4g} and is {value:.4g}"
    return None
