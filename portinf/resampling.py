"""Makes batches at other sizes: from the user's rows with changed values, or from a signature's ranges and roles alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from portinf.errors import UsageError
from portinf.samples import Array, Arrays, Batch, check_batch
from portinf.signature import Axis, Signature, TensorSpec, dtype_by_numpy

__all__ = ["default_sizes", "generate", "resample", "sizes_to_try", "sweep"]

JITTER = 0.05  # values change by up to five percent, and stay in the range that was seen
MAX_BYTES = 256 << 20  # larger batches are not made


def default_sizes(signature: Signature) -> dict[str, int]:
    """Return a small length for each dynamic axis: all different, none 0 or 1."""
    return {label: _fit(axis, 4 + 3 * number) for number, (label, axis) in enumerate(signature.axes.items())}


def _fit(axis: Axis, size: int) -> int:
    """Return the nearest length that the axis accepts, from above."""
    size = max(size, axis.minimum)
    return -(-size // axis.multiple) * axis.multiple


def sizes_to_try(signature: Signature, base: Mapping[str, int], largest: Mapping[str, int]) -> list[dict[str, int]]:
    """List settings of the dynamic axes, one axis moved at a time from ``base``, then all at once.

    Args:
        signature: gives minimum and multiple of each axis.
        base: a setting that the model is known to accept.
        largest: largest length of each axis in the user's samples.
    """
    settings: list[dict[str, int]] = []
    for label, axis in signature.axes.items():
        for wanted in (0, 1, 3, largest[label] + 1, 2 * largest[label] + 1):
            setting = {**base, label: _fit(axis, wanted)}
            if setting not in settings and setting != dict(base):
                settings.append(setting)
    if len(signature.axes) > 1:
        settings.append(
            {label: _fit(axis, largest[label] + 2 + 3 * n) for n, (label, axis) in enumerate(signature.axes.items())}
        )
    kept = [_emptied(signature, setting) for setting in settings]
    return [setting for setting in kept if all(setting[label] >= axis.minimum for label, axis in signature.axes.items())]


def _emptied(signature: Signature, sizes: Mapping[str, int]) -> dict[str, int]:
    """Return sizes in which nothing points into an empty axis."""
    emptied = dict(sizes)
    before: dict[str, int] = {}
    while emptied != before:
        before = dict(emptied)
        for spec in signature.inputs:
            targets = (spec.role.of, spec.role.into) if spec.role.kind == "index" else (spec.role.into,)
            if any(target is not None and emptied[target] == 0 for target in targets):
                emptied.update({label: 0 for label in spec.labels})
    return emptied


def sweep(signature: Signature, batches: Sequence[Batch], *, seed: int = 0) -> Iterator[Batch]:
    """Yield batches at sizes other than the samples', made from the samples' rows, or from the ranges where there are none.

    Args:
        signature: axes, roles and ranges.
        batches: the user's samples; may be empty.
        seed: of the random choices; equal seeds give equal batches.
    """
    if not signature.axes:
        return
    sizes = [check_batch(signature, batch) for batch in batches] or [default_sizes(signature)]
    order = max(range(len(sizes)), key=lambda k: min(sizes[k].values(), default=0))
    largest = {label: max(s[label] for s in sizes) for label in signature.axes}
    for number, setting in enumerate(sizes_to_try(signature, sizes[order], largest)):
        if _bytes(signature, setting) > MAX_BYTES:
            continue
        if batches:
            batch = resample(signature, batches[order], setting, seed=seed + number)
        else:
            batch = generate(signature, setting, seed=seed + number)
        yield replace(batch, name=f"generated {number + 1}")


def _bytes(signature: Signature, sizes: Mapping[str, int]) -> int:
    return sum(
        int(np.prod(_shape(spec, sizes), dtype=np.int64)) * max(1, dtype_by_numpy(spec.dtype).size) for spec in signature.inputs
    )


def _shape(spec: TensorSpec, sizes: Mapping[str, int]) -> tuple[int, ...]:
    if spec.shape is None:
        raise UsageError(f"input '{spec.name}' has no known rank: give samples with --inputs")
    return tuple(sizes[axis.label] if axis.label is not None else int(axis.size or 0) for axis in spec.shape)


def resample(signature: Signature, batch: Batch, sizes: Mapping[str, int], *, seed: int = 0) -> Batch:
    """Make a batch of other sizes from a user's batch: rows drawn again, values changed, roles kept consistent.

    Args:
        signature: axes, roles and ranges.
        batch: rows to draw from.
        sizes: length of every dynamic axis by label.
        seed: of the random choices.
    """
    rng = np.random.default_rng(seed)
    sizes = _emptied(signature, sizes)
    old = check_batch(signature, batch)
    if any(old[label] == 0 and sizes[label] > 0 for label in signature.axes):
        return generate(signature, sizes, seed=seed)
    ordered = {spec.role.of for spec in signature.inputs if spec.role.kind == "mask"}
    rows: dict[str, Array] = {}
    for label in signature.axes:
        drawn = rng.integers(0, max(1, old[label]), sizes[label])
        rows[label] = _kept_in_order(drawn) if label in ordered else drawn
    inputs: Arrays = {}
    for name, array in batch.inputs.items():
        spec = signature.input(name)
        inputs[name] = _resampled(spec, array, rows, old, sizes, rng)
    return Batch(name="generated", inputs=inputs, origin="generated")


def _kept_in_order(drawn: Array) -> Array:
    """Sort drawn places, the first of them 0: padding stays behind, and what was not all padding does not become so."""
    drawn = np.sort(drawn)
    drawn[:1] = 0
    return drawn


def _resampled(
    spec: TensorSpec,
    array: Array,
    rows: Mapping[str, Array],
    old: Mapping[str, int],
    sizes: Mapping[str, int],
    rng: np.random.Generator,
) -> Array:
    if spec.role.kind in ("segment", "row_splits"):
        groups = int(array.max(initial=0)) + 1 if spec.role.kind == "segment" else 0
        return _structured(spec, sizes, groups, rng)
    taken = array
    for number, axis in enumerate(spec.shape or ()):
        if axis.label is not None:
            taken = np.take(taken, rows[axis.label], axis=number)
    if spec.role.kind == "index" and spec.role.of is not None:
        if spec.role.into is not None:
            return _between(array, taken, spec, old, sizes, rng)
        return _reindexed(array, taken, old[spec.role.of], sizes[spec.role.of], rng)
    if spec.role.kind == "mask" or not dtype_by_numpy(spec.dtype).is_float:
        return taken.copy()
    return _jittered(array, taken, rng)


def _jittered(array: Array, taken: Array, rng: np.random.Generator) -> Array:
    """Change values by a few percent inside the range that was seen; zeros (padding) and whole numbers stay."""
    finite = array[np.isfinite(array)]
    if finite.size == 0 or np.array_equal(finite, np.rint(finite)):
        return taken.copy()
    factor = rng.uniform(1 - JITTER, 1 + JITTER, taken.shape)
    changed = np.clip(taken.astype(np.float64) * factor, float(finite.min()), float(finite.max()))
    return np.asarray(np.where(np.isfinite(taken) & (taken != 0), changed, taken)).astype(array.dtype)


def _reindexed(array: Array, taken: Array, old: int, new: int, rng: np.random.Generator) -> Array:
    """Map indices into an axis of another length: half keep their place in proportion, half are drawn anew; padding < 0 stays."""
    if taken.size == 0:
        return taken.copy()
    scaled = np.minimum(taken.astype(np.int64) * new // max(1, old), new - 1)
    mixed = np.where(rng.random(taken.shape) < 0.5, scaled, rng.integers(0, new, taken.shape))
    result = np.where(taken < 0, taken, mixed).astype(array.dtype)
    return _sorted_like(array, result)


def _between(
    array: Array, taken: Array, spec: TensorSpec, old: Mapping[str, int], sizes: Mapping[str, int], rng: np.random.Generator
) -> Array:
    """Map indices whose row 0 points into one axis and whose other rows point into another."""
    rows = [_reindexed(array[:1], taken[:1], old[spec.role.of or ""], sizes[spec.role.of or ""], rng)]
    rows.append(_reindexed(array[1:], taken[1:], old[spec.role.into or ""], sizes[spec.role.into or ""], rng))
    return np.concatenate(rows)


def _sorted_like(array: Array, result: Array) -> Array:
    """Sort the entries along the last axis if the original was sorted by one of its rows."""
    flat, fresh = array.reshape(-1, array.shape[-1]), result.reshape(-1, result.shape[-1])
    for row, values in enumerate(flat):
        if values.size > 2 and values[0] < values[-1] and bool(np.all(np.diff(values) >= 0)):
            order = np.argsort(fresh[row], kind="stable")
            return np.ascontiguousarray(result[..., order])
    return result


def _structured(spec: TensorSpec, sizes: Mapping[str, int], groups: int, rng: np.random.Generator) -> Array:
    """Make a segment vector (sorted group numbers) or row splits (offsets) of a given length."""
    shape = _shape(spec, sizes)
    if spec.role.kind == "row_splits":
        inner = np.sort(rng.integers(0, sizes[spec.role.of or ""] + 1, max(0, shape[0] - 2)))
        ends: list[Any] = [np.zeros(1), inner, np.full(1, sizes[spec.role.of or ""])]
        return np.concatenate(ends)[: shape[0]].astype(spec.dtype)
    count = sizes[spec.role.into] if spec.role.into else max(1, groups)
    drawn = np.sort(rng.integers(0, max(1, count), shape))
    if spec.role.into is None and drawn.size:
        drawn = drawn - drawn.min()
    return drawn.astype(spec.dtype)


def generate(signature: Signature, sizes: Mapping[str, int] | None = None, *, seed: int = 0) -> Batch:
    """Make a batch from the signature alone: values in the ranges known, indices in range, masks as padding.

    Args:
        signature: axes, roles and ranges.
        sizes: length of dynamic axes by label; those left out get a small default.
        seed: of the random choices.

    Raises:
        UsageError: the rank of an input is unknown.
    """
    rng = np.random.default_rng(seed)
    full = _emptied(signature, {**default_sizes(signature), **(sizes or {})})
    inputs = {spec.name: _generated(spec, full, rng) for spec in signature.inputs if not spec.optional}
    return Batch(name="generated", inputs=inputs, origin="generated")


def _generated(spec: TensorSpec, sizes: Mapping[str, int], rng: np.random.Generator) -> Array:
    shape, dtype = _shape(spec, sizes), dtype_by_numpy(spec.dtype)
    if spec.role.kind in ("segment", "row_splits"):
        return _structured(spec, sizes, 3, rng)
    if spec.role.kind == "index":
        first = rng.integers(0, max(1, sizes[spec.role.of or ""]), shape)
        if spec.role.into is not None:
            first[1:] = rng.integers(0, max(1, sizes[spec.role.into]), first[1:].shape)
        return first.astype(spec.dtype)
    if spec.role.kind == "mask":
        return _prefix_mask(spec, shape, rng)
    if dtype.numpy == "object":
        return rng.choice(np.array(["a", "bc", "def"], dtype=object), shape)
    if dtype.numpy == "bool":
        return rng.random(shape) < 0.5
    if dtype.is_integer:
        low, high = int(spec.low or 0), int(spec.high if spec.high is not None else 1)
        return rng.integers(low, high + 1, shape).astype(spec.dtype)
    if spec.low is None or spec.high is None:
        return np.asarray(rng.standard_normal(shape)).astype(spec.dtype)
    return np.asarray(rng.uniform(spec.low, spec.high, shape)).astype(spec.dtype)


def _prefix_mask(spec: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Make a mask whose true entries come first along the axis it masks, at least one where there is room."""
    axis = next((k for k, a in enumerate(spec.shape or ()) if a.label == spec.role.of), len(shape) - 1)
    length = shape[axis]
    counts = rng.integers(min(1, length), length + 1, shape[:axis] + (1,) + shape[axis + 1 :])
    place = np.arange(length).reshape((length,) + (1,) * (len(shape) - axis - 1))
    return np.broadcast_to(place < counts, shape).astype(spec.dtype)
