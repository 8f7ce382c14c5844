"""Fine bins that keep the order of numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portinf.validation.statistics.binning import BlockHistogram, bin_edges, bin_numbers


@settings(deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=50))
def test_bins_never_fall(values: list[float]) -> None:
    order = np.sort(np.array(values, np.float32))
    assert (np.diff(bin_numbers(order)) >= 0).all()


def test_edges_are_in_order() -> None:
    points = np.array([-np.inf, -1e9, -1, -0.5, -1e-9, 0.0, 1e-9, 0.4999, 0.5, 0.5001, 0.9999999, 1.0, 1.001, 2, np.inf])
    numbers = bin_numbers(points.astype(np.float32))
    assert (np.diff(numbers) > 0).all()


@pytest.mark.parametrize("bits", [5, 8])
def test_a_bin_holds_its_numbers_and_is_narrow(bits: int) -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 100, 2000), rng.random(2000), -rng.random(2000), [0, 1]]).astype(np.float32)
    edges = np.array([bin_edges(int(k), bits) for k in bin_numbers(values, bits)])
    assert (edges[:, 0] <= values).all() and (values <= edges[:, 1]).all()
    assert (edges[:, 1] - edges[:, 0] <= np.abs(values) / 2**bits + 1e-9).all()


def test_a_histogram_grows_both_ways_and_merges() -> None:
    one, two, both = BlockHistogram(2), BlockHistogram(2), BlockHistogram(2)
    rng = np.random.default_rng(0)
    for centre, histogram in ((0.5, one), (-3.0, two), (70.0, two), (0.2, one)):
        values = rng.normal(centre, 0.1, 500).astype(np.float32)
        block, group, weight = rng.integers(0, 128, 500), rng.integers(0, 2, 500), rng.random(500)
        histogram.add(block, group, values, weight)
        both.add(block, group, values, weight)
    one.merge(two)
    one.merge(BlockHistogram(2))
    assert one.first == both.first and np.allclose(one.counts, both.counts) and one.counts.sum() > 0
