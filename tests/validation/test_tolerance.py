"""The table of tolerances and its overrides."""

from __future__ import annotations

import math

import pytest

from portinf.core.errors import UsageError
from portinf.validation import Tolerance


def test_defaults_by_type() -> None:
    given = Tolerance()
    assert given.for_dtype("float64") == (1e-9, 1e-11)
    assert given.for_dtype("float32") == (1e-4, 1e-5)
    assert given.for_dtype("float16") == (1e-2, 1e-3)
    assert given.for_dtype("bfloat16")[0] > given.for_dtype("float16")[0]


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "object", "<U5"])
def test_all_else_is_exact_even_with_options(dtype: str) -> None:
    assert Tolerance.of(0.5, 0.5).for_dtype(dtype) == (0.0, 0.0)


def test_each_option_overrides_its_own_half() -> None:
    assert Tolerance.of(0.0, None).for_dtype("float32") == (0.0, 1e-5)
    assert Tolerance.of(None, 3.0).for_dtype("float64") == (1e-9, 3.0)


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf])
def test_a_bound_is_finite_and_not_negative(value: float) -> None:
    with pytest.raises(UsageError, match="rtol"):
        Tolerance.of(value, None)


def test_an_answer_is_no_more_precise_than_what_it_was_computed_from() -> None:
    tolerance = Tolerance()
    assert tolerance.for_dtype("float64", ["float64", "int64"]) == tolerance.for_dtype("float64")
    assert tolerance.for_dtype("float64", ["float32", "int64"]) == tolerance.for_dtype("float32")
    assert tolerance.for_dtype("float32", ["float64"]) == tolerance.for_dtype("float32")
    assert tolerance.for_dtype("int64", ["float32"]) == (0.0, 0.0)
    assert Tolerance(rtol=1e-12, atol=0.0).for_dtype("float64", ["float32"]) == (1e-12, 0.0)
