"""A condition on lengths becomes the lengths at which it breaks, and limits where it has some."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portinf.converters.size_limits import assumption_of
from portinf.core.signature import Axis, Signature, TensorSpec
from portinf.sources.routes import Assumption, ExportOptions


def described(
    holds: Callable[[Mapping[str, int]], bool], text: str = "", base: int = 20, *, minimum: int = 0, maximum: int | None = None
) -> Assumption | None:
    axis = Axis(label="n", minimum=minimum, maximum=maximum)
    spec = TensorSpec(name="x", dtype="float32", shape=(axis, Axis(size=4)))
    options = ExportOptions(
        signature=Signature(inputs=(spec,), outputs=()), example=Path("none"), opset=18, compared=[{"n": 3}]
    )
    return assumption_of(text, "", holds, ["n"], options, {"n": base})


@given(st.integers(20, 10**8))
def test_a_largest_length_is_found_exactly(largest: int) -> None:
    found = described(lambda sizes: sizes["n"] <= largest)
    assert found is not None
    assert (found.largest, found.least, found.multiple, found.elsewhere[0]) == (largest, None, 1, {"n": largest + 1})
    assert found.holds({"n": largest}) and not found.holds({"n": 2 * largest + 1})


@given(st.integers(1, 20))
def test_a_least_length_is_found_exactly(least: int) -> None:
    found = described(lambda sizes: sizes["n"] >= least)
    assert found is not None
    assert (found.largest, found.least, found.elsewhere) == (None, least, ({"n": least - 1},))
    assert found.broken == (({"n": 3},) if least > 3 else ())


@given(st.integers(2, 40), st.integers(1, 20))
def test_multiples_are_found(multiple: int, times: int) -> None:
    found = described(lambda sizes: sizes["n"] % multiple == 0, base=multiple * times)
    assert found is not None
    assert (found.multiple, found.largest, found.least) == (multiple, None, None)


def test_one_length_alone_is_fixed() -> None:
    found = described(lambda sizes: sizes["n"] == 20)
    assert found is not None
    assert found.fixed and [sizes["n"] for sizes in found.elsewhere] == [21, 42, 19]


def test_a_gap_is_seen_where_the_condition_names_it() -> None:
    assert described(lambda sizes: sizes["n"] != 12_345) is None
    found = described(lambda sizes: sizes["n"] != 12_345, "n != 12345")
    assert found is not None
    assert (found.elsewhere, found.largest) == (({"n": 12_345},), None)
    assert found.holds({"n": 12_346}) and not found.holds({"n": 12_345})


@pytest.mark.parametrize(
    ("holds", "minimum", "maximum"),
    [
        (lambda sizes: True, 0, None),
        (lambda sizes: False, 0, None),  # not even at the example: nothing is known
        (lambda sizes: sizes["n"] > 4, 5, None),
        (lambda sizes: sizes["n"] <= 300, 0, 300),
        (lambda sizes: sizes["n"] < 2**31, 0, None),  # longer than any request
    ],
)
def test_what_holds_at_every_length_that_can_be_asked_is_no_assumption(
    holds: Callable[[Mapping[str, int]], bool], minimum: int, maximum: int | None
) -> None:
    assert described(holds, minimum=minimum, maximum=maximum) is None
