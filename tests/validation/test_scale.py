"""The scale of a column: what is typical for it, whatever a few numbers in it are, and which numbers make a column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portinf.core.batch import Array
from portinf.core.signature import Axis, Signature, TensorSpec
from portinf.validation.scale import FEWEST, Scale, Sizes, scale_of

RNG = np.random.default_rng(2)
NORMAL = RNG.normal(size=1000).astype(np.float32)


def scales(*columns: Any, dtype: str = "float32") -> list[float]:
    """Return the scale of each column of a matrix."""
    return list(scale_of([np.stack(columns, axis=1).astype(dtype)], (1,)).values)


def of(column: Any, dtype: str = "float32") -> float:
    return scales(column, dtype=dtype)[0]


@pytest.mark.parametrize("size", [1e-20, 1e-6, 1e-3, 1.0, 5e4, 1e12])
def test_a_column_has_the_size_of_its_numbers(size: float) -> None:
    assert 0.5 * size < of(NORMAL * size) < 4 * size
    assert of(np.full(50, 3 * size)) == pytest.approx(3 * size)


def test_each_column_has_its_own() -> None:
    found = scales(NORMAL * 5e4, NORMAL, NORMAL * 1e-6)
    assert found[0] / found[1] == pytest.approx(5e4, rel=0.01) and found[1] / found[2] == pytest.approx(1e6, rel=0.01)


@pytest.mark.parametrize("odd", [1e30, np.inf, -np.inf, np.nan, 0.0])
def test_a_few_odd_numbers_change_nothing(odd: float) -> None:
    for rows in (10, 1000):
        column = NORMAL[:rows] * 1e-6
        column[3] = odd
        assert of(column) < 1e-4


def test_padding_of_most_rows_does_not_make_a_column_large_or_small() -> None:
    column = np.where(np.arange(1000) % 20 == 0, NORMAL, 0)
    assert 0.5 < of(column) < 4  # zeros count for nothing
    masked = np.where(np.arange(1000) % 20 == 0, NORMAL, -1e9)
    assert of(masked) < 300  # nor does a mask of large negative numbers hide the others
    missing = np.where(np.arange(1000) % 10 == 0, -999, NORMAL * 1e-6)
    assert of(missing) <= 1 / 16  # a part of the numbers may be of size one: bounded functions are right to a rounding of 1


def test_numbers_of_all_sizes_up_to_one_are_right_to_a_rounding_of_one() -> None:
    assert of(10.0 ** RNG.uniform(-12, 0, 1000)) == pytest.approx(1 / 16, rel=0.2)


def test_zeros_alone_are_taken_for_one_or_less() -> None:
    zeros = np.zeros(100)
    assert of(zeros) == 1.0
    assert scales(zeros, np.full(100, 5e4)) == [1.0, pytest.approx(5e4)]
    assert scales(zeros, np.full(100, 1e-6)) == [pytest.approx(1e-6)] * 2


def test_of_few_rows_a_number_near_zero_is_not_the_size_of_its_column() -> None:
    one = scales([0.3], [-2e-3], [0.2])
    assert one[1] == pytest.approx(0.3) and one[0] == pytest.approx(0.3)
    small = scales([1.2], [0.3], [8.0], [1e-6])
    assert small[3] < 1e-3 and small[2] == pytest.approx(8)


@pytest.mark.parametrize(("dtype", "least"), [("float32", 1.2e-38), ("float16", 2.4e-7), ("float64", 2.3e-308)])
def test_no_scale_is_below_the_smallest_steps_of_the_type(dtype: str, least: float) -> None:
    assert of(np.full(100, 6e-8 if dtype == "float16" else 1e-44), dtype) == pytest.approx(least)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=12))
def test_the_cut_into_parts_does_not_matter(sizes: list[int]) -> None:
    whole = (RNG.normal(size=(sum(sizes), 3)) * [1, 1e-6, 5e4]).astype(np.float32)
    parts = np.split(whole, np.cumsum(sizes)[:-1])
    assert scale_of(parts, (1,)) == scale_of([whole], (1,))


def test_the_first_values_are_looked_at() -> None:
    wide = np.ones((FEWEST * 4, 8192), np.float32)
    wide[FEWEST:] = 1e-3
    assert set(scale_of([wide], (1,)).values) == {1.0}


class Known:
    """A side that has only a signature."""

    name = "known"

    def __init__(self, *shape: Axis, inputs: tuple[Axis, ...] = (Axis(label="n"), Axis(label="L"))) -> None:
        given = TensorSpec(name="x", dtype="float32", shape=inputs)
        self.signature = Signature(inputs=(given,), outputs=(TensorSpec(name="y", dtype="float32", shape=shape),))


N, L, F = Axis(label="n"), Axis(label="L"), Axis(size=4)


@pytest.mark.parametrize(
    ("shape", "lengths", "axes"),
    [
        ((), [()], ()),
        ((N,), [(9,), (7,)], ()),  # a number for each row
        ((N,), [(9,)], ()),
        ((F,), [(4,)], (0,)),  # one vector for each request
        ((N, F), [(9, 4), (7, 4)], (1,)),
        ((N, L), [(9, 5)], ()),  # an axis that an input shares is no row of columns, even where its length stays
        ((N, L, F), [(9, 5, 4), (9, 7, 4)], (2,)),
        ((N, F, L), [(9, 4, 5)], (1,)),  # features first
        ((N, Axis(size=6), F), [(9, 6, 4)], (1, 2)),  # a place in a list and a feature
        ((N, Axis(size=3), Axis(size=8), Axis(size=8)), [(2, 3, 8, 8)], (1, 3)),
        ((N, Axis(size=64), Axis(size=8), Axis(size=32)), [(2, 64, 8, 32)], (3,)),  # too many: the shorter axis
        ((N, Axis(label="unknown")), [(9, 4), (7, 4)], (1,)),
        ((N, Axis(label="unknown")), [(9, 4), (7, 5)], ()),
    ],
)
def test_what_a_column_is(shape: tuple[Axis, ...], lengths: list[tuple[int, ...]], axes: tuple[int, ...]) -> None:
    sizes = Sizes(Known(*shape))  # type: ignore[arg-type]
    assert sizes.axes("y", [np.ones(each, np.float32) for each in lengths]) == axes


def test_without_a_signature_the_last_axis_counts_columns() -> None:
    sizes = Sizes()
    assert sizes.axes("y", [np.ones((9, 4))]) == (1,) and sizes.axes("y", [np.ones(4)]) == ()


def test_it_is_full_when_each_column_has_enough() -> None:
    sizes = Sizes()
    for _ in range(3):
        assert not sizes.full
        sizes.add({"y": np.ones((8192, 2), np.float32), "label": np.ones(8192, np.int64)})
        if sizes.full:
            break
    assert sizes.full and list(sizes.scales()) == ["y"]


def test_float64_that_was_cast_from_float32_is_known_by_its_numbers() -> None:
    exact = RNG.normal(size=(100, 2))
    sizes = Sizes()
    sizes.add({"cast": exact.astype(np.float32).astype(np.float64), "own": exact, "whole": np.round(exact), "plain": NORMAL})
    assert sizes.narrow() == ["cast"]
    sizes.add({"cast": exact})
    assert sizes.narrow() == []


def test_it_broadcasts_to_arrays_with_its_columns_and_is_one_number_for_others() -> None:
    scale = Scale(axes=(1, 3), lengths=(2, 3), values=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0), whole=7.0)
    found = scale.along((9, 2, 5, 3))
    assert isinstance(found, np.ndarray) and found.shape == (1, 2, 1, 3) and found[0, 1, 0, 0] == 4.0
    assert scale.along((9, 2, 5, 4)) == scale.along((9, 2)) == 7.0
    assert scale.at_least(3.5).values == (3.5, 3.5, 3.5, 4.0, 5.0, 6.0)


def test_the_arrays_are_not_changed() -> None:
    array: Array = np.array([[0.0, -1.0], [2.0, np.nan]])
    before = array.copy()
    scale_of([array], (1,))
    np.testing.assert_array_equal(array, before)
