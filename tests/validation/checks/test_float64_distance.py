"""The check against float64: what rounding explains, what it does not, what cannot be measured, and tolerances from it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from portinf.core.batch import Array, Arrays, Batch
from portinf.core.errors import CannotError
from portinf.validation import Tolerance, compare
from portinf.validation.check import CheckResult
from portinf.validation.checks.float64_distance import FACTOR, Precision, bounds_of
from tests.validation.sides import Side

X = np.random.default_rng(4).normal(size=(50, 2)).astype(np.float32)
BATCH = Batch(name="b", inputs={"x": X})


class Exact:
    def infer_double(self, inputs: Mapping[str, Array]) -> Arrays:
        return {"y": np.exp(inputs["x"].astype(np.float64)).sum(1)}


class Nothing:
    def infer_double(self, inputs: Mapping[str, Array]) -> Arrays:
        raise CannotError("no kernels")


def plain(inputs: Mapping[str, Array]) -> Arrays:
    return {"y": np.exp(inputs["x"]).sum(1)}


def measured(factor: float, batches: list[Batch] | None = None) -> CheckResult:
    check = Precision(Exact())
    for batch in batches or [BATCH]:
        expected = plain(batch.inputs)
        check.update(expected, {"y": expected["y"] * np.float32(factor)}, batch)
    [result] = check.results()
    return result


def test_rounding_otherwise_is_compatible_and_more_is_not() -> None:
    assert measured(1).status == "passed"
    assert measured(1 + 2.4e-7).status == "passed"
    bad = measured(1 + 2e-5)  # the elementwise tolerance would let this through
    assert bad.status == "failed" and bad.output == "y"
    assert "more than rounding explains" in bad.text and "rounding alone explains" in bad.text
    assert float(bad.figures["share"]) > 1 and float(bad.figures["reference"]) < 1e-5
    assert (
        compare(
            Side(plain), Side(lambda i: {"y": plain(i)["y"] * np.float32(1 + 2e-5)}), [BATCH], tolerance=Tolerance()
        ).verdict
        == "equal"
    )


def test_it_makes_the_comparison_disagree() -> None:
    comparison = compare(
        Side(plain),
        Side(lambda i: {"y": plain(i)["y"] * np.float32(1 + 2e-5)}),
        [BATCH],
        tolerance=Tolerance(),
        checks=[Precision(Exact())],
    )
    assert comparison.verdict == "disagrees" and comparison.reason.startswith("fp64 of output 'y': from fp64")


def test_a_reference_that_is_right_by_luck_counts_one_rounding() -> None:
    one = Batch(name="one", inputs={"x": np.zeros((1, 2), np.float32)})
    assert measured(1 + 1.2e-7, [one]).status == "passed"
    assert measured(1 + FACTOR * 3e-7, [one]).status == "failed"


def test_what_has_no_float64_is_said() -> None:
    check = Precision(Nothing())
    check.update(plain(BATCH.inputs), plain(BATCH.inputs), BATCH)
    assert [(result.status, result.text) for result in check.results()] == [("not applicable", "no kernels")]
    assert Precision(Exact()).results()[0].status == "not applicable"


def test_parts_are_merged() -> None:
    halves = [Batch(name=name, inputs={"x": X[k : k + 25]}) for name, k in (("a", 0), ("b", 25))]
    checks = [Precision(Exact()), Precision(Exact())]
    for check, batch in zip(checks, halves, strict=True):
        expected = plain(batch.inputs)
        check.update(expected, {"y": expected["y"] * np.float32(1 + 2e-5)}, batch)
    whole = measured(1 + 2e-5, halves)
    checks[0].merge(checks[1])
    assert checks[0].results() == [whole]


def test_bounds_from_float64() -> None:
    bounds = bounds_of(Side(plain), Exact(), [BATCH])
    assert 1e-6 < bounds["y"].rtol < 3e-5 and 0 < float(bounds["y"].absolute((50,))) < 1e-4
    tolerance = Tolerance(outputs=bounds)
    assert tolerance.for_output("y", "float32") is bounds["y"]
    assert tolerance.for_output("z", "float32") == Tolerance().for_output("z", "float32")
    assert str(tolerance).startswith("rtol/atol by output: 'y' ")
    wrong = compare(Side(plain), Side(lambda i: {"y": plain(i)["y"] * np.float32(1 + 8e-5)}), [BATCH], tolerance=tolerance)
    assert wrong.verdict == "disagrees"
    assert compare(Side(plain), Side(plain), [BATCH], tolerance=tolerance).verdict == "equal"
    with pytest.raises(CannotError):
        bounds_of(Side(plain), Nothing(), [BATCH])
