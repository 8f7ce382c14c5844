"""Bias and resolution against numpy, their errors against scipy, in bins and in blocks."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from portinf.core.batch import Array, Batch
from portinf.core.errors import UsageError
from portinf.validation.check import CheckResult
from portinf.validation.checks.regression import Regression, RegressionOptions

OPTIONS = RegressionOptions(truth="truth", replicas=50)
NAMES = ["mean bias", "median bias", "resolution (std)", "resolution (68 %)"]


def events(rows: int = 3000, seed: int = 0) -> dict[str, Array]:
    """Return predictions of both sides, truth, weights and a variable."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(10, 100, rows)
    reference = (truth * (1.02 + 0.1 * rng.normal(size=rows))).astype(np.float32)
    candidate = (reference * (1 + 0.01 * rng.normal(size=rows)) + 0.5).astype(np.float32)
    weight = rng.exponential(size=rows)
    return {"reference": reference, "candidate": candidate, "truth": truth, "w": weight, "pt": rng.exponential(50, rows)}


def checked(options: RegressionOptions, data: dict[str, Array], parts: int = 1) -> Regression:
    check, first = Regression(options), 0
    for rows in np.array_split(np.arange(len(data["truth"])), parts):
        cut = {name: values[rows] for name, values in data.items()}
        batch = Batch(name="f", stream="f", first_row=first, inputs={"x": cut["reference"]}, columns=cut)
        check.update({"e": cut["reference"]}, {"e": cut["candidate"]}, batch)
        first += len(rows)
    return check


def judged(options: RegressionOptions, data: dict[str, Array], parts: int = 1) -> list[CheckResult]:
    return list(checked(options, data, parts).results())


def expected(residual: Array, weight: Array) -> list[float]:
    mean = np.average(residual, weights=weight)
    low, middle, high = np.quantile(residual, [0.15865, 0.5, 0.84135], weights=weight, method="inverted_cdf")
    return [mean, middle, np.sqrt(np.average((residual - mean) ** 2, weights=weight)), (high - low) / 2]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("relative", [False, True])
def test_numbers_are_those_of_numpy_over_all_rows_and_in_bins(weighted: bool, relative: bool) -> None:
    data = events()
    options = replace(OPTIONS, weight="w" if weighted else "", relative=relative, bin_by="pt", edges=(0, 30, 80))
    results = judged(options, data)
    assert [r.name for r in results] == NAMES and {r.status for r in results} == {"reported"}
    weight = data["w"] if weighted else np.ones(3000)
    for side in ("reference", "candidate"):
        residual = (data[side] - data["truth"]) / (data["truth"] if relative else 1.0)
        inside = data["pt"] < 30
        for result, whole, part in zip(
            results, expected(residual, weight), expected(residual[inside], weight[inside]), strict=True
        ):
            assert result.figures[f"all: {side}"] == pytest.approx(whole, rel=1e-6)
            assert result.figures[f"pt [0, 30): {side}"] == pytest.approx(part, rel=1e-6)
    assert results[0].figures["rows outside the bins"] == int((data["pt"] > 80).sum())


def test_errors_are_those_of_scipy() -> None:
    data = events(500)
    first, second = (data[side] - data["truth"] for side in ("reference", "candidate"))

    def statistic(rows: Array) -> Array:
        sides = [np.array([r[rows].mean(), np.median(r[rows]), r[rows].std()]) for r in (first, second)]
        return np.concatenate([sides[0], sides[1] - sides[0]])

    rows = np.arange(500)
    error = stats.bootstrap((rows,), statistic, n_resamples=400, vectorized=False, method="percentile", rng=1).standard_error
    results = judged(replace(OPTIONS, replicas=400), data)
    found = [[float(r.figures[f"all: {title} error"]) for r in results[:3]] for title in ("reference", "change")]
    assert [*found[0], *found[1]] == pytest.approx(error, rel=0.25)  # each is known to about 3.5 %, medians jump


def test_beyond_what_is_kept_blocks_agree_with_rows() -> None:
    data = events(20_000)
    for edges in ((0.0, 30.0, 80.0), ()):
        options = replace(OPTIONS, weight="w", bin_by="pt", edges=edges, replicas=80)
        exact, blocks = judged(options, data, 4), judged(replace(options, exact_rows=7_000), data, 4)
        assert "exact" in exact[0].text and "binned to 3% in 128 blocks, 20,000 rows" in blocks[0].text
        for one, many in zip(exact, blocks, strict=True):
            for side in ("reference", "candidate"):
                scale = abs(float(exact[2].figures[f"all: {side}"]))
                assert many.figures[f"all: {side}"] == pytest.approx(one.figures[f"all: {side}"], abs=0.005 * scale)
                assert many.figures[f"all: {side} error"] == pytest.approx(one.figures[f"all: {side} error"], rel=0.45)
            if edges:  # its own bins are those of the rows that were kept first
                value = one.figures["pt [30, 80): reference"]
                assert many.figures["pt [30, 80): reference"] == pytest.approx(value, abs=0.01 * scale)


