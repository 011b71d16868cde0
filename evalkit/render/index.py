"""One page over many runs: what each says, how old it is, and what is in trouble."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from evalkit.display import visible
from evalkit.render.charts import BLUE, Chart, Plane, nice_ticks
from evalkit.render.heading import STATE_WORDS, state_of
from evalkit.render.numbers import interval_text, signed, signed_interval, value_text
from evalkit.result import EvalResult
from evalkit.rows import MetricRow, row_key
from evalkit.signature import question
from evalkit.verdict import Verdict

# The worst first.
_TROUBLE = ("invalid", "failed", "cannot_judge", "inconclusive", "none", "passed")
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory that was read.

    Attributes:
        folder: Where, relative to the page.
        result, verdict: Its documents.
        problem: Why it could not be read; then there is no result.
        word: What is said of it then.
    """

    folder: str
    result: EvalResult | None
    verdict: Verdict | None = None
    problem: str = ""
    word: str = "cannot be read"


@dataclass(frozen=True, slots=True)
class LineView:
    """One run of the page."""

    name: str
    folder: str
    state: str
    word: str
    metric: str
    value: str
    interval: str
    change: str
    samples: str
    date: str
    age: str
    rank: str


@dataclass(frozen=True, slots=True)
class IndexView:
    """The whole page: runs by trouble, and a line over time for each name that ran more than once."""

    heading: str
    lines: tuple[LineView, ...]
    charts: tuple[Chart, ...]


def index_view(runs: Sequence[Run]) -> IndexView:
    """Build the view; a pure function of the documents, so ages are against the newest run."""
    newest = max((when for run in runs if (when := _when(run)) is not None), default=None)
    ranks = _ranks(runs)
    ordered = sorted(runs, key=lambda run: (_TROUBLE.index(_state(run)), run.result is None, run.folder))
    lines = tuple(_line(run, newest, ranks.get(run.folder, "")) for run in ordered)
    bad = sum(line.state in ("invalid", "failed", "cannot_judge", "inconclusive") for line in lines)
    size = f"{len(runs)} run{'s' if len(runs) > 1 else ''}"
    heading = f"{size}: {bad} in trouble" if bad else f"{size}, none in trouble"
    return IndexView(heading, lines, tuple(_charts(runs)))


def _state(run: Run) -> str:
    return "invalid" if run.result is None else state_of(run.result, run.verdict)


def _line(run: Run, newest: datetime | None, rank: str) -> LineView:
    state = _state(run)
    if run.result is None:
        return LineView(
            visible(run.folder), visible(run.problem, limit=300), state, run.word,
            "", "", "", "", "", "", "", "",
        )  # fmt: skip
    result, row, when = run.result, headline(run.result), _when(run)
    return LineView(
        visible(result.name),
        visible(run.folder),
        state,
        STATE_WORDS[state] + _part(result),
        "" if row is None else row.metric.replace("_", " "),
        "" if row is None else value_text(row),
        "" if row is None else interval_text(row),
        _change(run, row),
        f"{result.n_samples:,}",
        "" if when is None else when.date().isoformat(),
        ""
        if when is None or newest is None
        else _age((newest.date() - when.date()).days, newest=newest == when),
        rank,
    )


def _part(result: EvalResult) -> str:
    """Say that a run is of a part of its data."""
    if result.partial is None:
        return ""
    shard = result.partial.shard
    return ", partial" if shard is None else f", shard {shard[0]} of {shard[1]}"


def headline(result: EvalResult) -> MetricRow | None:
    """Return the row that a run is known by: the share that is right."""
    metric = "subset_accuracy" if result.task == "multilabel" else "accuracy"
    return result.rows().get(row_key(metric))


def _change(run: Run, row: MetricRow | None) -> str:
    rows = ((run.verdict.comparison if run.verdict else None) or {}).get("rows") or ()
    for found in rows:
        if row is not None and found["metric"] == row.metric and found["difference"] is not None:
            bounds = signed_interval(found["low"], found["high"])
            text = signed(found["difference"], found["low"], found["high"])
            return f"{text} ({bounds})" if bounds else text
    return ""


def _when(run: Run) -> datetime | None:
    started = None if run.result is None else run.result.provenance.get("started")
    try:
        found = datetime.fromisoformat(str(started))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _age(days: int, *, newest: bool) -> str:
    if days == 0:
        return "newest" if newest else "same day"
    return f"{days} day{'s' if days > 1 else ''} older"


def _ranks(runs: Sequence[Run]) -> dict[str, str]:
    """Rank runs against each other where they answer the same question, and only there."""
    groups: dict[str, list[tuple[float, str]]] = {}
    for run in runs:
        row = None if run.result is None or not run.result.valid else headline(run.result)
        if run.result is not None and row is not None and row.value is not None:
            groups.setdefault(repr(question(run.result)), []).append((-float(row.value), run.folder))
    found = {}
    for members in groups.values():
        if len(members) < 2:  # noqa: PLR2004 - a rank is among several
            continue
        values = [value for value, _ in members]
        for value, folder in members:
            found[folder] = f"{1 + sum(other < value for other in values)} of {len(members)}"
    return found


def _charts(runs: Sequence[Run]) -> list[Chart]:
    """Draw the headline of every name that ran at more than one time on the same question."""
    series: dict[tuple[str, str], list[tuple[datetime, MetricRow]]] = {}
    for run in runs:
        when = _when(run)
        row = None if run.result is None else headline(run.result)
        if run.result is not None and when is not None and row is not None and row.value is not None:
            key = (run.result.name, repr(question(run.result)))
            series.setdefault(key, []).append((when, row))
    charts: list[Chart] = []
    for (name, _), points in sorted(series.items()):
        if len({when for when, _ in points}) > 1:
            charts.append(_chart(name, sorted(points, key=lambda point: point[0]), len(charts) + 1))
    return charts


def _chart(name: str, points: Sequence[tuple[datetime, MetricRow]], number: int) -> Chart:
    start = points[0][0]
    days = [(when - start).total_seconds() / _DAY for when, _ in points]
    values = [float(row.value or 0) for _, row in points]
    ends = [end for _, row in points for end in (row.low, row.high) if end is not None]
    x_ticks, y_ticks = nice_ticks(0, max(days)), nice_ticks(min([*values, *ends]), max([*values, *ends]))
    plane = Plane((x_ticks[0], x_ticks[-1]), (y_ticks[0], y_ticks[-1]), 720.0, 220.0)
    dots = tuple(
        plane.dot(
            day,
            value,
            up=(row.low, row.high) if row.low is not None and row.high is not None else None,
            label=f"{when.date().isoformat()}: {value_text(row)}",
        )
        for day, value, (when, row) in zip(days, values, points, strict=True)
    )
    last = points[-1]
    return plane.chart(
        f"history-{number}",
        title=f"{visible(name)} over time",
        finding=f"The newest is {value_text(last[1])}.",
        labels=(f"Days since {start.date().isoformat()}", last[1].metric.replace("_", " ").capitalize()),
        ticks=(x_ticks, y_ticks),
        header=("Date", "Value", "Interval"),
        rows=tuple((when.date().isoformat(), value_text(row), interval_text(row)) for when, row in points),
        lines=(plane.line(list(zip(days, values, strict=True)), colour=BLUE),),
        dots=dots,
    )
