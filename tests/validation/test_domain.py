"""Generated inputs with NaN in the reference's answer, or without one: the rest of them is compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from portinf.core.batch import Array, Arrays, Batch
from portinf.core.errors import RunnerError
from portinf.validation import Comparison, Tolerance, compare
from portinf.validation.domain import answered_rows, masked, nan_places
from tests.validation.sides import Side

X = np.arange(1, 41, dtype=np.float32).reshape(20, 2)
NAN = np.float32("nan")


def made(rows: int = 20) -> Batch:
    return Batch(name="made", inputs={"x": X[:rows]}, origin="generated")


def comparison(reference: Any, candidate: Any, *batches: Batch) -> Comparison:
    return compare(Side(reference), Side(candidate), batches or [made()], tolerance=Tolerance())


def picky(*bad: float) -> Any:
    """Return a reference that refuses requests with one of these rows, by their first number."""

    def infer(inputs: Mapping[str, Array]) -> Arrays:
        if np.isin(inputs["x"][:, 0], bad).any():
            raise RunnerError("index out of range")
        return {"y": inputs["x"].sum(1)}

    return infer


def with_nan(inputs: Mapping[str, Array]) -> Arrays:
    y = inputs["x"].copy()
    y[::3, 1] = NAN
    return {"y": y, "label": (inputs["x"][:, 0] > 5).astype(np.int64)}


def test_what_is_not_nan_in_the_reference_is_compared() -> None:
    def other(inputs: Mapping[str, Array]) -> Arrays:
        answer = with_nan(inputs)
        answer["y"][::3, 1] = 7.0  # anything may stand where the reference has no answer
        answer["label"][::3] = 9
        return answer

    found = comparison(with_nan, other)
    assert found.verdict == "equal" and found.cases[0].status == "equal"
    assert found.cases[0].reason == "not compared: 14 elements, where the reference gives NaN"
    assert [output.tally.count for output in found.outputs] == [33, 13]


@pytest.mark.parametrize("change", [lambda y, _: y.__imul__(2), lambda _, label: label.__iadd__(1), lambda y, _: y.fill(NAN)])
def test_one_nan_does_not_excuse_the_rest(change: Any) -> None:
    def wrong(inputs: Mapping[str, Array]) -> Arrays:
        answer = with_nan(inputs)
        change(answer["y"], answer["label"])
        return answer

    found = comparison(with_nan, wrong)
    assert found.verdict == "disagrees" and "not compared" in found.reason


def test_a_candidate_that_refuses_what_the_reference_gives_nan_to_is_outside_the_domain() -> None:
    def refuse(_: object) -> Arrays:
        raise RunnerError("no entries")

    found = comparison(with_nan, refuse, made(), Batch(name="given", inputs={"x": X}))
    assert [case.status for case in found.cases] == ["outside domain", "disagrees"] and found.cases[0].refused
    nothing = comparison(lambda _: {"y": np.full(3, -np.inf, np.float32)}, refuse)
    assert nothing.cases[0].status == "outside domain" and "no answer: no entries" in nothing.cases[0].reason
    assert comparison(lambda i: {"y": i["x"].sum(1)}, refuse).cases[0].status == "disagrees"


def test_rows_that_the_reference_refuses_do_not_excuse_the_others() -> None:
    right, wrong = (lambda i: {"y": i["x"].sum(1)}), (lambda i: {"y": i["x"].sum(1) * 2})
    found = comparison(picky(7.0), right)
    assert found.verdict == "equal" and found.outputs[0].tally.count == 19
    assert "to 1 of 20 rows the reference has no answer: index out of range" in found.cases[0].reason
    assert comparison(picky(7.0), wrong).verdict == "disagrees"
    given = comparison(picky(7.0), right, Batch(name="given", inputs={"x": X}))
    assert given.cases[0].status == "disagrees"


def test_rows_are_found_in_few_requests() -> None:
    asked: list[int] = []
    infer = picky(7.0, 9.0, 33.0)

    def counted(inputs: Mapping[str, Array]) -> Arrays:
        asked.append(len(inputs["x"]))
        return infer(inputs)  # type: ignore[no-any-return]

    kept = answered_rows(Side(counted), made())
    assert kept is not None and kept.rows == 17 and len(asked) <= 24
    asked.clear()
    assert answered_rows(Side(picky(*X[:, 0])), made()) is None
    assert answered_rows(Side(infer), made(1)) is None


def test_places_without_a_number() -> None:
    expected = {"y": np.array([[1, NAN], [2, 3]]), "z": np.array([1.0]), "n": np.array([1, 2]), "other": np.array([1, 2, 3])}
    places = nan_places(expected)
    assert {name: mask.tolist() for name, mask in places.items()} == {
        "y": [[False, True], [False, False]],
        "z": [False],
        "n": [True, False],
        "other": [True, True, True],
    }
    ours, theirs = masked(expected, {"y": np.array([[1, 5.0], [2, 3]]), "z": np.zeros(2), "n": np.array([8, 2])}, places)
    np.testing.assert_array_equal(ours["y"], theirs["y"])
    assert ours["n"].tolist() == theirs["n"].tolist() == [1, 2] and theirs["z"].shape == (2,)
    assert nan_places({"y": np.ones(3), "s": np.array(["a"], object)}) == {}
