"""What a GitHub Actions job is told: annotations, the summary of its step, and outputs for later steps.

A step shows ten annotations of a kind, and a summary above 1 MiB is lost as a whole: hence the limits.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from evalkit.render.cases import WORDS, Account, Case, accounts, accuracy_of, said, worst_state
from evalkit.render.judged_run import JudgedRun
from evalkit.render.summaries import render_summaries

MAX_ANNOTATIONS = 9
MAX_SUMMARY = 256 * 1024


def annotations(runs: Sequence[JudgedRun]) -> list[str]:
    """Return workflow commands, a line each: what failed or cannot be judged, then what is doubtful.

    Of several runs each has a turn before one has a second, so that none hides the others.
    """
    found = accounts(runs)
    errors, warnings = (_by_turns(map(lines, found)) for lines in (_errors, _warnings))
    return [*_few("error", errors), *_few("warning", warnings)]


def step_summary(runs: Sequence[JudgedRun]) -> str:
    """Return Markdown of at most 256 KiB."""
    return render_summaries(runs, limit=MAX_SUMMARY)


def outputs(runs: Sequence[JudgedRun], exit_code: int, *, delimiter: str) -> str:
    """Return the lines that set the outputs of a step.

    Args:
        runs: All of the command.
        exit_code: Of the command.
        delimiter: A line that no value holds: random, so that nobody can know it.
    """
    found = accounts(runs)
    values = {
        "verdict": worst_state(found),
        "exit-code": str(exit_code),
        "gates-failed": str(sum(account.gates("failed") for account in found)),
        "gates-undecided": str(sum(account.gates("cannot_judge", "inconclusive") for account in found)),
        "warnings-failed": str(sum(_warned(run) for run in runs)),
        "report": "\n".join(run.report for run in runs if run.report is not None),
    }
    accuracy = accuracy_of(runs[0].result) if len(runs) == 1 else None
    if accuracy is not None:
        values["accuracy"] = repr(accuracy)
    return "".join(f"{key}<<{delimiter}\n{value}\n{delimiter}\n" for key, value in values.items())


def _warned(run: JudgedRun) -> int:
    """Return how many warnings count as failures."""
    return len(run.verdict.warnings) if run.verdict is not None and run.verdict.warned else 0


def _errors(account: Account) -> Iterator[str]:
    for case in account.cases:
        if case.state in ("failed", "error") and case.outcome != "inconclusive":
            yield _of_case(account, case, "error")


def _warnings(account: Account) -> Iterator[str]:
    verdict = account.run.verdict
    for case in account.cases:
        if case.outcome == "inconclusive" or (case.advisory and case.outcome != "passed"):
            yield _of_case(account, case, "warning")
    if verdict is not None and not verdict.warned:
        for text in verdict.warnings:
            yield _command("warning", f"evalkit {account.name}: warning", said(text))


def _by_turns(lines: Iterable[Iterable[str]]) -> list[str]:
    """Return the first line of each run, then the second of each, and so on."""
    return [line for turn in zip_longest(*lines) for line in turn if line is not None]


def _of_case(account: Account, case: Case, level: str) -> str:
    gate = "advisory gate" if case.advisory else "gate"
    what = f"{gate} {WORDS[case.outcome]}" if case.outcome else WORDS[case.state]
    text = "\n".join([case.message, *case.detail])
    at = None if case.gate is None else account.run.gates_at.get(case.gate)
    return _command(level, f"evalkit {account.name}: {what}", text, at=at)


def _few(level: str, lines: Sequence[str]) -> list[str]:
    """Keep as many as a step shows, the last of them saying how many there are besides."""
    more = len(lines) - MAX_ANNOTATIONS
    if more <= 0:
        return list(lines)
    rest = _command(level, "evalkit", f"and {more} more; the report has all of them")
    return [*lines[:MAX_ANNOTATIONS], rest]


def _command(level: str, title: str, text: str, *, at: tuple[str, int] | None = None) -> str:
    properties = {"title": title}
    if at is not None:
        properties |= {"file": at[0], "line": str(at[1])}
    written = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{level} {written}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
