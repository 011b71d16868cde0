"""Several runs in one Markdown text that fits: a table with a row a model, then each run's summary."""

from collections.abc import Iterator, Sequence

from evalkit.display import MAX_TEXT, visible
from evalkit.render.cases import WORDS, Account, accounts, accuracy_text, said
from evalkit.render.judged_run import JudgedRun
from evalkit.render.markdown import markdown_sections, markdown_table, plain
from evalkit.render.view import report_view

# A pull request takes 65,536 characters.
MAX_COMMENT = 64_000
# By this line a bot finds the comment that it wrote before.
MARKER = "<!-- evalkit -->"


def render_comment(runs: Sequence[JudgedRun]) -> str:
    """Return a comment for a pull request."""
    return f"{MARKER}\n\n{render_summaries(runs, limit=MAX_COMMENT - len(MARKER) - 2)}"


def render_summaries(runs: Sequence[JudgedRun], *, limit: int) -> str:
    """Return a table of the runs and each run's summary.

    Args:
        runs: All of the command.
        limit: Bytes of UTF-8; beyond it whole sections are cut from the end, and that is said.
    """
    found = accounts(runs)
    sections = [section for account in found for section in _sections(account)]
    return _fitting([_table(found), *sections], limit)


def _table(found: Sequence[Account]) -> str:
    return markdown_table(
        ("Outcome", "Model", "Right", "Gates", "Exit", "Report"), [_row(one) for one in found]
    )


def _row(account: Account) -> tuple[str, ...]:
    run = account.run
    return (
        WORDS[account.state],
        account.name,
        accuracy_text(run.result),
        gates_text(account),
        str(run.exit_code),
        "" if run.report is None else visible(run.report, limit=MAX_TEXT),
    )


def gates_text(account: Account) -> str:
    """Say how many checks passed, failed or could not be decided, and how many warnings count as failures."""
    counts = {
        "passed": account.gates("passed"),
        "failed": account.gates("failed"),
        "undecided": account.gates("cannot_judge", "inconclusive"),
    }
    told = [f"{count} {word}" for word, count in counts.items() if count]
    verdict = account.run.verdict
    if verdict is not None and verdict.warned:
        n = len(verdict.warnings)
        told.append(f"{n} warning{'s' if n > 1 else ''} (--strict)")
    return ", ".join(told) or "none"


def _sections(account: Account) -> Iterator[str]:
    run = account.run
    if run.result is None:
        yield f"## {plain(account.name)}: {plain(said(run.problem or WORDS[account.state]))}"
        return
    sections = markdown_sections(report_view(run.result, run.verdict))
    yield sections[0]
    if run.problem is not None:
        yield plain(said(run.problem))
    yield from sections[1:]


def _fitting(sections: Sequence[str], limit: int) -> str:
    """Join as many sections as fit, and say how many were cut."""
    kept = list(sections)
    text = _joined(kept)
    while kept and len(text.encode("utf-8", "backslashreplace")) > limit:
        kept.pop()
        cut = len(sections) - len(kept)
        text = _joined([*kept, f"*{cut} sections were cut here, because the text was too long.*"])
    return text


def _joined(sections: Sequence[str]) -> str:
    return "\n\n".join(sections) + "\n"
