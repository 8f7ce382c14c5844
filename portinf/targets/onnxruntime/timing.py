"""How long two sides take for one request, in pairs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from portinf.core.batch import Array, Batch
from portinf.core.signature import Signature
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.runners.protocol import Runner
from portinf.samples.generate import default_sizes, generate

__all__ = ["in_turns", "paired", "slower", "timing_batch"]

PAIRS = 9
SECONDS = 5.0  # after which no further pair is begun
ROWS = 1000  # entries of an axis whose values are timed where there is no sample
POINTERS = 6  # entries that point into an axis, for each of its own
MOST = 4_000_000  # elements of all inputs


def timing_batch(signature: Signature, given: Sequence[Batch]) -> Batch:
    """Return the largest sample, or a generated request of a size that takes time."""
    if given:
        return max(given, key=lambda batch: sum(array.size for array in batch.inputs.values()))
    least = default_sizes(signature)
    pointing = {label for spec in signature.inputs if spec.role.kind == "index" for label in spec.labels}
    for rows in (ROWS, ROWS // 4, ROWS // 16, ROWS // 64):
        requested = {label: rows * (POINTERS if label in pointing else 1) for label in signature.axes}
        whole = {label: max(least[label], n - n % signature.axes[label].multiple) for label, n in requested.items()}
        sizes = {label: min(n, signature.axes[label].fit(n)) for label, n in whole.items()}
        if _elements(signature, sizes) <= MOST:
            return generate(signature, sizes)
    return generate(signature, least)


def _elements(signature: Signature, sizes: Mapping[str, int]) -> int:
    total = 0
    for spec in signature.inputs:
        count = 1
        for axis in spec.shape or ():
            count *= sizes[axis.label] if axis.label is not None else int(axis.size or 0)
        total += count
    return total


def slower(before: Sequence[float], after: Sequence[float], factor: float) -> bool:
    """Whether times are longer by more than a factor, and by more than their spread: the middle halves do not overlap."""
    (_, middle, high), (low, median, _) = statistics.quantiles(before, n=4), statistics.quantiles(after, n=4)
    return median > factor * middle and low > high


def paired(first: Path, second: Path, inputs: Mapping[str, Array], *, threads: int) -> tuple[list[float], list[float]]:
    """Return the seconds of both files, run alternately, at least two of each.

    Args:
        first, second: ONNX files that both answer the inputs.
        inputs: arrays by name.
        threads: intra-op threads; 0 lets ONNX Runtime choose.
    """
    with OnnxRuntimeRunner(first, threads=threads) as left, OnnxRuntimeRunner(second, threads=threads) as right:
        return in_turns(left, right, inputs)


def in_turns(left: Runner, right: Runner, inputs: Mapping[str, Array]) -> tuple[list[float], list[float]]:
    """Return the seconds of both models, run alternately after a request to warm up, at least two of each.

    Args:
        left, right: sides that both answer the inputs.
        inputs: arrays by name.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for runner in (left, right):
        runner.infer(inputs)
    end = time.perf_counter() + SECONDS
    while len(times[1]) < 2 or (len(times[1]) < PAIRS and time.perf_counter() < end):
        for runner, found in ((left, times[0]), (right, times[1])):
            start = time.perf_counter()
            runner.infer(inputs)
            found.append(time.perf_counter() - start)
    return times
