"""Two sides and a stream of batches: statuses, reasons and the verdict of the comparison."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from portinf.core.batch import Array, Arrays, Batch, Origin
from portinf.core.errors import RunnerError, ServingError, UsageError
from portinf.runners.protocol import RunnerInfo
from portinf.validation import Comparison, Tolerance, compare
from tests.validation.sides import Side


def batch(rows: int = 3, *, origin: Origin = "given", expected: Arrays | None = None, name: str = "b") -> Batch:
    return Batch(name=name, inputs={"x": np.ones((rows, 2), np.float32)}, origin=origin, expected=expected)


def constant(**outputs: object) -> Side:
    return Side(lambda _: {name: np.asarray(value, np.float32) for name, value in outputs.items()})


def raising(error: Exception) -> Side:
    def fail(_: object) -> Arrays:
        raise error

    return Side(fail)


def comparison(reference: Side | None, candidate: Side, *batches: Batch, allow_nan: bool = False) -> Comparison:
    return compare(reference, candidate, batches or [batch()], tolerance=Tolerance(), allow_nan=allow_nan)


def test_equal_sides() -> None:
    found = comparison(constant(y=[1, 2]), constant(y=[1, 2.00001]), batch(3), batch(5))
    assert found.verdict == "equal" and found.cases[1].sizes == {"rows": 5}
    assert found.summary() == "2 cases equal, largest error 1e-05 at output 'y' (rows=3)"
    assert found.outputs[0].tally.count == 4
    json.dumps(found.to_json(), allow_nan=False)


def test_a_failure_names_case_output_sizes_element_values_and_bound() -> None:
    summary = comparison(constant(y=[1, 2]), constant(y=[1, 2.5]), batch(7, name="f.npz")).summary()
    parts = ("f.npz (rows=7)", "output 'y'", "at [1]", "reference 2,", "candidate 2.5", "allowed 0.00022", "rtol 0.0001")
    for part in (*parts, "times the column's scale 2)"):
        assert part in summary


def test_outputs_are_matched_by_name_not_by_position() -> None:
    assert comparison(constant(a=[1], b=[2]), constant(b=[2], a=[1])).verdict == "equal"
    swapped = comparison(constant(a=[1], b=[2]), constant(a=[2], b=[1]))
    assert "looks swapped with 'b'" in swapped.reason and "1 more output" in swapped.reason


def test_renamed_missing_and_extra_outputs() -> None:
    renamed = comparison(constant(a=[1]), constant(z=[1]))
    assert "output 'a': the candidate has no such output; it has: z; looks renamed to 'z'" in renamed.reason
    extra = comparison(constant(a=[1]), constant(a=[1], z=[3]))
    assert "output 'z': the reference has no such output; it has: a" in extra.reason
    assert comparison(constant(), constant()).verdict == "disagrees"


def test_shape_and_type() -> None:
    assert "shape: expected [2], found [1]" in comparison(constant(y=[1, 2]), constant(y=[1])).reason
    wide = Side(lambda _: {"y": np.ones(1)})
    assert "type: expected float32, found float64" in comparison(constant(y=[1]), wide).reason


@pytest.mark.parametrize(("allow_nan", "verdict"), [(False, "disagrees"), (True, "equal")])
def test_given_inputs_with_nan_on_both_sides(allow_nan: bool, verdict: str) -> None:
    assert comparison(constant(y=[np.nan]), constant(y=[np.nan]), allow_nan=allow_nan).verdict == verdict


def test_generated_inputs_outside_the_domain_neither_pass_nor_fail() -> None:
    def mean(inputs: dict[str, Array]) -> Arrays:
        if inputs["x"].shape[0] == 1:
            raise RunnerError("needs two rows")
        return {"y": np.full(1, np.nan if inputs["x"].shape[0] == 0 else 1.0, np.float32)}

    sizes = [batch(n, origin="generated") for n in (0, 1, 2)]
    found = comparison(Side(mean), constant(y=[1]), *sizes)  # type: ignore[arg-type]
    assert [case.status for case in found.cases] == ["outside domain", "outside domain", "equal"]
    assert found.cases[0].sizes == {"rows": 0} and "NaN at output 'y'" in found.cases[0].reason
    assert "needs two rows" in found.cases[1].reason
    assert found.verdict == "equal" and "1 case equal, 2 outside domain" in found.summary()


def test_candidate_nan_where_the_reference_has_numbers_fails() -> None:
    for allow_nan in (False, True):
        found = comparison(constant(y=[1]), constant(y=[np.nan]), batch(origin="generated"), allow_nan=allow_nan)
        assert found.cases[0].status == "disagrees"


def test_nothing_compared_is_not_equal() -> None:
    outside = comparison(constant(y=[np.nan]), constant(y=[1]), batch(origin="generated"))
    assert outside.verdict == "disagrees" and "all 1 cases are outside the reference's domain" in outside.summary()
    empty = compare(constant(y=[1]), constant(y=[1]), [], tolerance=Tolerance())
    assert empty.verdict == "disagrees" and "no samples" in empty.summary()


def test_who_cannot_answer() -> None:
    refused = comparison(constant(y=[1]), raising(RunnerError("bad shape")), batch(origin="generated"))
    assert refused.cases[0].status == "disagrees" and "the candidate does not: bad shape" in refused.reason
    assert "the reference has no answer: bad shape" in comparison(raising(RunnerError("bad shape")), constant(y=[1])).reason
    with pytest.raises(ServingError):
        comparison(constant(y=[1]), raising(ServingError("gone")))


def test_recorded_outputs_are_a_reference() -> None:
    good = batch(expected={"y": np.ones(1, np.float32)})
    found = comparison(None, constant(y=[1]), good)
    assert (found.verdict, found.reference) == ("equal", "recorded outputs")
    with pytest.raises(UsageError, match="no recorded outputs"):
        comparison(None, constant(y=[1]))


def test_batches_are_read_one_at_a_time_and_told() -> None:
    alive: list[str] = []

    def stream() -> Iterator[Batch]:
        for number in range(3):
            assert len(alive) == number
            yield batch(number, name=f"case {number}")

    compare(constant(y=[1]), constant(y=[1]), stream(), tolerance=Tolerance.of(None, 1e-5), progress=alive.append)
    assert alive == [f"case {n} (rows={n}): equal" for n in range(3)]


def test_batches_wait_for_the_scales_and_no_longer() -> None:
    told: list[str] = []
    waiting: list[int] = []

    def stream() -> Iterator[Batch]:
        for number in range(40):
            waiting.append(number - len(told))
            yield batch(1000, name=f"case {number}", origin="given" if number < 30 else "generated")

    rows = Side(lambda inputs: {"y": np.arange(len(inputs["x"]), dtype=np.float32)})
    compare(rows, rows, stream(), tolerance=Tolerance(), progress=told.append)
    assert waiting[:17] == list(range(17)) and set(waiting[17:]) == {0}  # 16,384 values of the only column are enough


def test_one_number_counts_as_a_scalar_only_where_a_side_has_no_scalars() -> None:
    reference, candidate = constant(y=2.0), constant(y=[2.0])
    assert "shape: expected [], found [1]" in comparison(reference, candidate).reason
    candidate.info = RunnerInfo(scalars=False)
    assert comparison(reference, candidate).verdict == "equal"
