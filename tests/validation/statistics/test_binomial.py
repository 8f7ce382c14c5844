"""Bounds of counts, against scipy."""

from __future__ import annotations

import pytest
from scipy import stats

from portinf.validation.statistics.binomial import at_most, clopper_pearson, quantile_rank


@pytest.mark.parametrize("n", [1, 2, 17, 1000, 10_000_000])
@pytest.mark.parametrize("p", [1e-6, 0.01, 0.5, 0.99])
def test_the_distribution_is_that_of_scipy(n: int, p: float) -> None:
    for k in {0, n // 3, int(n * p), min(n, int(n * p) + 3), n}:
        assert at_most(k, n, p) == pytest.approx(stats.binom.cdf(k, n, p), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 20_000), (3, 10), (10, 10), (17, 1_000_000), (500_000, 1_000_000)])
def test_intervals_are_those_of_scipy(k: int, n: int) -> None:
    expected = stats.binomtest(k, n).proportion_ci(method="exact")
    assert clopper_pearson(k, n) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-12)


def test_no_trial_says_nothing() -> None:
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    assert quantile_rank(0, 0.5) is None


@pytest.mark.parametrize(("n", "q"), [(100, 0.5), (299, 0.99), (100_000, 0.999), (5_000_000, 0.9)])
def test_the_rank_is_the_smallest_that_is_sure(n: int, q: float) -> None:
    rank = quantile_rank(n, q)
    assert rank is not None
    assert stats.binom.cdf(rank - 1, n, q) >= 0.95 > stats.binom.cdf(rank - 2, n, q)


def test_too_few_draws_bound_no_quantile() -> None:
    assert quantile_rank(298, 0.99) is None and quantile_rank(299, 0.99) == 299
