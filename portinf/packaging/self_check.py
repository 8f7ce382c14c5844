"""Judges an ONNX file by itself: ONNX Runtime on the graph as it is against ONNX Runtime on the graph rewritten."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from portinf.core.batch import Arrays, Batch
from portinf.core.errors import RunnerError
from portinf.core.progress import Progress
from portinf.runners import Runner
from portinf.runners.float64 import Float64
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.samples.case_set import CaseSet
from portinf.validation import Comparison, Tolerance, compare

__all__ = ["SelfCheck", "self_check"]


@dataclass(frozen=True, kw_only=True)
class SelfCheck:
    """The comparison, and the batches with the outputs of the graph as it is."""

    comparison: Comparison
    goldens: tuple[Batch, ...]


def self_check(path: Path, cases: CaseSet, *, tolerance: Tolerance, progress: Progress) -> SelfCheck:
    """Run a file at graph level "none" and "all" on all cases, and one of them twice.

    Args:
        path: the ONNX file.
        cases: what it is judged on.
        tolerance: of the comparison.
        progress: called with one line per case.

    Returns:
        The comparison; as goldens the user's samples, else generated batches that have an answer and are not empty.
    """
    with ExitStack() as stack:
        reference = stack.enter_context(OnnxRuntimeRunner(path, level="none", name="ONNX Runtime, graph as it is"))
        candidate = stack.enter_context(OnnxRuntimeRunner(path, level="all", name="ONNX Runtime, graph rewritten"))
        float64 = stack.enter_context(Float64())
        comparison = compare(reference, candidate, cases, tolerance=tolerance, progress=progress, float64=float64)
        if comparison.verdict == "equal":
            comparison = _asked_again(reference, cases, comparison, tolerance)
        return SelfCheck(comparison=comparison, goldens=tuple(_goldens(reference, cases.given or cases)))


def _asked_again(reference: Runner, cases: CaseSet, comparison: Comparison, tolerance: Tolerance) -> Comparison:
    """Return the comparison of one session with itself if its answers change: two sessions may draw the same random numbers."""
    equal = {case.name for case in comparison.cases if case.status == "equal"}
    good = (batch for batch in cases.first() if batch.origin == "given" or batch.name in equal)
    largest = max(good, key=lambda batch: sum(array.size for array in batch.inputs.values()))
    again = compare(reference, reference, [largest], tolerance=tolerance)
    return comparison if again.verdict == "equal" else replace(again, candidate=f"{again.candidate}, second run")


def _goldens(reference: Runner, batches: Iterable[Batch]) -> Iterator[Batch]:
    for batch in batches:
        try:
            outputs = reference.infer(batch.inputs)
        except RunnerError:
            continue  # outside the model's domain: the comparison has said so
        if batch.origin == "given" or not (_has_nan(outputs) or _empty(batch.inputs)):
            yield replace(batch, expected=outputs)


def _has_nan(outputs: Arrays) -> bool:
    return any(array.dtype.kind == "f" and bool(np.isnan(array).any()) for array in outputs.values())


def _empty(arrays: Arrays) -> bool:
    return any(array.size == 0 for array in arrays.values())
