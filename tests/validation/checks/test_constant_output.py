"""Outputs that do not move: the reference's business, or a broken candidate."""

from __future__ import annotations

import numpy as np
import pytest

from portinf.core.batch import Batch
from portinf.validation.check import CheckResult
from portinf.validation.checks.constant_output import Stuck

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
MOVING = (1 / (1 + np.exp(-X[:, :1]))).astype(np.float32)


def judged(reference: np.ndarray, candidate: np.ndarray, x: np.ndarray = X, origin: str = "given") -> list[CheckResult]:
    check = Stuck()
    check.update({"y": reference}, {"y": candidate}, Batch(name="f", inputs={"x": x}, origin=origin))  # type: ignore[arg-type]
    return list(check.results())


@pytest.mark.parametrize(
    ("reference", "value", "words"),
    [
        (MOVING, 1.0, "gives 1 (saturated) for all 40 rows"),
        (MOVING, 0.0, "gives 0 (saturated)"),
        (MOVING, 0.25, "gives 0.25"),
        (np.hstack([MOVING, 1 - MOVING]), 0.5, "gives 1/2 for every class"),
    ],
)
def test_a_constant_candidate_fails(reference: np.ndarray, value: float, words: str) -> None:
    (result,) = judged(reference, np.full_like(reference, value))
    assert result.status == "failed" and result.output == "y" and words in result.text and "reference varies" in result.text


def test_also_where_every_element_is_within_tolerance() -> None:
    reference = np.float32(1e-6) * MOVING
    (result,) = judged(reference, np.zeros_like(reference))
    assert result.status == "failed"


def test_a_wobble_of_the_last_digit_does_not_hide_it() -> None:
    wobble = np.full_like(MOVING, 0.5)
    wobble[::2] = np.nextafter(np.float32(0.5), np.float32(1))
    assert judged(MOVING, wobble)[0].status == "failed"


def test_a_reference_that_varies_by_roundings_alone_is_no_proof() -> None:
    saturated = np.ones_like(MOVING)
    saturated[3] = np.nextafter(np.float32(1), np.float32(0))
    assert judged(saturated, np.ones_like(MOVING))[0].status == "reported"


def test_single_columns_are_reported() -> None:
    reference = np.hstack([MOVING, 1 - MOVING])
    candidate = reference.copy()
    candidate[:, 1] = 0
    (result,) = judged(reference, candidate)
    assert result.status == "reported" and "1 of 2 columns" in result.text and "first 1" in result.text


def test_both_constant_is_a_warning_over_sixteen_differing_rows() -> None:
    same = np.full_like(MOVING, 0.5)
    (result,) = judged(same, same)
    assert result.status == "reported" and result.text.startswith("warning: both models give 0.5")
    assert judged(same, same, np.ones_like(X))[0].status == "passed"


def test_outputs_that_move_pass_and_generated_rows_do_not_count() -> None:
    assert [r.status for r in judged(MOVING, MOVING)] == ["passed"]
    assert judged(MOVING, np.zeros_like(MOVING), origin="generated") == []


def test_one_row_proves_nothing() -> None:
    assert judged(MOVING[:1], np.zeros((1, 1), np.float32), X[:1])[0].status == "passed"


def test_one_row_at_a_time_is_seen_over_all_batches() -> None:
    check = Stuck()
    for k in range(20):
        batch = Batch(name=f"{k}", inputs={"x": X[k : k + 1]})
        check.update({"y": MOVING[k : k + 1]}, {"y": np.full((1, 1), 0.5, np.float32)}, batch)
    assert check.results()[0].status == "failed"


def test_nan_is_not_constant() -> None:
    assert judged(MOVING, np.full_like(MOVING, np.nan))[0].status == "passed"
