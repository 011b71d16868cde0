"""The console's tables: plain text from the same views as the page."""

from collections.abc import Sequence

from evalkit.render.comparison import FLIP_COLUMNS, ComparisonView
from evalkit.render.view import ReportView

MAX_CLASSES = 25


def render_text(view: ReportView) -> str:
    """Return the summary of a run; every line that holds a name is indented."""
    parts = [
        f"{view.heading}\n{view.summary}",
        *(f"  warning: {warning}" for warning in view.warnings),
        *(f"  note: {notice}" for notice in view.notices),
    ]
    if view.metrics:
        lines = [
            [
                metric.label,
                metric.value,
                metric.interval,
                metric.trivial,
                metric.counts or metric.note.partition(";")[0],
            ]
            for metric in view.metrics
        ]
        parts.append(table(["metric", "value", "interval", "trivial", ""], lines))
    if view.slices:
        parts.append(_slices(view))
    if view.classes:
        parts.append(_classes(view))
    if view.gates:
        lines = [[gate.word, gate.sentence] for gate in view.gates]
        parts.append(table([view.terms.gate, ""], lines, numeric=False))
        parts += [f"  {view.terms.gate} {gate.number}: {gate.power}" for gate in view.gates if gate.power]
    parts.append(f"  {view.signature}")
    return "\n".join(parts) + "\n"


def render_comparison(view: ComparisonView, *, title: str, level: float, said: Sequence[str]) -> str:
    """Return two runs side by side.

    Args:
        view: What changed.
        title: The first line.
        level: Of the intervals.
        said: Warnings and notes, a line each.
    """
    parts = [title, *(f"  {line}" for line in said)]
    header = ["metric", "baseline", "candidate", "difference", f"{level * 100:g} % interval", ""]
    parts.append(table(header, view.lines))
    parts += [f"  {line}" for line in view.common]
    if view.square:
        parts.append(f"  {', '.join(f'{count} {title}' for title, count, _ in view.square)}")
    parts += [f"  {line}" for line in view.sentences]
    if view.groups:
        parts.append(table([name.lower() for name in FLIP_COLUMNS], view.groups))
    return "\n".join(parts) + "\n"


def _slices(view: ReportView) -> str:
    lines = [
        [row.name, row.support, row.value, row.interval, row.difference, row.note]
        for row in view.slices[:MAX_CLASSES]
    ]
    label = view.slices[0].metric.lower()
    lines_of = table([view.terms.slice, "samples", label, "interval", "against the rest", ""], lines)
    hidden = len(view.slices) - MAX_CLASSES
    return f"{lines_of}\n  and {hidden} more {view.terms.slices} in the report" if hidden > 0 else lines_of


def _classes(view: ReportView) -> str:
    header = ["class", *view.class_columns[1:]]
    lines = [[row.name, *(text for text, _ in row.cells)] for row in view.classes[:MAX_CLASSES]]
    lines_of = table(header, lines)
    hidden = len(view.classes) - MAX_CLASSES
    return f"{lines_of}\n  and {hidden} more classes in the report" if hidden > 0 else lines_of


def table(header: Sequence[str], lines: Sequence[Sequence[str]], *, numeric: bool = True) -> str:
    """Return lines in aligned columns, the first to the left; every line is indented."""
    widths = [max(len(line[column]) for line in [header, *lines]) for column in range(len(header))]
    rows = [_line(line, widths, numeric=numeric) for line in [header, *lines]]
    return "\n".join(["", *rows, ""])


def _line(line: Sequence[str], widths: Sequence[int], *, numeric: bool) -> str:
    first, *rest = [
        text.rjust(width) if numeric and column else text.ljust(width)
        for column, (text, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  " + "  ".join([first, *rest]).rstrip()
