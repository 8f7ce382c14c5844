"""Types change without loss, or with a note, or not at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portinf.core.errors import UsageError
from portinf.samples.casting import cast

TYPES = ["int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64", "bool"]


def tried(values: Any, source: str, target: str) -> tuple[np.ndarray[Any, Any], list[str]]:
    notes: list[str] = []
    return cast(np.asarray(values, source), target, "f: column 'x'", notes.append), notes


@pytest.mark.parametrize(
    ("source", "target", "note"),
    [
        ("float64", "float32", ["f: column 'x': float64 cast to float32"]),
        ("int32", "float32", ["f: column 'x': int32 cast to float32"]),
        ("float32", "int64", ["f: column 'x': float32 cast to int64"]),
        ("int64", "int8", []),
        ("uint8", "bool", ["f: column 'x': uint8 cast to bool"]),
        (">f4", "float32", []),
    ],
)
def test_what_is_cast(source: str, target: str, note: list[str]) -> None:
    found, notes = tried([0, 1], source, target)
    assert (found.dtype, found.tolist(), notes) == (np.dtype(target), [0, 1], note)


@pytest.mark.parametrize(
    ("values", "source", "target", "message"),
    [
        ([300], "int32", "uint8", "300 does not fit into uint8: expected 0 to 255"),
        ([-1], "int64", "uint64", "-1 does not fit"),
        ([2**63], "uint64", "int64", "9223372036854775808 does not fit"),
        ([1e39], "float64", "float32", "does not fit into float32"),
        ([0.5], "float32", "int32", "0.5 would change in int32"),
        ([np.nan], "float32", "int32", "nan would change"),
        ([1e30], "float32", "int64", "would change"),
        ([2.0**63], "float64", "int64", "would change"),
        ([2], "int32", "bool", "2 would change in bool"),
        ([1.0001], "float32", "float16", "would change in float16"),
        ([2049], "int32", "float16", "would change in float16"),
    ],
)
def test_what_is_refused(values: list[float], source: str, target: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tried(values, source, target)


def test_rounding_of_large_numbers_is_said() -> None:
    assert tried([2**24 + 1], "int64", "float32")[1] == ["f: column 'x': int64 cast to float32, large values rounded"]
    assert np.isnan(tried([np.nan, np.inf], "float64", "float32")[0][0])


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_no_value_changes_silently(data: st.DataObject) -> None:
    source, target = (data.draw(st.sampled_from(TYPES)) for _ in range(2))
    kind = np.dtype(source).kind
    strategy: Any = st.booleans() if kind == "b" else st.floats(width=8 * np.dtype(source).itemsize)  # type: ignore[arg-type]
    if kind in "iu":
        strategy = st.integers(int(np.iinfo(source).min), int(np.iinfo(source).max))
    values = data.draw(st.lists(strategy, max_size=4))
    try:
        found, notes = tried(values, source, target)
    except UsageError:
        return
    rounding = np.dtype(target).kind == "f" and bool(notes)
    for before, after in zip(np.asarray(values, source).tolist(), found.tolist(), strict=True):
        if before != before:
            assert after != after
        elif not rounding:
            assert before == after
        else:
            assert after == np.dtype(target).type(before)
