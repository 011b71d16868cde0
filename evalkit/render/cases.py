"""What CI is told of each run, once for all formats: its cases and their states, under names that differ."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from evalkit.display import MAX_TEXT, numbered, show, tell_apart, visible
from evalkit.errors import ExitCode, precedence
from evalkit.render.heading import STATE_WORDS, heading, notices, state_of
from evalkit.render.judged_run import JudgedRun
from evalkit.render.numbers import digits_of
from evalkit.render.terms import terms_of
from evalkit.render.words import accuracy_words
from evalkit.result import EvalResult
from evalkit.rows import describe, row_key
from evalkit.verdict import Check, Member, Outcome, Verdict

State = Literal["passed", "failed", "error", "skipped"]
MAX_MEMBERS = 20
WORDS = {**STATE_WORDS, "error": "ended with an error"}
# The worst first, of those with one exit code.
_TROUBLE = ("error", "invalid", "failed", "cannot_judge", "inconclusive", "passed", "none")
_STATES: dict[Outcome, State] = {
    "passed": "passed",
    "failed": "failed",
    "cannot_judge": "error",
    "inconclusive": "error",
}
_USUAL_JUDGES = {"min": "point", "max": "point", "max_drop": "guard", "min_gain": "guard"}


@dataclass(frozen=True, slots=True)
class Case:
    """One line of a test report.

    Attributes:
        name: Unique in its run.
        group: run, overall, classes or slices.
        state: passed; failed; error, where nothing could be decided; skipped, where it has no say.
        message: What came out, in a sentence.
        detail: More about it, a line each.
        outcome: Of the check behind it; None where there is none.
        gate: Whose check it is; None for other lines.
        advisory: Whether that check has no say.
    """

    name: str
    group: str
    state: State
    message: str
    detail: tuple[str, ...] = ()
    outcome: Outcome | None = None
    gate: int | None = None
    advisory: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """A run as it is told.

    Attributes:
        run: Whose.
        name: Nothing hides in it, and no other run of the command has it.
        state: error, invalid, failed, cannot_judge, inconclusive, passed or none.
        cases: At least one.
    """

    run: JudgedRun
    name: str
    state: str
    cases: tuple[Case, ...]

    def counted(self, *states: State) -> int:
        """Return how many cases are in one of these states."""
        return sum(case.state in states for case in self.cases)

    def gates(self, *outcomes: Outcome) -> int:
        """Return how many checks that count came out so."""
        return sum(
            case.outcome in outcomes and case.gate is not None and not case.advisory for case in self.cases
        )


def accounts(runs: Sequence[JudgedRun]) -> tuple[Account, ...]:
    """Tell of each run."""
    names = numbered(visible(run.name) for run in runs)
    return tuple(Account(run, name, _state(run), _cases(run)) for run, name in zip(runs, names, strict=True))


def worst_state(found: Sequence[Account]) -> str:
    """Return the state of the run that decides the exit code; none where there is no run."""
    first = min(found, key=_trouble, default=None)
    return "none" if first is None else first.state


def _trouble(account: Account) -> tuple[float, int]:
    code = ExitCode(account.run.exit_code)
    return precedence(code, valid=not is_invalid(account.run)), _TROUBLE.index(account.state)


def is_invalid(run: JudgedRun) -> bool:
    """Return whether a run has no numbers; where it left no documents its last words say so."""
    if run.result is not None:
        return not run.result.valid
    return run.problem is not None and problem_slug(run.problem) == "invalid-run"


def problem_slug(problem: str) -> str:
    """Return the slug of ``error[slug]: ...``."""
    return problem.partition("[")[2].partition("]")[0]


def said(text: str) -> str:
    """Return a sentence in one visible line."""
    return visible(" ".join(text.split()), limit=MAX_TEXT)


def accuracy_of(result: EvalResult | None) -> float | None:
    """Return the share right, of label sets those with every label right; None where there is none."""
    rows = {} if result is None else result.rows()
    found = rows.get(row_key("accuracy")) or rows.get(row_key("subset_accuracy"))
    return None if found is None else found.value


def accuracy_text(result: EvalResult | None) -> str:
    """Say how much is right; nothing where nothing was measured."""
    return accuracy_words(result) if result is not None and result.valid else ""


def _state(run: JudgedRun) -> str:
    if run.result is not None and not run.result.valid:
        return "invalid"
    if run.problem is not None or (run.result is None and run.verdict is None):
        return "error"
    if run.verdict is not None:
        return run.verdict.outcome
    return "none"


def _cases(run: JudgedRun) -> tuple[Case, ...]:
    found = list(_all_cases(run))
    names = numbered(case.name for case in found)
    return tuple(replace(case, name=name) for case, name in zip(found, names, strict=True))


def _all_cases(run: JudgedRun) -> Iterator[Case]:
    """Yield the cases; where a command ended with an error one of them says so, whatever else was judged."""
    verdict = run.verdict
    for check in verdict.checks if verdict else ():
        yield _case(check, run.report)
        yield from _outside(check)
    if verdict is not None and verdict.warned:
        yield _warnings(verdict)
    if run.problem is not None:
        name = said(run.problem.partition(":")[0])
        yield Case(name, "run", "error", said(run.problem))
    elif verdict is None or not verdict.checks:
        yield _whole(run)


def _whole(run: JudgedRun) -> Case:
    """Tell of a run of which nothing was demanded."""
    result = run.result
    if result is None:
        return Case("run", "run", "error", f"ended with exit code {run.exit_code}")
    state: State = "passed" if state_of(result, run.verdict) != "invalid" else "error"
    return Case(
        "run", "run", state, heading(result, run.verdict, terms_of(result)), notices(result, run.verdict)
    )


def _warnings(verdict: Verdict) -> Case:
    n = len(verdict.warnings)
    message = f"{n} warning{'s' if n > 1 else ''}, which count as failures (--strict)"
    return Case("warnings", "run", "failed", message, tuple(said(text) for text in verdict.warnings))


def _case(check: Check, report: str | None) -> Case:
    sentence = said(check.sentence)
    return Case(
        _name(check),
        _group(check),
        "skipped" if check.advisory else _STATES[check.outcome],
        f"advisory: {sentence}" if check.advisory else sentence,
        tuple(_detail(check, report)),
        check.outcome,
        check.gate,
        check.advisory,
    )


def _name(check: Check, member: Member | None = None) -> str:
    """Name a check by its row and its rule: what stays the same from one run to the next."""
    row = check if member is None else member
    key = row_key(
        check.metric,
        params=check.params,
        average=check.average,
        class_name=row.class_name,
        slice_=row.slice,
    )
    limit = repr(check.limit).removesuffix(".0")
    usual = "interval" if _is_family(check) else _USUAL_JUDGES[check.rule]
    by = "" if check.judge == usual else f", by {visible(check.judge)}"
    return f"{visible(describe(key), limit=MAX_TEXT)} {check.rule} {limit}{by}"


def _is_family(check: Check) -> bool:
    return "*" in (check.class_name, *(check.slice or {}).values())


def _group(check: Check) -> str:
    if check.slice is not None:
        return "slices"
    return "overall" if check.class_name is None else "classes"


def _detail(check: Check, report: str | None) -> Iterator[str]:
    yield f"{check.rule} {check.limit!r}, by {visible(check.judge)}: {STATE_WORDS[check.outcome]}"
    if check.value is not None:
        yield f"value {_held(check.value, check)}"
    if check.baseline_value is not None:
        yield f"baseline {show(check.baseline_value)}, drop {_held(check.drop, check)}"
    if check.low is not None and check.high is not None and check.level is not None:
        of = "value" if check.drop is None else "drop"
        digits = digits_of(check.low, check.high)
        bounds = f"{show(check.low, digits)} to {show(check.high, digits)}"
        yield f"{check.level * 100:g} % interval of the {of} {bounds}"
    if check.power is not None:
        yield said(check.power.sentence)
    yield from _members(check)
    if report is not None:
        yield f"report {visible(report, limit=MAX_TEXT)}#gate-{check.gate + 1}"


def _held(value: float | None, check: Check) -> str:
    """Write a number with as many digits as it takes to see that it is not the limit."""
    return tell_apart(value, check.limit)[0]


def _members(check: Check) -> Iterator[str]:
    """Say which members of a family are in trouble, and how many have too few samples."""
    bad = [one for one in check.members if one.outcome not in (None, "passed")]
    for member in bad[:MAX_MEMBERS]:
        found = ("value", member.value) if member.drop is None else ("drop", member.drop)
        word = WORDS[member.outcome or "none"]
        yield (
            f"{_name(check, member)}: {word}, {found[0]} {_held(found[1], check)}, {member.support} samples"
        )
    if len(bad) > MAX_MEMBERS:
        yield f"and {len(bad) - MAX_MEMBERS} more in the report"
    few = sum(member.outcome is None for member in check.members)
    if few:
        yield f"outside the verdict: {few} of {len(check.members)}"


def _outside(check: Check) -> Iterator[Case]:
    """Tell of members that a family is judged without, where it is not simply passed."""
    if check.outcome == "passed" or check.advisory:
        return
    few = [member for member in check.members if member.outcome is None and member.reason == "insufficient"]
    for member in few[:MAX_MEMBERS]:
        message = f"{member.support} samples are too few, and it is outside the verdict"
        yield Case(_name(check, member), _group(check), "skipped", message)
