"""Figures become drawings: every place inside the box, ticks that can be read, nothing drawn of what is not finite."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portinf.validation.check import Figure, Series
from portinf.validation.reports.svg import BOTTOM, LEFT, RIGHT, TOP, draw

NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=64)


def figure(kind: str, points: list[tuple[float, float]], *, log: bool = False, ticks: tuple[str, ...] = ()) -> Figure:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    series = (Series(name="a", x=xs, y=ys, errors=[abs(y) / 2 for y in ys]), Series(name="b", x=ys, y=xs))
    return Figure(kind=kind, title="t", x_label="x", y_label="y", series=series, log_x=log, log_y=log, ticks=ticks)  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@example([(0.0, 5e-324)], "scatter", False)
@example([(0.0, 1e-291), (1e-300, 1e-289)], "lines", False)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=20), st.sampled_from(["scatter", "lines", "bars"]), st.booleans())
def test_every_place_is_inside_the_box(points: list[tuple[float, float]], kind: str, log: bool) -> None:
    drawing = draw(figure(kind, points, log=log))
    for mark in drawing.marks:
        for x, y in [*mark.places, *((x, y) for x, *ys in mark.whiskers for y in ys)]:
            assert LEFT <= x <= RIGHT and TOP <= y <= BOTTOM
    assert all(LEFT <= tick.place <= RIGHT for tick in drawing.x_ticks)
    assert all(TOP <= tick.place <= BOTTOM for tick in drawing.y_ticks)


def test_ticks_are_round_numbers() -> None:
    drawing = draw(figure("lines", [(0.0, 0.0), (1.0, 0.9)]))
    assert [tick.label for tick in drawing.x_ticks][:3] == ["0", "0.2", "0.4"]
    logarithmic = draw(figure("lines", [(1e-4, 1e-4), (1.0, 1.0)], log=True))
    assert [tick.label for tick in logarithmic.x_ticks] == ["1e-4", "1e-3", "0.01", "0.1", "1"]


def test_a_scatter_has_one_scale_and_the_line_of_equality() -> None:
    drawing = draw(figure("scatter", [(0.0, 0.0), (1.0, 2.0)]))
    assert drawing.diagonal is not None
    assert [tick.label for tick in drawing.x_ticks] == [tick.label for tick in drawing.y_ticks]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_not_drawn(bad: float) -> None:
    drawing = draw(figure("lines", [(1.0, bad), (2.0, 1.0)]))
    assert len(drawing.marks[0].places) == 1
    assert figure("lines", [(1.0, bad), (2.0, 1.0)]).to_json()["series"][0]["x"] == [2.0]


def test_bars_stand_on_zero_and_are_named() -> None:
    drawing = draw(figure("bars", [(0.0, 3.0), (1.0, -1.0)], ticks=("first", "second")))
    assert [tick.label for tick in drawing.x_ticks] == ["first", "second"]
    assert TOP < drawing.ground < BOTTOM
