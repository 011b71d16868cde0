"""The first screen: one sentence that says what ships, and what a reader must know beside it."""

from evalkit.display import MAX_TEXT, visible
from evalkit.errors import listed
from evalkit.render.facts import code_words
from evalkit.render.terms import Terms
from evalkit.render.words import accuracy_words
from evalkit.result import EvalResult
from evalkit.verdict import Outcome, Verdict

STATE_WORDS = {
    "passed": "passed",
    "failed": "failed",
    "inconclusive": "inconclusive",
    "cannot_judge": "cannot be judged",
    "none": "no gates set",
    "invalid": "invalid",
}
# What keeps a model from shipping, the worst first.
_OPEN: tuple[Outcome, ...] = ("failed", "cannot_judge", "inconclusive")


def state_of(result: EvalResult, verdict: Verdict | None) -> str:
    """Return the state that colours and icons go by."""
    return "invalid" if not result.valid else verdict.outcome if verdict else "none"


def heading(result: EvalResult, verdict: Verdict | None, terms: Terms) -> str:
    """Return the one sentence."""
    name, state = _subject(result), state_of(result, verdict)
    if state == "invalid":
        return f"{name}: INVALID, no number of this run can be trusted"
    if verdict is None or state == "none":
        return f"{name}: {accuracy_words(result)}, no {terms.gates} set"
    n_checks = sum(not check.advisory for check in verdict.checks)
    if state == "passed":
        return (
            f"{name}: all {n_checks} {terms.gates} passed"
            if n_checks > 1
            else f"{name}: the {terms.gate} passed"
        )
    if verdict.warned and not verdict.counted("failed"):
        n = len(verdict.warnings)
        return f"{name}: {n} warning{'s' if n > 1 else ''}, which count as failures (--strict)"
    found = [(verdict.counted(outcome), STATE_WORDS[outcome]) for outcome in _OPEN]
    first, *others = [(count, word) for count, word in found if count]
    rest = "".join(f", {count} {word}" for count, word in others)
    return f"{name}: {first[0]} of {n_checks} {terms.gates} {first[1]}{rest}"


def _subject(result: EvalResult) -> str:
    """Name the run and its data."""
    path = (result.spec.get("data") or {}).get("path")
    return f"{visible(result.name)} on {visible(str(path))}" if path else visible(result.name)


def summary(result: EvalResult) -> str:
    """Say how much is right, of how many."""
    size = f"{result.n_samples:,} samples, {len(result.class_names):,} classes"
    if result.positive_class is not None:
        size += f", positive is {visible(result.positive_class)} at {result.threshold!r} or above"
    return f"{accuracy_words(result)}: {size}" if result.valid else size


def notices(result: EvalResult, verdict: Verdict | None) -> tuple[str, ...]:
    """Return what is good to know."""
    found = list(code_words(result.model))
    found += [visible(text, limit=MAX_TEXT) for text in verdict.notes] if verdict else []
    found += _unasked(result)
    if result.partial is not None:
        shard = result.partial.shard
        which = "Partial" if shard is None else f"Shard {shard[0]} of {shard[1]}"
        found.append(f"{which}: {result.partial.limit} of {result.partial.of} samples were evaluated.")
    data = result.data
    if data.get("n_unreadable"):
        lost, of = data["n_unreadable"], data.get("n_samples")
        found.append(f"{lost} of {of} samples could not be read and were left out.")
    if data.get("classes_assumed"):
        found.append("Class names were assumed from the data itself.")
    if (data.get("skipped") or {}).get("n"):
        found.append(f"{data['skipped']['n']} files were skipped, because they are no images.")
    if data.get("n_ties"):
        rule = "lowest class index" if result.threshold is None else "positive side"
        found.append(f"{data['n_ties']} samples are ties; each went to the {rule}.")
    found += [f"{visible(row.detail, limit=MAX_TEXT)}." for row in result.integrity if row.status == "fail"]
    never = [row.class_name for row in result.metrics if row.metric == "support" and row.value == 0]
    if never:
        found.append(f"Classes without samples: {listed([visible(str(name)) for name in never])}.")
    return tuple(found)


def _unasked(result: EvalResult) -> list[str]:
    """Say what was not checked because the run was told so."""
    said = []
    if result.run.get("audit") == "off":
        said.append(
            "The model was not asked again (audit: off): chance or neighbours may be in these numbers."
        )
    if result.run.get("stochastic"):
        said.append("The model is meant to be random (stochastic: true): another run gives other numbers.")
    return said
