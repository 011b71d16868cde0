"""Pictures as finished coordinates: what the SVG macros of the templates place, and the table under each.

Colours are Okabe and Ito's and stand in presentation attributes, which survive every content policy; each
line also has a dash, each point a shape.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

BLUE, VERMILLION, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#777777"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE)
DASHES = ("", "6 3", "2 3", "8 3 2 3")
Points = Sequence[tuple[float, float]]
_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 22.0, 24.0, 36.0
_ROW, _LABELS = 22.0, 190.0


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis."""

    at: str
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line, or the outline of an area."""

    points: str
    colour: str
    dash: str
    label: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A point with its interval along one axis; ends are None where there is none."""

    x: str
    y: str
    low: str | None
    high: str | None
    colour: str
    hollow: bool
    label: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar."""

    x: str
    y: str
    width: str
    height: str
    colour: str
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture.

    Attributes:
        id: Of its anchors.
        title, finding: What it is, and what it shows, in words.
        width, height: Of the view box.
        frame: x, y, width and height of the plane.
        horizontal: Whether intervals lie along x.
        x_label, y_label, x_ticks, y_ticks: The axes; with rows, ``y_ticks`` names them.
        lines, dots, bars: What is drawn.
        header, rows: The table under it.
    """

    id: str
    title: str
    finding: str
    width: str
    height: str
    frame: tuple[str, str, str, str]
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    horizontal: bool = False
    lines: tuple[Line, ...] = ()
    dots: tuple[Dot, ...] = ()
    bars: tuple[Bar, ...] = ()


@dataclass(frozen=True, slots=True)
class Plane:
    """Maps numbers to a square or oblong plane.

    Attributes:
        x, y: The range of each axis.
        width, height: Of the view box.
        left: Room for the labels of the y axis.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    width: float = 340.0
    height: float = 300.0
    left: float = _LEFT

    @property
    def frame(self) -> tuple[str, str, str, str]:
        """Return the plane's corner and size."""
        inner = self.width - self.left - _RIGHT, self.height - _TOP - _BOTTOM
        return _n(self.left), _n(_TOP), _n(inner[0]), _n(inner[1])

    def at_x(self, value: float) -> float:
        """Return where a number is across."""
        return self.left + (value - self.x[0]) / (self.x[1] - self.x[0]) * (self.width - self.left - _RIGHT)

    def at_y(self, value: float) -> float:
        """Return where a number is from the top."""
        return (
            self.height
            - _BOTTOM
            - (value - self.y[0]) / (self.y[1] - self.y[0]) * (self.height - _TOP - _BOTTOM)
        )

    def line(self, points: Points, *, colour: str, dash: str = "", label: str = "") -> Line:
        """Draw a line through points."""
        placed = " ".join(f"{_n(self.at_x(x))},{_n(self.at_y(y))}" for x, y in points)
        return Line(placed, colour, dash, label)

    def dot(
        self,
        x: float,
        y: float,
        *,
        across: tuple[float, float] | None = None,
        up: tuple[float, float] | None = None,
        colour: str = BLUE,
        hollow: bool = False,
        label: str = "",
    ) -> Dot:
        """Draw a point, with its interval across or up."""
        ends: tuple[str | None, str | None] = (None, None)
        if across is not None:
            ends = _n(self.at_x(across[0])), _n(self.at_x(across[1]))
        elif up is not None:
            ends = _n(self.at_y(up[0])), _n(self.at_y(up[1]))
        return Dot(_n(self.at_x(x)), _n(self.at_y(y)), *ends, colour, hollow, label)

    def bar(self, low: float, high: float, value: float, *, colour: str = BLUE, label: str = "") -> Bar:
        """Draw an upright bar from 0."""
        x, y, base = self.at_x(low), self.at_y(value), self.at_y(max(self.y[0], 0.0))
        return Bar(_n(x), _n(y), _n(max(self.at_x(high) - x - 1, 0.5)), _n(base - y), colour, label)

    def chart(
        self,
        id: str,  # noqa: A002 - of the page
        *,
        title: str,
        finding: str,
        labels: tuple[str, str],
        ticks: tuple[Sequence[float], Sequence[float]],
        header: tuple[str, ...],
        rows: tuple[tuple[str, ...], ...],
        lines: tuple[Line, ...] = (),
        dots: tuple[Dot, ...] = (),
        bars: tuple[Bar, ...] = (),
    ) -> Chart:
        """Put what was drawn on the plane into a picture; the x axis comes first in pairs."""
        return Chart(
            id,
            title,
            finding,
            _n(self.width),
            _n(self.height),
            self.frame,
            *labels,
            self.ticks("x", ticks[0]),
            self.ticks("y", ticks[1]),
            header,
            rows,
            lines=lines,
            dots=dots,
            bars=bars,
        )

    def ticks(self, axis: str, values: Sequence[float]) -> tuple[Tick, ...]:
        """Label some places of an axis."""
        place = self.at_x if axis == "x" else self.at_y
        digits = max((len(f"{value:.6f}".rstrip("0").partition(".")[2]) for value in values), default=0)
        return tuple(Tick(_n(place(value)), f"{value:,.{digits}f}") for value in values)


