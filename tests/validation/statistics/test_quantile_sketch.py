"""Quantiles in bounded memory: exact while few, then to the width of a bin; merged parts are one pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portinf.validation.statistics import quantile_sketch as module
from portinf.validation.statistics.quantile_sketch import RESOLUTION, Sketch


def filled(values: np.ndarray, *, wide: bool = False, parts: int = 1) -> Sketch:
    whole = Sketch(wide=wide)
    for part in np.array_split(values, parts):
        single = Sketch(wide=wide)
        single.add(part)
        whole.merge(single)
    return whole


def test_few_numbers_are_exact() -> None:
    values = np.random.default_rng(0).random(1000, dtype=np.float32)
    found = filled(values, parts=3)
    assert found.exact
    assert [found.at_rank(k) for k in (1, 500, 1000)] == [float(np.sort(values)[k - 1]) for k in (1, 500, 1000)]


@pytest.mark.parametrize(("wide", "low"), [(False, -38), (True, -300)])
def test_many_numbers_are_right_to_a_bin_from_above(wide: bool, low: int) -> None:
    rng = np.random.default_rng(1)
    values = 10.0 ** rng.uniform(low, 30, 100_000)
    values = values if wide else values.astype(np.float32)
    found, order = filled(values, wide=wide), np.sort(values)
    assert not found.exact and found.count == len(values)
    for rank in (1, 10, 50_000, 99_999, 100_000):
        exact = float(order[rank - 1])
        assert exact <= found.at_rank(rank) <= exact * (1 + RESOLUTION)
    assert found.at_rank(100_000) == float(order[-1])


def test_small_whole_numbers_have_bins_of_their_own() -> None:
    values = np.repeat(np.arange(64, dtype=np.float32), 2000)
    found = filled(values)
    assert not found.exact
    assert [int(found.at_rank(2000 * k + 1)) for k in range(64)] == list(range(64))


def test_zeros_and_infinities() -> None:
    values = np.concatenate([np.zeros(90_000), np.full(80_000, np.inf)]).astype(np.float32)
    found = filled(values)
    assert (found.at_rank(90_000), found.at_rank(90_001), found.count) == (0.0, np.inf, 170_000)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 2.0**100, width=32), min_size=1, max_size=60), st.integers(1, 6), st.integers(1, 40))
def test_merged_parts_are_one_pass(numbers: list[float], parts: int, limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "EXACT", limit)
        values = np.array(numbers, np.float32)
        one, many = filled(values), filled(values, parts=parts)
        assert one.count == many.count == len(values) and one.exact == many.exact
        for rank in range(1, len(values) + 1):
            assert one.at_rank(rank) == many.at_rank(rank) >= float(np.sort(values)[rank - 1])
