"""Errors from draws, against scipy and where nothing can be said."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from portinf.validation.statistics.bootstrap import change_of, change_text, errors_of, replicate


def test_the_error_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=400)
    draws = replicate(lambda times: np.array([times @ values / times.sum()]), 400, replicas=1000)
    expected = stats.bootstrap((values,), np.mean, n_resamples=1000, rng=1).standard_error
    assert errors_of(draws)[0] == pytest.approx(expected, rel=0.12)  # each side is known to about 2 %
    assert errors_of(draws)[0] == pytest.approx(values.std() / 20, rel=0.12)


def test_draws_are_reproducible_and_of_equal_size() -> None:
    sums = replicate(lambda times: np.array([times.sum()]), 50, replicas=5)
    assert sums[:, 0].tolist() == [50] * 5
    first, again = (replicate(lambda times: times, 50, replicas=5, seed=3) for _ in range(2))
    assert np.array_equal(first, again)


def test_no_error_where_draws_define_no_number() -> None:
    draws = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, 1.0]])
    assert errors_of(draws)[0] == 1.0 and np.isnan(errors_of(draws)[1])


def test_changes() -> None:
    reference, candidate = np.array([1.0, np.inf, 1.0, 1.0]), np.array([1 + 1e-15, np.inf, np.inf, 1.5])
    assert change_of(reference, candidate).tolist() == [0.0, 0.0, np.inf, 0.5]
    assert (
        change_text(0.91, 0.9, (0.0123, 0.0123, 0.001))
        == "reference 0.910 +- 0.012, candidate 0.900 +- 0.012; change -0.01 +- 0.001"
    )
    assert change_text(1.0, np.inf, (np.nan, np.nan, np.nan)) == "reference 1, candidate inf; change +inf"
