"""The comparator of one output: laws that hold for any numbers, and the known traps one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from portinf.core.batch import Array
from portinf.core.errors import UsageError
from portinf.validation import Elementwise, OutputResult, Tolerance

FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)
PAIRS = hnp.array_shapes(max_dims=3, max_side=4, min_side=0).flatmap(
    lambda shape: st.tuples(*[hnp.arrays(np.float32, shape, elements=FLOATS)] * 2)
)


def judged(reference: Any, candidate: Any, *, allow_nan: bool = False, **tolerance: float) -> OutputResult:
    r, c = np.asarray(reference), np.asarray(candidate)
    comparator = Elementwise("y", str(r.dtype), tolerance=Tolerance(**tolerance), allow_nan=allow_nan)
    comparator.update(r, c)
    return comparator.result()


def f32(*values: float) -> Array:
    return np.array(values, dtype=np.float32)


@given(st.lists(PAIRS, max_size=5), st.integers(0, 5), st.booleans())
def test_merged_parts_equal_a_single_pass(pairs: list[tuple[Array, Array]], cut: int, allow_nan: bool) -> None:
    def run(part: list[tuple[Array, Array]], start: int) -> Elementwise:
        comparator = Elementwise("y", "float32", tolerance=Tolerance(), allow_nan=allow_nan)
        for number, (r, c) in enumerate(part, start=start):
            comparator.update(r, c, case=f"case {number}")
        return comparator

    first, second = run(pairs[:cut], 0), run(pairs[cut:], len(pairs[:cut]))
    first.merge(second)
    assert first.result().to_json() == run(pairs, 0).result().to_json()


@given(PAIRS)
def test_an_array_equals_itself_unless_it_holds_nan(pair: tuple[Array, Array]) -> None:
    array = pair[0]
    assert judged(array, array).equal == (not np.isnan(array).any())
    assert judged(array, array.copy(), allow_nan=True).equal
    assert judged(array, array, rtol=0.0, atol=0.0, allow_nan=True).tally.max_abs == 0


@given(PAIRS)
def test_counts_do_not_depend_on_the_sides_with_an_absolute_bound(pair: tuple[Array, Array]) -> None:
    one, two = judged(*pair, rtol=0.0, atol=0.5).tally, judged(*reversed(pair), rtol=0.0, atol=0.5).tally
    assert (one.wrong, one.max_abs, one.histogram) == (two.wrong, two.max_abs, two.histogram)
    assert (one.nan_reference, one.nan_candidate) == (two.nan_candidate, two.nan_reference)


@given(PAIRS, st.booleans())
def test_the_verdict_is_the_stated_rule(pair: tuple[Array, Array], allow_nan: bool) -> None:
    wrong = 0
    for r, c in zip(pair[0].ravel().astype(float), pair[1].ravel().astype(float), strict=True):
        if np.isnan(r) or np.isnan(c):
            right = allow_nan and np.isnan(r) and np.isnan(c)
        elif np.isinf(r) or np.isinf(c):
            right = r == c
        else:
            right = abs(c - r) <= 1e-5 + 1e-4 * abs(r)
        wrong += not right
    result = judged(*pair, allow_nan=allow_nan)
    assert (result.tally.wrong, result.equal) == (wrong, wrong == 0)


@given(PAIRS)
def test_the_histogram_holds_every_element(pair: tuple[Array, Array]) -> None:
    tally = judged(*pair).tally
    seen = tally.histogram
    assert seen.exact + sum(seen.decades.values()) + seen.not_finite == tally.count == pair[0].size


@given(hnp.arrays(np.int64, 3), hnp.arrays(np.int64, 3))
def test_integers_are_exact_at_64_bits(r: Array, c: Array) -> None:
    tally = judged(r, c).tally
    expected = [abs(int(a) - int(b)) for a, b in zip(r, c, strict=True)]
    assert tally.wrong == sum(difference > 0 for difference in expected)
    assert tally.max_abs == pytest.approx(float(max(expected)), rel=1e-15)


def test_neighbouring_integers_beyond_float64_differ() -> None:
    result = judged(np.array([2**62]), np.array([2**62 + 1]))
    assert result.tally.wrong == 1 and str(2**62 + 1) in result.reason and "exact" in result.reason
    assert judged(np.array([2**64 - 1], np.uint64), np.array([0], np.uint64)).tally.max_abs == float(2**64 - 1)


def test_float16_is_subtracted_without_overflow() -> None:
    far = np.array([60000, 1], np.float16), np.array([-60000, 1], np.float16)
    assert judged(*far).tally.max_abs == 120000.0
    overflowed = judged(np.array([65504], np.float16), np.array([np.inf], np.float16))
    assert not overflowed.equal and overflowed.tally.same_inf is False


def test_infinities_by_sign() -> None:
    assert judged(f32(np.inf, -np.inf), f32(np.inf, -np.inf)).equal
    assert not judged(f32(np.inf), f32(-np.inf)).equal
    assert not judged(f32(np.inf), f32(3e38)).equal
    assert not judged(f32(3e38), f32(np.inf), rtol=1e9).equal


def test_nan_on_one_side_always_fails() -> None:
    for allow_nan in (False, True):
        result = judged(f32(1, 2), f32(1, np.nan), allow_nan=allow_nan)
        assert not result.equal and "NaN in 0 elements of the reference and 1 of the candidate" in result.reason
        assert result.tally.worst is not None and result.tally.worst.index == (1,)
        assert not judged(f32(1, np.nan), f32(1, 2), allow_nan=allow_nan).equal


def test_nan_on_both_sides_needs_permission() -> None:
    result = judged(f32(np.nan), f32(np.nan))
    assert not result.equal and "--allow-nan" in result.reason
    assert judged(f32(np.nan), f32(np.nan), allow_nan=True).equal


def test_relative_error_is_guarded_at_zero() -> None:
    tally = judged(f32(0.0), f32(1e-6)).tally
    assert tally.wrong == 0 and tally.max_rel == pytest.approx(0.1)  # 1e-6 over atol 1e-5
    assert judged(f32(0.0), f32(0.0), rtol=0.0, atol=0.0).tally.max_rel == 0


def test_the_worst_element_is_the_one_that_uses_most_of_its_bound() -> None:
    result = judged(f32(1000.0, 0.001), f32(1000.05, 0.011))
    worst = result.tally.worst
    assert worst is not None and worst.index == (1,)
    assert result.tally.max_abs > worst.difference
    assert "worst at [1]: reference 0.00100000005, candidate 0.0109999999" in result.reason


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "object", "float16"])
def test_empty_arrays_of_one_shape_are_equal(dtype: str) -> None:
    assert judged(np.zeros((0, 3), dtype), np.zeros((0, 3), dtype)).equal
    assert "shape: expected [0, 3], found [3, 0]" in judged(np.zeros((0, 3), dtype), np.zeros((3, 0), dtype)).reason


def test_other_shapes_and_types_are_named() -> None:
    assert judged(f32(1), np.array([1.0])).reason == "type: expected float32, found float64"
    assert judged(f32(1), np.float32(1)).reason == "shape: expected [1], found []"
    assert judged(np.array(["a"]), np.array([1])).reason == "type: expected string, found int64"


def test_strings_and_booleans_are_equal_or_not() -> None:
    assert judged(np.array(["e", "μ"], object), np.array([b"e", "μ".encode()], object)).equal
    assert judged(np.array(["e", "mu"]), np.array(["e", "mu"], object)).equal
    result = judged(np.array(["e", "mu"], object), np.array(["e", "tau"], object))
    assert "1 of 2" in result.reason and "reference 'mu', candidate 'tau' (exact)" in result.reason
    assert judged(np.array([True, False]), np.array([True, True])).tally.wrong == 1


def test_bfloat16() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="needs ml_dtypes")
    one, near = np.array([1.0], ml_dtypes.bfloat16), np.array([1.0078125], ml_dtypes.bfloat16)
    assert judged(one, near).equal and not judged(one, near, rtol=0.0, atol=0.0).equal


def test_comparators_of_two_outputs_do_not_merge() -> None:
    with pytest.raises(UsageError, match="'a' and 'b'"):
        Elementwise("a", "int8", tolerance=Tolerance()).merge(Elementwise("b", "int8", tolerance=Tolerance()))
