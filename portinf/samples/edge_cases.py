"""Generated cases beside the sweep of sizes: equal rows, values from the ranges given, and what the samples hold constant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from portinf.core.batch import Array, Batch
from portinf.core.signature import Signature, TensorSpec, dtype_by_numpy
from portinf.samples.generate import generate
from portinf.samples.user_options import Ranges

__all__ = ["edge_cases", "never_varied"]

JITTER = 0.05  # as of the sweep


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
    yield from _varied(signature, batches, ranges)


def never_varied(signature: Signature, batches: Sequence[Batch]) -> list[str]:
    """Say which inputs have one value in all samples and in all that is made of them: nothing shows what they do."""
    found = []
    for spec in signature.inputs:
        arrays = [batch.inputs[spec.name] for batch in batches if spec.name in batch.inputs]
        elements = np.concatenate([array.ravel() for array in arrays]) if arrays else np.zeros(0)
        changed = dtype_by_numpy(spec.dtype).is_float or spec.role.kind != "value"
        if not changed and elements.size > 1 and bool((elements == elements[0]).all()):
            where = f"input '{spec.name}' is {elements[0]} in all samples"
            found.append(f"{where}: what it does was not tested; give samples in which it varies")
    return found


def _varied(signature: Signature, batches: Sequence[Batch], ranges: Ranges) -> Iterator[Batch]:
    """Yield a batch in which the float inputs, and columns of them, vary that have one value in all samples.

    0 and 1 may be a flag or a mask: they become the other one in a part of the rows, or behind a part of the entries. Other
    numbers change by a few percent, whole ones by one.
    """
    if not batches:
        return
    rng = np.random.default_rng(0)
    inputs = dict(batches[0].inputs)
    for spec in signature.inputs:
        if spec.role.kind == "value" and dtype_by_numpy(spec.dtype).is_float and spec.name in inputs:
            arrays = [batch.inputs[spec.name] for batch in batches]
            constant = _constant(spec, arrays)
            if constant is not None:
                other = _other(spec, arrays[0], ranges.get(spec.name), rng)
                values = np.where(constant, other, arrays[0]).astype(arrays[0].dtype)
                inputs[spec.name] = values.reshape(arrays[0].shape)
    if any(inputs[name] is not array for name, array in batches[0].inputs.items()):
        yield Batch(name="generated, constant inputs varied", inputs=inputs, origin="generated")


def _constant(spec: TensorSpec, arrays: Sequence[Array]) -> Array | None:
    """Return which columns (of a fixed last axis; else the input as one) have one finite value; None where none has."""
    fixed = spec.shape is not None and len(spec.shape) > 1 and spec.shape[-1].size is not None
    columns = np.concatenate([array.reshape(-1, array.shape[-1] if fixed else 1) for array in arrays]).astype(np.float64)
    if not columns.size:
        return None
    constant = np.asarray((columns == columns[0]).all(axis=0))
    return constant if constant.any() else None


def _other(spec: TensorSpec, array: Array, value_range: tuple[float, float] | None, rng: np.random.Generator) -> Array:
    """Return other values for all elements of an array."""
    values = array.astype(np.float64)
    if value_range is not None:
        return np.asarray(rng.uniform(*value_range, array.shape))
    flag = (values == 0) | (values == 1)
    flipped = np.where(_behind(spec, array.shape, rng), 1 - values, values)
    jittered = values * rng.uniform(1 - JITTER, 1 + JITTER, array.shape)
    moved = np.where(values == np.rint(values), values + rng.choice([-1.0, 1.0], array.shape), jittered)
    return np.where(flag, flipped, moved)


def _behind(spec: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw elements: behind a part of the entries where each row has a number of them, as padding is, else any."""
    axes = [k for k, axis in enumerate(spec.shape or ()) if axis.label is not None]
    if len(axes) < 2 or len(axes) < len(shape):
        return np.asarray(rng.random(shape) < 0.5)
    last = axes[-1]
    counts = rng.integers(min(1, shape[last]), shape[last] + 1, (*shape[:last], 1))
    return np.broadcast_to(np.arange(shape[last]) >= counts, shape)


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
