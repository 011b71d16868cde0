"""What a comparing check can see, in numbers and in a sentence."""

from typing import Any

from evalkit.compare.gap import Gap
from evalkit.display import show
from evalkit.uncertainty import normal_quantile
from evalkit.uncertainty.power import Design, Disagreement, Normal
from evalkit.verdict import Power


def power_of(gap: Gap, design: Design, allowed: float, *, level: float) -> Power | None:
    """Return what a check can see at the flips, or the error, of the comparison that it judged.

    Args:
        gap: The difference with its interval.
        design: How it is judged.
        allowed: The drop that is allowed; negative for a gain that is demanded.
        level: Of the gap's interval.
    """
    if gap.flips is not None:
        n = int(gap.flips.n)
        return power_of_share(n, int(gap.flips.gained + gap.flips.lost) / n, design, allowed)
    if gap.bounds is None:
        return None
    error = gap.error or (gap.bounds[1] - gap.bounds[0]) / (2 * normal_quantile(level))
    return power_of_error(error, design, allowed)


def power_of_share(n: int, disagreement: float, design: Design, allowed: float) -> Power:
    """Return what a check on a share of n samples can see, where two models disagree on so many of them."""
    models = Disagreement(n, disagreement)
    if allowed < 0:
        gain = models.smallest_gain(design, allowed)
        text = _gain(gain, allowed, _samples(gain, n))
        return _power(text, n_samples=n, disagreement=disagreement, gain=gain)
    margin, drop = models.smallest_margin(design), models.smallest_drop(design, allowed)
    errors = models.most_errors(design, allowed)
    told = _errors(errors)
    text = f"{_margin(margin, _samples(margin, n))}; {_drop(drop, allowed, _samples(drop, n), told)}"
    return _power(
        f"At {disagreement:.1%} disagreement on {n} samples {text}",
        n_samples=n,
        disagreement=disagreement,
        margin=margin,
        drop=drop,
        most_errors=errors,
    )


def power_of_family(gap: Gap, named: str, n_members: int, alpha: float, allowed: float) -> Power | None:
    """Return what a family can see in its smallest member, at the level of Holm's first step.

    Args:
        gap: The member's difference.
        named: What the member is called.
        n_members: How many are judged together.
        alpha: One-sided, for all of them.
        allowed: The drop that is allowed.
    """
    design = Design("interval", alpha / n_members)
    known: dict[str, Any] = {"error": gap.error}
    if gap.flips is not None:
        n, share = int(gap.flips.n), int(gap.flips.gained + gap.flips.lost) / int(gap.flips.n)
        known = {"n_samples": n, "disagreement": share}
        drop = Disagreement(n, share).smallest_drop(design, allowed)
    elif gap.error is not None:
        drop = Normal(gap.error).smallest_drop(design, allowed)
    else:
        return None
    seen = "no drop would fail" if drop is None else f"a true drop of {show(drop)} fails"
    text = f"Of {n_members} together the smallest, {named}: {seen} four times in five"
    return _power(text, **known, drop=drop)


def power_of_error(error: float, design: Design, allowed: float) -> Power:
    """Return the same for a difference that is known by its standard error."""
    normal = Normal(error)
    if allowed < 0:
        gain = normal.smallest_gain(design, allowed)
        return _power(_gain(gain, allowed, ""), error=error, gain=gain)
    margin, drop = normal.smallest_margin(design), normal.smallest_drop(design, allowed)
    text = f"{_margin(margin, '')}; {_drop(drop, allowed, '', '')}"
    return _power(f"At a standard error of {show(error)} {text}", error=error, margin=margin, drop=drop)


def _power(sentence: str, **known: float | None) -> Power:
    names = ("n_samples", "disagreement", "error", "margin", "drop", "gain", "most_errors")
    return Power(sentence=sentence, **{name: known.get(name) for name in names})  # type: ignore[arg-type]


def _margin(margin: float | None, samples: str) -> str:
    if margin is None:
        return "an equally good model never passes four times in five"
    return f"an equally good model passes four times in five from a margin of {show(margin)}{samples} on"


def _drop(drop: float | None, allowed: float, samples: str, errors: str) -> str:
    at = f"at {show(allowed)}{errors}"
    if drop is None:
        return f"{at} no drop would fail four times in five"
    return f"{at} a true drop of {show(drop)}{samples} fails four times in five"


def _gain(gain: float | None, allowed: float, samples: str) -> str:
    if gain is None:
        return f"No gain would pass {show(-allowed)} four times in five"
    return f"A true gain of {show(gain)}{samples} passes {show(-allowed)} four times in five"


def _samples(share: float | None, n: int) -> str:
    return "" if share is None else f" ({share * n:.0f} samples)"


def _errors(errors: int | None) -> str:
    if errors is None:
        return " (no number of errors passes)"
    if errors == 0:
        return " (not one more error passes)"
    return f" (at most {errors} more errors pass)" if errors > 0 else f" (only {-errors} fewer errors pass)"
