"""A figure of a report -> positions, ticks and paths of an SVG drawing; colours and fonts are the page's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from portinf.validation.check import Figure, Series

__all__ = ["Drawing", "Mark", "Tick", "draw"]

WIDTH, HEIGHT = 360.0, 240.0
NAMES = 50.0  # more height, for the names of positions
LEFT, RIGHT, TOP, BOTTOM = 52.0, 350.0, 10.0, 200.0
TICKS = 6
SMALLEST = 1e-300
NARROWEST = 1e-290  # below it, steps of an axis would be no numbers


@dataclass(frozen=True, kw_only=True)
class Tick:
    """One tick: its place along the axis and what it says."""

    place: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One series as it is drawn.

    Attributes:
        name: for the legend.
        kind: ``points``, ``line`` or ``bars``.
        places: (x, y) of each point.
        whiskers: (x, y of the upper end, y of the lower end) of each error bar.
        path: of the line, in SVG's own words.
    """

    name: str
    kind: str
    places: Sequence[tuple[float, float]]
    whiskers: Sequence[tuple[float, float, float]]
    path: str


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure in the units of its box.

    Attributes:
        width, height: of the whole box.
        left, right, top, bottom: edges of the plot in it.
        x_ticks, y_ticks: along the two axes.
        marks: one per series.
        diagonal: ends of the line of equality, (x, y, x, y); None where there is none.
        bar_width: of bars.
        ground: y at which bars stand.
    """

    marks: Sequence[Mark]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    diagonal: tuple[float, float, float, float] | None
    bar_width: float
    ground: float
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = RIGHT
    top: float = TOP
    bottom: float = BOTTOM


@dataclass(frozen=True)
class _Scale:
    """Maps values to places along one axis."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    def place(self, value: float) -> float:
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        part = ((math.log10(max(value, self.low)) if self.log else value) - low) / (high - low)
        return round(self.start + min(1.0, max(0.0, part)) * (self.end - self.start), 1)

    def ticks(self) -> list[Tick]:
        values = _decades(self.low, self.high) if self.log else _steps(self.low, self.high)
        return [Tick(place=self.place(value), label=_label(value, self.log)) for value in values]


def draw(figure: Figure) -> Drawing:
    """Return the drawing of a figure; points that are not finite, or not positive on a logarithmic axis, are left out."""
    shown = [_kept(series, figure) for series in figure.series]
    xs = [x for series in shown for x in series.x]
    ys = [y for series in shown for y in series.y]
    ends = [y + sign * error for s in shown for y, error in zip(s.y, s.errors, strict=False) for sign in (-1, 1)]
    if figure.kind == "scatter":
        xs, ys, ends = xs + ys, xs + ys, []
    horizontal = _scale(xs, LEFT, RIGHT, log=figure.log_x, pad=0.5 if figure.ticks else 0.0)
    zero = [0.0] if figure.kind == "bars" and not figure.log_y else []
    vertical = _scale([*ys, *ends, *zero], BOTTOM, TOP, log=figure.log_y, pad=0.0)
    if figure.kind == "bars" and figure.log_y:
        vertical = replace(vertical, low=vertical.low / 10)  # the smallest bar is to be seen
    step = (RIGHT - LEFT) / max(1, len(figure.ticks) or len(xs))
    return Drawing(
        marks=[_mark(series, figure.kind, horizontal, vertical) for series in shown],
        x_ticks=_named(figure.ticks, horizontal) if figure.ticks else horizontal.ticks(),
        y_ticks=vertical.ticks(),
        diagonal=_diagonal(horizontal, vertical) if figure.kind == "scatter" else None,
        bar_width=round(0.7 * step, 1),
        ground=vertical.place(0.0) if zero else BOTTOM,
        height=HEIGHT + (NAMES if figure.ticks else 0.0),
    )


def _kept(series: Series, figure: Figure) -> Series:
    errors = list(series.errors) or [0.0] * len(series.x)
    kept = [
        (x, y, error)
        for x, y, error in zip(series.x, series.y, errors, strict=True)
        if _shown(x, figure.log_x) and _shown(y, figure.log_y)
    ]
    columns = [list(column) for column in zip(*kept, strict=True)] or [[], [], []]
    finite = [error if math.isfinite(error) else 0.0 for error in columns[2]]
    return Series(name=series.name, x=columns[0], y=columns[1], errors=finite if series.errors else ())


def _shown(value: float, log: bool) -> bool:
    return math.isfinite(value) and abs(value) < 1e300 and (not log or value > SMALLEST)


def _scale(values: Sequence[float], start: float, end: float, *, log: bool, pad: float) -> _Scale:
    low, high = (min(values), max(values)) if values else (1.0, 10.0)
    if log:
        low, high = max(min(values, default=1.0), SMALLEST), max(high, SMALLEST)
        low = min((v for v in values if v > 0), default=0.1) if low <= SMALLEST else low
        low, high = 10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high))
        return _Scale(low, high if high > low else low * 10, start, end, log)
    span, size = high - low, abs(high)
    margin = pad or (0.04 * span if span > NARROWEST else 0.1 * size if size > NARROWEST else 1.0)
    return _Scale(low - margin, high + margin, start, end, log)


def _steps(low: float, high: float) -> list[float]:
    """Return round numbers between two ends."""
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((k * power for k in (1, 2, 5) if k * power >= rough), 10 * power)
    first = math.ceil(low / step)
    return [step * k for k in range(first, math.floor(high / step) + 1)]


def _decades(low: float, high: float) -> list[float]:
    first, last = round(math.log10(low)), round(math.log10(high))
    every = max(1, -(-(last - first) // TICKS))
    return [10.0**k for k in range(first, last + 1, every)]


def _label(value: float, log: bool) -> str:
    if log:
        return f"1e{round(math.log10(value))}" if not 0.01 <= value <= 1000 else f"{value:g}"
    return f"{0.0 if abs(value) < 1e-12 else value:.6g}"


def _named(names: Sequence[str], scale: _Scale) -> list[Tick]:
    every = max(1, -(-len(names) // 12))
    return [Tick(place=scale.place(float(k)), label=name) for k, name in enumerate(names) if k % every == 0]


def _diagonal(horizontal: _Scale, vertical: _Scale) -> tuple[float, float, float, float]:
    low, high = max(horizontal.low, vertical.low), min(horizontal.high, vertical.high)
    return horizontal.place(low), vertical.place(low), horizontal.place(high), vertical.place(high)


def _mark(series: Series, kind: str, horizontal: _Scale, vertical: _Scale) -> Mark:
    places = [(horizontal.place(x), vertical.place(y)) for x, y in zip(series.x, series.y, strict=True)]
    whiskers = [
        (place[0], vertical.place(y + error), vertical.place(y - error))
        for place, y, error in zip(places, series.y, series.errors, strict=False)
        if error > 0
    ]
    path = "M" + "L".join(f"{x} {y}" for x, y in places) if places else ""
    return Mark(
        name=series.name,
        kind={"scatter": "points", "points": "points", "lines": "line", "bars": "bars"}[kind],
        places=places,
        whiskers=whiskers,
        path=path,
    )
