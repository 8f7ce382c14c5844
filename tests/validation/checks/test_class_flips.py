"""Flips of the best class: ties within tolerance are told, others fail."""

from __future__ import annotations

import numpy as np

from portinf.core.batch import Batch
from portinf.validation import Tolerance
from portinf.validation.check import CheckResult
from portinf.validation.checks.class_flips import Classes


def judged(reference: object, candidate: object, origin: str = "given") -> list[CheckResult]:
    check = Classes(Tolerance())
    r, c = np.asarray(reference, np.float32), np.asarray(candidate, np.float32)
    check.update({"y": r}, {"y": c}, Batch(name="f", inputs={"x": r}, origin=origin, first_row=100))  # type: ignore[arg-type]
    return list(check.results())


def test_a_tie_within_tolerance_is_reported() -> None:
    (result,) = judged([[0.5, 0.500001], [0.9, 0.1]], [[0.500001, 0.5], [0.9, 0.1]])
    assert result.status == "reported" and "1 of 2 rows" in result.text and "ties within tolerance" in result.text
    assert result.figures["flips"] == 1 and result.figures["flips beyond tolerance"] == 0


def test_a_flip_that_tolerance_does_not_explain_fails_and_is_named() -> None:
    (result,) = judged([[0.5, 0.500001], [0.4, 0.6]], [[0.500001, 0.5], [0.61, 0.6]])
    assert result.status == "failed"
    assert "1 of 2 rows" in result.text and "f [101]: class 1 of the reference, 0 of the candidate, margin 0.2" in result.text


def test_a_flip_past_a_tie_counts_the_class_that_the_candidate_takes() -> None:
    (result,) = judged([[0.4, 0.4, 0.2]], [[0.4, 0.4, 0.41]])
    assert result.status == "failed"


def test_no_flip_bounds_the_rate() -> None:
    scores = np.random.default_rng(0).random((1000, 7))
    (result,) = judged(scores, scores * (1 + 1e-7))
    assert (
        result.text.startswith("top-1 class changes in 0 of 1,000 rows") and 0 < float(result.figures["rate at most"]) < 0.004
    )
    assert result.figures["top 5 same"] == result.figures["top 5 rows"] == 1000


def test_the_best_five_are_looked_at_on_a_sample_of_the_rows() -> None:
    scores = np.random.default_rng(0).random((10_000, 10))
    other = scores.copy()
    other[:, [0, 9]] = other[:, [9, 0]]
    (result,) = judged(scores, other)
    assert int(result.figures["top 5 same"]) < int(result.figures["top 5 rows"]) <= 2048
    assert result.figures["rows"] == 10_000


def test_what_does_not_look_like_scores_is_left_alone() -> None:
    assert judged([1, 2], [2, 1]) == [] and judged([[1], [2]], [[2], [1]]) == []
    assert judged([[1, 2]], [[2, 1]], "generated") == []


def test_a_nan_is_no_flip() -> None:
    (result,) = judged([[np.nan, 1], [0, 1]], [[0, 1], [0, 1]])
    assert result.figures["flips"] == 0
