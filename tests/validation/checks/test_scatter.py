"""The sample that is drawn: bounded, fair, reproducible, the worst point always there."""

from __future__ import annotations

import numpy as np

from portinf.core.batch import Batch
from portinf.validation import Tolerance
from portinf.validation.checks.scatter import POINTS, Scatter


def drawn(values: np.ndarray, parts: int = 1, seed: int = 0) -> Scatter:
    check, first = Scatter(Tolerance(), seed=seed), 0
    for part in np.array_split(values, parts):
        batch = Batch(name=f"f{first}", stream="f", first_row=first, inputs={"x": part})
        other = part.copy()
        other[part == 77_777] += 1
        check.update({"y": part}, {"y": other}, batch)
        first += len(part)
    return check


def test_few_elements_are_all_there() -> None:
    (figure,) = drawn(np.arange(10, dtype=np.float32)).figures()
    assert figure.kind == "scatter" and sorted(figure.series[0].x) == list(range(10))
    assert len(figure.series) == 1


def test_many_are_drawn_evenly_with_the_worst() -> None:
    (figure,) = drawn(np.arange(100_000, dtype=np.float32), parts=7).figures()
    x = np.array(figure.series[0].x)
    assert len(x) + 1 == POINTS and len(set(x)) == len(x)
    counts = np.histogram(x, bins=10, range=(0, 100_000))[0]
    assert counts.min() > 60 and counts.max() < 145  # 100 each, five standard deviations
    assert (figure.series[1].x, figure.series[1].y) == ([77_777.0], [77_778.0])


def test_seeds() -> None:
    values = np.arange(5000, dtype=np.float32)
    assert drawn(values).figures() == drawn(values).figures() != drawn(values, seed=1).figures()


def test_points_are_finite() -> None:
    check = Scatter(Tolerance())
    values = np.array([1.0, np.nan, np.inf], np.float32)
    check.update({"y": values}, {"y": values}, Batch(name="f", inputs={}))
    assert check.figures()[0].series[0].x == [1.0]
    none = Scatter(Tolerance())
    none.update({"y": values[1:]}, {"y": values[1:]}, Batch(name="f", inputs={}))
    assert list(none.figures()) == []
