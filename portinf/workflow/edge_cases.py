"""Generated cases beside the sweep of sizes: equal rows, and values from the whole of the ranges that the user gave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from portinf.resampling import generate
from portinf.samples import Array, Batch
from portinf.signature import Signature, TensorSpec
from portinf.workflow.told import Ranges

__all__ = ["edge_cases"]


def edge_cases(signature: Signature, batches: Sequence[Batch], ranges: Ranges) -> Iterator[Batch]:
    """Yield what no sweep of sizes holds.

    Args:
        signature: axes, roles and ranges.
        batches: the user's samples; may be empty.
        ranges: those that the user gave by hand.
    """
    if ranges and batches:  # without samples every generated batch is in them
        yield replace(generate(signature), name="generated, values from the ranges given")
    if signature.axes:
        yield from _equal_rows(signature, batches[0] if batches else generate(signature))


def _equal_rows(signature: Signature, base: Batch) -> Iterator[Batch]:
    """Yield a batch whose rows are all the first one: a model that mixes rows, or numbers them, shows it."""
    label = next((spec.labels[0] for spec in signature.inputs if spec.labels and spec.role.kind == "value"), None)
    inputs = {name: _repeated(signature.input(name), array, label) for name, array in base.inputs.items()}
    if any(not np.array_equal(inputs[name], array) for name, array in base.inputs.items()):
        yield Batch(name="generated, equal rows", inputs=inputs, origin="generated")


def _repeated(spec: TensorSpec, array: Array, label: str | None) -> Array:
    """Repeat the first entry along the labelled axis; indices, segments and splits stay as they are."""
    if spec.role.kind not in ("value", "mask"):
        return array
    for number, axis in enumerate(spec.shape or ()):
        if axis.label == label and label is not None and array.shape[number]:
            array = np.take(array, np.zeros(array.shape[number], np.int64), axis=number)
    return array
