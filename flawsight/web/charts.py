"""Line charts as inline SVG, each with its figures as a table. Pure; colours come from the sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from flawsight.i18n import number

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 14, 48
TICKS = 4
ROWS = 21  # of a table; a finer curve is thinned out there
Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One line, or dots where ``dots`` is set; ``spans`` are (low, high) of each point's interval."""

    name: str
    points: Sequence[Point]
    spans: Sequence[tuple[float, float]] = ()
    dots: bool = False


@dataclass(frozen=True)
class Mark:
    """A vertical line with a name."""

    x: float
    name: str


@dataclass(frozen=True)
class Chart:
    """A drawn chart with its legend and its figures."""

    title: str
    svg: Markup
    legend: list[str]
    head: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Axis:
    """What runs along one side; ``percent`` axes hold shares."""

    label: str
    low: float
    high: float
    percent: bool = False

    def text(self, value: float) -> str:
        if self.percent:
            return f"{number(100 * value, 0 if self.high - self.low > 0.05 else 1)} %"
        span = self.high - self.low
        return number(value, 0 if span >= TICKS and float(value).is_integer() else 2 if span > 0.1 else 4)


def line_chart(
    title: str, series: Sequence[Series], x: Axis, y: Axis, marks: Sequence[Mark] = (), diagonal: bool = False
) -> Chart:
    """All of ``series`` over one pair of axes."""
    parts = [_grid(x, y)]
    if diagonal:
        parts.append(_path([(x.low, y.low), (x.high, y.high)], x, y, "diagonal"))
    for i, one in enumerate(series):
        for (at, _), (low, high) in zip(one.points, one.spans, strict=False):
            parts.append(_path([(at, low), (at, high)], x, y, f"span s{i}"))
        parts.append(
            Markup("").join(_dot(p, x, y, i) for p in one.points)
            if one.dots
            else _path(one.points, x, y, f"line s{i}")
        )
    for i, mark in enumerate(marks):
        at = _x(mark.x, x)
        on_left = at > WIDTH / 2
        parts.append(
            Markup('<line class="mark" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(
                _n(at), TOP, HEIGHT - BOTTOM
            )
            + Markup('<text class="mark-name" x="{}" y="{}" text-anchor="{}">{}</text>').format(
                _n(at + (-5 if on_left else 5)), TOP + 14 + 17 * i, "end" if on_left else "start", mark.name
            )
        )
    svg = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, title, Markup("").join(parts)
    )
    return Chart(
        title, svg, [one.name for one in series], [x.label, *(s.name for s in series)], _rows(series, x, y)
    )


def top_of(values: Sequence[float]) -> float:
    """A round number not below any of ``values``, for the end of an axis."""
    highest = max((value for value in values), default=0.0)
    if highest <= 0:
        return 1.0
    scale = 1.0
    while scale > highest:
        scale /= 10
    while scale * 10 <= highest:
        scale *= 10
    return next(scale * step for step in (1, 2, 2.5, 5, 10) if scale * step >= highest * (1 - 1e-9))


def _rows(series: Sequence[Series], x: Axis, y: Axis) -> list[list[str]]:
    places = sorted({point[0] for one in series for point in one.points})
    if len(places) > ROWS:
        places = [places[round(i * (len(places) - 1) / (ROWS - 1))] for i in range(ROWS)]
    known = [
        {
            point[0]: y.text(point[1])
            + (f" ({y.text(one.spans[i][0])} – {y.text(one.spans[i][1])})" if one.spans else "")
            for i, point in enumerate(one.points)
        }
        for one in series
    ]
    return [[x.text(place), *(values.get(place, "") for values in known)] for place in places]


def _grid(x: Axis, y: Axis) -> Markup:
    lines = []
    for i in range(TICKS + 1):
        at_y, at_x = y.low + (y.high - y.low) * i / TICKS, x.low + (x.high - x.low) * i / TICKS
        row, column = _y(at_y, y), _x(at_x, x)
        lines += [
            Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                LEFT, WIDTH - RIGHT, _n(row), _n(row)
            ),
            Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(
                LEFT - 7, _n(row + 5), y.text(at_y)
            ),
            Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(
                _n(column), HEIGHT - BOTTOM + 19, "end" if i == TICKS else "middle", x.text(at_x)
            ),
        ]
    lines.append(
        Markup('<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            _n((LEFT + WIDTH - RIGHT) / 2), HEIGHT - 7, x.label
        )
    )
    return Markup("").join(lines)


def _path(points: Sequence[Point], x: Axis, y: Axis, kind: str) -> Markup:
    places = " ".join(f"{_n(_x(px, x))},{_n(_y(py, y))}" for px, py in points)
    return Markup('<polyline class="{}" points="{}"/>').format(kind, escape(places))


def _dot(point: Point, x: Axis, y: Axis, i: int) -> Markup:
    return Markup('<circle class="dot-mark s{}" cx="{}" cy="{}" r="4.5"/>').format(
        i, _n(_x(point[0], x)), _n(_y(point[1], y))
    )


def _x(value: float, axis: Axis) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * _share(value, axis)


def _y(value: float, axis: Axis) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * _share(value, axis)


def _share(value: float, axis: Axis) -> float:
    return min(1.0, max(0.0, (value - axis.low) / ((axis.high - axis.low) or 1.0)))


def _n(value: float) -> str:
    return f"{value:.1f}"
