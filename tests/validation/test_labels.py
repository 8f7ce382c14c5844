"""Labels that differ: those that the tolerance of the scores explains, and no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from portinf.core.batch import Arrays, Batch
from portinf.core.signature import Signature
from portinf.runners.protocol import RunnerInfo
from portinf.validation import Tolerance, compare
from portinf.validation.labels import explained
from portinf.validation.limits import Limits

CLASSES = np.array([3, 5, 9])
LABELS = {"label": ("scores", CLASSES)}


class Fixed:
    """A runner with one answer."""

    signature = Signature(inputs=(), outputs=())

    def __init__(self, name: str, answer: Arrays, labels: Mapping[str, Any] | None = None) -> None:
        self.name, self._answer, self.info = name, answer, RunnerInfo(labels=labels or {})

    def infer(self, inputs: Mapping[str, Any]) -> Arrays:
        return self._answer

    def __enter__(self) -> Fixed:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def answer(labels: list[int], scores: list[list[float]]) -> Arrays:
    return {"label": np.array(labels), "scores": np.array(scores, np.float32)}


def limits(rtol: float, atol: float) -> Limits:
    return Limits(tolerance=Tolerance(rtol=rtol, atol=atol))


def test_only_near_ties_are_settled() -> None:
    expected = answer([3, 3, 5], [[0.5, 0.49, 0.01], [0.6, 0.4, 0.0], [0.1, 0.8, 0.1]])
    found = answer([5, 5, 7], [[0.495, 0.496, 0.009], [0.6, 0.4, 0.0], [0.1, 0.8, 0.1]])
    settled = explained(expected, found, LABELS, limits(0.01, 0.01), {})
    assert settled["label"].tolist() == [3, 5, 7]
    assert found["label"].tolist() == [5, 5, 7]


def test_texts_are_labels_too() -> None:
    expected = {"label": np.array(["b"], object), "scores": np.array([[0.5, 0.499]])}
    found = {"label": np.array(["c"], object), "scores": np.array([[0.499, 0.5]])}
    settled = explained(expected, found, {"label": ("scores", np.array(["b", "c"], object))}, limits(0.01, 0.0), {})
    assert settled["label"].tolist() == ["b"]


def test_other_shapes_are_left_alone() -> None:
    expected, found = answer([3], [[0.5, 0.5]]), answer([5], [[0.5, 0.5]])
    assert explained(expected, found, LABELS, limits(1.0, 1.0), {})["label"].tolist() == [5]
    assert explained({"label": expected["label"]}, found, LABELS, limits(1.0, 1.0), {})["label"].tolist() == [5]


def batches() -> Iterator[Batch]:
    yield Batch(name="f", inputs={"x": np.zeros((1, 1), np.float32)})


def test_a_comparison_takes_them_from_the_candidate() -> None:
    reference = Fixed("r", answer([3], [[0.5, 0.499, 0.0]]))
    near = answer([5], [[0.499, 0.5, 0.0]])
    tolerance = Tolerance.of(0.01, 0.01)
    assert compare(reference, Fixed("c", near, LABELS), batches(), tolerance=tolerance).verdict == "equal"
    assert compare(reference, Fixed("c", near), batches(), tolerance=tolerance).verdict != "equal"
    far = Fixed("c", answer([5], [[0.5, 0.499, 0.0]]), LABELS)
    exact = Tolerance.of(1e-6, 1e-6)
    assert compare(reference, far, batches(), tolerance=exact).verdict != "equal"