UNIT = (0.0, 0.25, 0.5, 0.75, 1.0)


def unit_plane() -> Plane:
    """Return the square of two shares."""
    return Plane((0.0, 1.0), (0.0, 1.0))


def nice_ticks(low: float, high: float, *, most: int = 6) -> list[float]:
    """Return round numbers that span a range."""
    span = max(high - low, 1e-12)
    raw = span / most
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first = math.floor(low / step)
    last = math.ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class RowPoint:
    """One row of a chart of rows: a name, a value and its interval."""

    name: str
    value: float
    interval: tuple[float, float] | None
    hollow: bool
    label: str


def row_chart(
    points: Sequence[RowPoint],
    *,
    id: str,  # noqa: A002 - of the page
    title: str,
    finding: str,
    x_label: str,
    header: tuple[str, ...],
    rows: tuple[tuple[str, ...], ...],
    mark: float | None = None,
) -> Chart:
    """Draw names downwards and values with intervals across; a dashed line marks one value."""
    ends = [end for point in points for end in (point.value, *(point.interval or ()))]
    ticks = nice_ticks(
        min([*ends, *([] if mark is None else [mark])]), max([*ends, *([] if mark is None else [mark])])
    )
    n = len(points)
    plane = Plane((ticks[0], ticks[-1]), (float(n), 0.0), 720.0, n * _ROW + _TOP + _BOTTOM, left=_LABELS)
    dots = tuple(
        plane.dot(
            point.value,
            position + 0.5,
            across=point.interval,
            colour=GREY if point.hollow else BLUE,
            hollow=point.hollow,
            label=point.label,
        )
        for position, point in enumerate(points)
    )
    lines = () if mark is None else (plane.line([(mark, 0), (mark, n)], colour=GREY, dash="4 3"),)
    names = tuple(
        Tick(_n(plane.at_y(position + 0.5)), _short(point.name)) for position, point in enumerate(points)
    )
    return Chart(
        id, title, finding, _n(plane.width), _n(plane.height), plane.frame, x_label, "",
        plane.ticks("x", ticks), names, header, rows, horizontal=True, lines=lines, dots=dots,
    )  # fmt: skip


def thinned(items: Sequence[tuple[str, ...]], most: int = 21) -> tuple[tuple[str, ...], ...]:
    """Return some lines of a long table, the ends among them."""
    if len(items) <= most:
        return tuple(items)
    places = sorted({round(k * (len(items) - 1) / (most - 1)) for k in range(most)})
    return tuple(items[place] for place in places)


def _short(name: str, most: int = 28) -> str:
    half = most // 2
    return name if len(name) <= most else f"{name[: half - 1]}…{name[-half:]}"


def _n(value: float) -> str:
    """Write a coordinate."""
    return f"{value:.1f}".removesuffix(".0")
