"""Absolute, relative and ULP differences, and what is said of them."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from portinf.core.batch import Batch
from portinf.validation import Tolerance
from portinf.validation.checks.quantiles import Quantiles, distances


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_one_ulp_is_the_next_number(dtype: type) -> None:
    values = np.array([1.0, -1.0, 1e-3, 7.5, 0.0], dtype)
    bits = values.view(f"u{values.dtype.itemsize}") + 3
    ulps = distances(values, bits.view(values.dtype), 0.0)[2]
    assert ulps.tolist() == [3.0] * 5


def test_ulps_across_zero_and_at_the_ends() -> None:
    tiny, big = np.float32(1e-45), np.finfo(np.float32).max
    reference = np.array([0.0, tiny, -tiny, big], np.float32)
    candidate = np.array([-0.0, -tiny, tiny, -big], np.float32)
    assert distances(reference, candidate, 1e-5)[2].tolist() == pytest.approx([0.0, 2.0, 2.0, 2 * 0x7F7FFFFF])


def test_differences_are_those_of_the_tolerance_rule() -> None:
    reference, candidate = np.array([0.0, 2.0, -4.0], np.float32), np.array([1e-6, 2.5, -4.0], np.float32)
    absolute, relative, _ = distances(reference, candidate, 1e-5)
    assert absolute == pytest.approx([1e-6, 0.5, 0.0]) and relative == pytest.approx([0.1, 0.25, 0.0])


def test_nan_and_infinity_are_infinitely_far_on_one_side_only() -> None:
    nan, inf = np.nan, np.inf
    reference = np.array([nan, nan, inf, inf, -inf, 1.0], np.float32)
    candidate = np.array([nan, 1.0, inf, -inf, 3.0, 1.0], np.float32)
    for kind in distances(reference, candidate, 1e-5):
        assert kind.tolist() == [0.0, inf, 0.0, inf, inf, 0.0]


def check(reference: np.ndarray, candidate: np.ndarray, origin: str = "given") -> Quantiles:
    found = Quantiles(Tolerance())
    batch = Batch(name="b", inputs={"x": reference}, origin=origin)  # type: ignore[arg-type]
    found.update({"y": reference}, {"y": candidate}, batch)
    return found


def test_the_finding_has_quantiles_bounds_and_the_largest() -> None:
    rng = np.random.default_rng(0)
    reference = rng.random((100_000, 2), dtype=np.float32) + 1
    candidate = reference + rng.random((100_000, 2), dtype=np.float32) * np.float32(1e-3)
    (result,) = check(reference, candidate).results()
    exact = np.abs(candidate - reference)
    assert result.status == "reported" and result.output == "y" and "(quantiles of 15,386 sampled elements)" in result.text
    assert result.figures["elements"] == 200_000
    for q, title in ((0.5, "50.0%"), (0.999, "99.9%")):
        value, bound = result.figures[f"absolute {title}"], result.figures[f"absolute {title} at most"]
        assert value == pytest.approx(np.quantile(exact, q), rel=0.05)
        assert value <= bound <= result.figures["absolute largest"]  # type: ignore[operator]
    assert result.figures["absolute largest"] == float(exact.max())


def test_many_differences_are_counted_in_bins() -> None:
    rng, found = np.random.default_rng(0), Quantiles(Tolerance())
    for k in range(6):
        y = rng.random(20_000, dtype=np.float32) + 1
        found.update({"y": y}, {"y": y * np.float32(1.001)}, Batch(name=f"f{k}", inputs={}))
    (result,) = found.results()
    assert "in bins of 3%" not in result.text  # 60,000 of 120,000 differences are still kept
    for k in range(6, 8):
        found.update({"y": y}, {"y": y * np.float32(1.001)}, Batch(name=f"f{k}", inputs={}))
    (result,) = found.results()
    assert "in bins of 3%" in result.text and result.figures["relative 50.0%"] == pytest.approx(0.001, rel=0.035)


def test_rows_in_turn_are_sampled_evenly() -> None:
    y = np.ones(64_000, np.float32)
    other = y.copy()
    other[::2] += 0.5
    (result,) = check(y, other).results()
    assert result.figures["sampled rows"] == 16_000
    assert (result.figures["absolute 50.0%"], result.figures["absolute 90.0%"]) in ((0.0, 0.5), (0.5, 0.5))
    kept = check(y, other)._seen["given", "y"].sketches[0]
    assert kept.zeros == pytest.approx(8_000, abs=400)  # more than six standard deviations


def test_few_rows_give_no_bound_of_far_quantiles_however_many_elements() -> None:
    reference = np.ones((5, 10_000), np.float32)
    (result,) = check(reference, reference + np.float32(1e-3)).results()
    assert "absolute 99.9%" in result.figures and "absolute 99.9% at most" not in result.figures


def test_given_samples_count_before_generated_ones() -> None:
    one = np.ones(4, np.float32)
    found = check(one, one)
    assert "no difference at all in 4 elements" in found.results()[0].text
    found.merge(check(one, one * 2, "generated"))
    assert "no difference at all in 4 elements" in found.results()[0].text
    assert "within 1" in check(one, one * 2, "generated").results()[0].text


def test_outputs_that_cannot_be_compared_are_left_to_the_elements() -> None:
    found = Quantiles(Tolerance())
    batch = Batch(name="b", inputs={})
    sides = {"shape": np.ones(2, np.float32), "type": np.ones(2), "none": np.ones(2), "text": np.array(["a"], object)}
    other = {"shape": np.ones(3, np.float32), "type": np.ones(2, np.float32), "text": np.array(["a"], object)}
    found.update(sides, other, batch)
    assert list(found.results()) == []
