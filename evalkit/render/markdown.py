"""The summary as Markdown, from the same view as the page: for tickets, wikis and pull requests."""

import re
from collections.abc import Sequence

from evalkit.render.view import ReportView

MAX_CLASSES = 25
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+.!|~:@&$^=-])")


def render_markdown(view: ReportView) -> str:
    """Return verdict, words, metrics, gates, comparison and classes."""
    return "\n\n".join(markdown_sections(view)) + "\n"


def markdown_sections(view: ReportView) -> list[str]:
    """Return the same in sections, the most important first."""
    parts = [f"## {plain(view.heading)}", plain(view.summary)]
    said = [*(f"**Warning.** {plain(one)}" for one in view.warnings), *map(plain, view.notices)]
    if said:
        parts.append("\n".join(f"- {line}" for line in said))
    if view.words:
        parts.append(" ".join(map(plain, view.words)))
    if view.gates:
        lines = [(gate.word, gate.row, gate.rule, gate.sentence) for gate in view.gates]
        parts.append(markdown_table(("Result", "Row", "Rule", "In words"), lines))
    shown = [metric for metric in view.metrics if metric.headline]
    if shown:
        header = ("Metric", "Value", "Interval", "Counts", "Change", "Trivial model")
        found = [(m.label, m.value, m.interval, m.counts, m.change, m.trivial) for m in shown]
        parts.append(markdown_table(header, found))
    if view.classes:
        parts.append(_classes(view))
    signature = view.signature.replace("`", "'")
    return [*parts, f"`{signature}`"]


def _classes(view: ReportView) -> str:
    lines = [(row.name, *(text for text, _ in row.cells)) for row in view.classes[:MAX_CLASSES]]
    hidden = len(view.classes) - MAX_CLASSES
    more = f"\n\nand {hidden} more classes in the report" if hidden > 0 else ""
    found = markdown_table(view.class_columns, lines)
    return f"<details><summary>Classes</summary>\n\n{found}{more}\n\n</details>"


def markdown_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table whose cells stay text."""
    rows = [header, ["---"] * len(header), *([plain(cell) for cell in line] for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def plain(text: str) -> str:
    """Write text that stays text, whatever a name looks like."""
    return _SPECIAL.sub(r"\\\1", text).replace("\n", " ")