def test_own_bins_hold_all_rows() -> None:
    check = checked(replace(OPTIONS, bin_by="pt"), events())
    figures = check.figures()
    assert [f.title for f in figures] == [f"{name} of e" for name in NAMES]
    for series in figures[0].series:
        assert len(series.x) == len(series.y) == len(series.errors) == 10
    assert figures[0].series[0].x == sorted(figures[0].series[0].x) and figures[0].x_label == "pt"
    assert len(list(checked(OPTIONS, events()).figures())) == 0


def test_a_variable_with_few_values_has_fewer_bins() -> None:
    data = events() | {"pt": (np.arange(3000) % 2).astype(float)}
    (series, _) = checked(replace(OPTIONS, bin_by="pt"), data).figures()[0].series
    assert series.x == [0.0, 1.0]
    one = checked(replace(OPTIONS, bin_by="pt"), events() | {"pt": np.ones(3000)})
    assert one.figures()[0].series[0].x == [1.0]


def test_a_change_of_bias_fails_beyond_its_error_only() -> None:
    data = events()
    change, error = (float(judged(OPTIONS, data)[0].figures[f"all: change{e}"]) for e in ("", " error"))
    assert change > 5 * error
    for most, status in ((change - 1.5 * error, "failed"), (change + error, "passed")):
        results = judged(replace(OPTIONS, max_bias_change=most), data)
        assert results[0].status == status and [r.status for r in results[2:]] == ["reported", "reported"]
    failed = judged(replace(OPTIONS, max_bias_change=0.1, bin_by="pt", edges=(0, 30, 80)), data)[0]
    assert "is more than the 0.1 allowed" in failed.text


def test_a_change_in_one_bin_fails() -> None:
    data = events()
    data["candidate"] = np.where(data["pt"] > 200, data["reference"] + 5, data["reference"]).astype(np.float32)
    options = replace(OPTIONS, max_bias_change=0.5)
    assert judged(options, data)[0].status == "passed"
    result = judged(replace(options, bin_by="pt", edges=(0, 200, 1000)), data)[0]
    assert result.status == "failed" and result.text.startswith("pt [200, 1000): change 5 less its error")


@pytest.mark.parametrize(("most", "status"), [(None, "not applicable"), (0.1, "failed")])
def test_no_row_gives_nothing_and_a_wanted_judgement_does_not_pass(most: float | None, status: str) -> None:
    data = events(5) | {"truth": np.zeros(5)}
    (result,) = judged(replace(OPTIONS, relative=True, max_bias_change=most), data)
    assert result.status == status and "no residuals" in result.text


def test_rows_that_are_not_finite_are_left_out_and_counted() -> None:
    data = events(100)
    data["reference"][0], data["candidate"][1], data["truth"][2], data["w"][3] = np.nan, np.inf, np.nan, np.nan
    result = judged(replace(OPTIONS, weight="w"), data)[0]
    assert result.figures["rows left out"] == 4 and "96 rows, 4 not finite left out" in result.text


def test_a_large_common_bias_costs_no_digits() -> None:
    data = {name: values.astype(np.float64) for name, values in events().items()}
    far = data | {"reference": data["reference"] + 1e9, "candidate": data["candidate"] + 1e9}
    near = judged(OPTIONS, data)[2].figures["all: reference"]
    assert judged(OPTIONS, far)[2].figures["all: reference"] == pytest.approx(near, rel=1e-6)


def test_merging_parts_that_found_other_bins() -> None:
    options = replace(OPTIONS, bin_by="pt", exact_rows=100)
    first, second = checked(options, events(200)), checked(options, events(200, seed=1))
    with pytest.raises(UsageError, match="give the edges"):
        first.merge(second)


def test_empty_bins_and_few_rows_warn_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check = checked(replace(OPTIONS, bin_by="pt", edges=(-5, -1, 0, 1000)), events(3))
        assert check.results()[0].figures["pt [-1, 0): reference"] != check.results()[0].figures["all: reference"]
        assert len(check.figures()[0].series[0].x) == 1
