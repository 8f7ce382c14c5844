"""Formats are read, round and wrap as Python's fractions and as the ap_types library say."""

from __future__ import annotations

import ctypes
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from portinf.fixedpoint.casting import Cast, Watch, from_real, to_real
from portinf.fixedpoint.formats import OVERFLOWS, ROUNDINGS, FixedPointError, Format
from tests.fixedpoint import exact
from tests.fixedpoint.compiled import casts, library
from tests.fixedpoint.strategies import formats, raw_numbers

FORMATS = [
    ("ap_fixed<16,6>", Format(16, 6)),
    ("fixed<16, 6>", Format(16, 6)),
    ("ap_ufixed<12,3,AP_RND,AP_SAT>", Format(12, 3, False, "RND", "SAT")),
    ("ufixed<8,-2,RND_CONV>", Format(8, -2, False, "RND_CONV", "WRAP")),
    ("ap_int<7>", Format(7, 7)),
    ("ap_uint<1>", Format(1, 1, False)),
]


@pytest.mark.parametrize(("text", "expected"), FORMATS)
def test_reading(text: str, expected: Format) -> None:
    found = Format.parse(text)
    assert found == expected
    assert Format.parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("float", "expected ap_fixed<W,I>"),
        ("ap_fixed<16>", "expected ap_fixed<W,I>"),
        ("ap_fixed<16,x>", "expected ap_fixed<W,I>"),
        ("ap_fixed<16,6,AP_ROUND>", "expected a rounding of TRN"),
        ("ap_fixed<16,6,RND,SAT,3>", "at most a rounding and an overflow mode"),
        ("ap_fixed<0,0>", "expected 1 to 1024 bits"),
        ("ap_fixed<1025,6>", "expected 1 to 1024 bits"),
        ("ap_int<8,3>", "at most a rounding"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(FixedPointError, match=message):
        Format.parse(text)


def test_range() -> None:
    assert (Format(16, 6).largest, Format(16, 6).smallest) == (32 - 2**-10, -32)
    assert Format(8, 3, overflow="SAT_SYM").smallest == -Format(8, 3).largest
    assert Format(4, 0, signed=False).largest == 15 / 16


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_casts_are_exact(data: st.DataObject) -> None:
    one, two = data.draw(formats(40)), data.draw(formats(40))
    numbers = data.draw(st.lists(raw_numbers(one), min_size=1, max_size=5))
    try:
        cast = Cast(one.fraction, (one.low, one.high), two, "layer")
    except FixedPointError as error:
        assert "needs integers of" in str(error)
        return
    watch = Watch()
    given_ = np.array(numbers, cast.dtype if one.width > 52 else np.float64)
    found = cast(given_, watch)
    expected = [exact.cast(raw, one.fraction, two) for raw in numbers]
    assert [int(raw) for raw in found] == expected
    values = [exact.rounded(Fraction(raw) * Fraction(2) ** (two.fraction - one.fraction), two.rounding) for raw in numbers]
    assert watch.counts.get("layer", 0) == sum(not two.low <= raw <= two.high for raw in values)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_whole_numbers_beyond_a_float_are_exact(data: st.DataObject) -> None:
    two = data.draw(formats(50))
    numbers = data.draw(st.lists(st.integers(-(2**61), 2**61), min_size=1, max_size=5))
    fraction = data.draw(st.integers(two.fraction, two.fraction + 70))
    cast = Cast(fraction, (-(2**61), 2**61), two, "layer")
    assert cast.dtype == np.int64
    found = cast(np.array(numbers, np.int64))
    assert [int(raw) for raw in found] == [exact.cast(raw, fraction, two) for raw in numbers]


@settings(deadline=None, max_examples=300)
@given(formats(), st.lists(st.floats(-1e6, 1e6) | st.floats(-4, 4, width=16), min_size=1, max_size=5))
def test_real_numbers_are_read_exactly(format: Format, values: list[float]) -> None:
    assume(all(abs(value) > 1e-300 or value == 0 for value in values))
    found = from_real(np.array(values), format)
    scale = Fraction(2) ** format.fraction
    assert [int(raw) for raw in found] == [
        exact.fitted(exact.rounded(Fraction(value) * scale, format.rounding), format) for value in values
    ]
    assert to_real(found, format).tolist() == [float(exact.value(int(raw), format)) for raw in found]


def test_what_is_too_wide_is_refused() -> None:
    with pytest.raises(FixedPointError, match="dense_1: needs integers of 72 bits"):
        Cast(0, (0, 2**40), Format(62, 31), "dense_1")
    with pytest.raises(FixedPointError, match="at most 52 bits"):
        from_real(np.zeros(1), Format(60, 10))


@pytest.fixture(scope="module")
def pairs() -> list[tuple[Format, Format]]:
    """Format pairs: every pair of modes, sizes drawn once. Where a cast drops every bit, ap_types itself aborts: left out."""
    draw = random.Random(7)
    found = []
    for rounding in ROUNDINGS:
        for overflow in OVERFLOWS:
            width = draw.randint(3, 24)
            target = Format(width, draw.randint(-3, width + 3), draw.random() < 0.6, rounding, overflow)
            width = draw.randint(3, 30)
            fraction = target.fraction + draw.randint(-6, width - 1)
            found.append((Format(width, width - fraction, draw.random() < 0.7), target))
    return found


@pytest.fixture(scope="module")
def compiled(pairs: list[tuple[Format, Format]], tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    found = library(tmp_path_factory.mktemp("ap_types"), casts(pairs))
    for number in range(len(pairs)):
        for name, kind in (("cast", ctypes.c_longlong), ("real", ctypes.c_double)):
            function = getattr(found, f"{name}_{number}")
            function.argtypes, function.restype = [kind], ctypes.c_longlong
    return found


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_casts_equal_ap_types(compiled: ctypes.CDLL, pairs: list[tuple[Format, Format]], data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(pairs) - 1))
    one, two = pairs[number]
    raw = data.draw(raw_numbers(one))
    found = Cast(one.fraction, (one.low, one.high), two, "")(np.array([raw], np.float64))
    assert int(found[0]) == getattr(compiled, f"cast_{number}")(raw), (one, two, raw)


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_real_numbers_equal_ap_types(compiled: ctypes.CDLL, pairs: list[tuple[Format, Format]], data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(pairs) - 1))
    _, two = pairs[number]
    near = st.integers(4 * two.low - 9, 4 * two.high + 9).map(lambda quarter: quarter * two.step / 4)
    value = data.draw(near | st.floats(-1e5, 1e5, width=32))
    assert int(from_real(np.array([value]), two)[0]) == getattr(compiled, f"real_{number}")(value), (two, value)
