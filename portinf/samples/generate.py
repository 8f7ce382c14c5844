"""Makes batches at other sizes: from the user's rows with changed values, or from a signature's ranges and roles alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from portinf.core.batch import Array, Arrays, Batch, check_batch
from portinf.core.errors import UsageError
from portinf.core.signature import Signature, TensorSpec, dtype_by_numpy

__all__ = [
    "MAX_BYTES",
    "bytes_needed",
    "default_sizes",
    "generate",
    "not_tried",
    "request_bytes",
    "resample",
    "sizes_to_try",
    "start_of",
    "sweep",
]

JITTER = 0.05  # values change by up to five percent, and stay in the range that was seen
MAX_BYTES = 256 << 20  # what would take more is not tried, and said to be
FACTOR = 8  # of the longest sample: the longest that is tried
PAIR_BYTES = 4  # of one entry with one other, as in an attention's weights
MASKS = (("every mask 1", 1, 1), ("every mask 0", 0, 0), ("masks 0 in the first row", 0, 1))  # name, first row, other rows


def default_sizes(signature: Signature) -> dict[str, int]:
    """Return a small length for each dynamic axis: all different, none 0 or 1, as far as the axes accept that."""
    return {label: axis.fit(4 + 3 * number) for number, (label, axis) in enumerate(signature.axes.items())}


def sizes_to_try(
    signature: Signature, base: Mapping[str, int], largest: Mapping[str, int]
) -> tuple[list[dict[str, int]], list[str]]:
    """List settings of the dynamic axes, one axis moved at a time from ``base``, then all at once; and say what is too large.

    An axis goes to 0, 1, 3, one more than the longest sample and eight times that; where eight times is too large, to twice it
    plus one. An axis with a largest length goes to that, and never beyond.

    Args:
        signature: gives minimum, multiple and maximum of each axis.
        base: a setting that the model is known to accept.
        largest: largest length of each axis in the user's samples.

    Returns:
        The settings, and one line for each that is left out because of its size.
    """
    settings: list[dict[str, int]] = []
    notes: list[str] = []
    for label, axis in signature.axes.items():
        lengths = dict.fromkeys(axis.fit(n) for n in (FACTOR * largest[label], axis.maximum) if n is not None)
        far = {n: bytes_needed(signature, {**base, label: n}, label) for n in lengths}
        requested = [0, 1, 3, largest[label] + 1, *(n for n, needed in far.items() if needed <= MAX_BYTES)]
        if max(far.values()) > MAX_BYTES:
            requested.append(2 * largest[label] + 1)
        settings += [{**base, label: axis.fit(n)} for n in requested]
        notes += [_too_large({label: n}, needed) for n, needed in far.items() if needed > MAX_BYTES]
    if len(signature.axes) > 1:
        settings.append({label: axis.fit(largest[label] + 2 + 3 * n) for n, (label, axis) in enumerate(signature.axes.items())})
    kept: list[dict[str, int]] = []
    for moved in settings:
        setting = _emptied(signature, moved)
        known = setting in [*kept, dict(base)]
        if known or any(setting[label] < axis.minimum for label, axis in signature.axes.items()):
            continue
        if request_bytes(signature, setting) > MAX_BYTES:
            shown = {label: n for label, n in setting.items() if n != base[label]}
            notes.append(_too_large(shown, request_bytes(signature, setting)))
        else:
            kept.append(setting)
    return kept, notes


def bytes_needed(signature: Signature, sizes: Mapping[str, int], label: str) -> int:
    """Estimate what a model may take at these sizes: its inputs, or every entry of one axis against every other."""
    return max(request_bytes(signature, sizes), _pair_bytes(signature, sizes, label))


def _too_large(sizes: Mapping[str, int], needed: int) -> str:
    shown = ", ".join(f"{label}={n}" for label, n in sizes.items())
    return f"not tried: {shown}: up to about {needed / 1e9:.2g} GB, more than {MAX_BYTES / 1e9:.2g} GB"


def _pair_bytes(signature: Signature, sizes: Mapping[str, int], label: str) -> int:
    """Estimate what a model takes that holds every entry of one axis against every other; the entries of an index are pairs."""
    mine = [spec for spec in signature.inputs if label in spec.labels]
    if any(spec.role.kind == "index" and spec.role.of != label for spec in mine):
        return 0
    entries = [int(np.prod([sizes[other] for other in set(spec.labels)], dtype=np.int64)) for spec in mine]
    return max(entries) * sizes[label] * PAIR_BYTES


def _within(signature: Signature, sizes: Mapping[str, int]) -> Mapping[str, int]:
    for label, axis in signature.axes.items():
        if axis.maximum is not None and sizes[label] > axis.maximum:
            raise UsageError(f"axis '{label}': length {sizes[label]}, and {axis.refusal(sizes[label])}")
    return sizes


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

    Where an input is a mask, batches of the samples' size follow in which nothing is padded, or whole rows are: whether 0 or 1
    is padding, the model knows.

    Args:
        signature: axes, roles and ranges.
        batches: the user's samples; may be empty.
        seed: of the random choices; equal seeds give equal batches.
    """
    if not signature.axes:
        return
    base, largest, rows = start_of(signature, batches)

    def made(sizes: Mapping[str, int], number: int) -> Batch:
        if rows is None:
            return generate(signature, sizes, seed=seed + number)
        return resample(signature, rows, sizes, seed=seed + number)

    settings, _ = sizes_to_try(signature, base, largest)
    for number, setting in enumerate(settings):
        yield replace(made(setting, number), name=f"generated {number + 1}")
    for number, (name, inputs) in enumerate(_masked(signature, made(base, len(settings)).inputs), start=len(settings)):
        yield Batch(name=f"generated {number + 1}, {name}", inputs=inputs, origin="generated")


def not_tried(signature: Signature, batches: Sequence[Batch]) -> list[str]:
    """Say which sizes `sweep` leaves out because they are too large, one line each."""
    if not signature.axes:
        return []
    base, largest, _ = start_of(signature, batches)
    return sizes_to_try(signature, base, largest)[1]


def start_of(signature: Signature, batches: Sequence[Batch]) -> tuple[dict[str, int], dict[str, int], Batch | None]:
    """Return the setting from which axes are moved, the largest length of each axis, and the batch whose rows are drawn."""
    sizes = [check_batch(signature, batch) for batch in batches] or [default_sizes(signature)]
    order = max(range(len(sizes)), key=lambda k: min(sizes[k].values(), default=0))
    largest = {label: max(s[label] for s in sizes) for label in signature.axes}
    return sizes[order], largest, batches[order] if batches else None


def _masked(signature: Signature, inputs: Arrays) -> Iterator[tuple[str, Arrays]]:
    """Yield the inputs with all masks 1, all 0, and 0 in the first row alone where masks have rows."""
    masks = [spec for spec in signature.inputs if spec.role.kind == "mask" and spec.name in inputs]
    for name, first, others in MASKS:
        filled = {spec.name: _filled(spec, inputs[spec.name], first, others) for spec in masks}
        if masks and (first == others or any(array.min(initial=1) != array.max(initial=0) for array in filled.values())):
            yield name, {**inputs, **filled}


def _filled(spec: TensorSpec, array: Array, first: int, others: int) -> Array:
    """Fill a mask; its rows are counted along the first axis other than the one it masks."""
    filled = np.full_like(array, others)
    axis = next((k for k, a in enumerate(spec.shape or ()) if a.label != spec.role.of), None)
    if axis is not None:
        np.moveaxis(filled, axis, 0)[:1] = first
    return filled


def request_bytes(signature: Signature, sizes: Mapping[str, int]) -> int:
    """Return the bytes of all inputs at these lengths."""
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

    Raises:
        UsageError: a length is beyond the largest of its axis.
    """
    rng = np.random.default_rng(seed)
    sizes = _emptied(signature, _within(signature, sizes))
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
        groups = max(2, int(array.max(initial=0)) + 1) if spec.role.kind == "segment" else 0
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
    """Map indices into an axis of another length: half keep their place in proportion, half are drawn again; padding < 0 stays."""
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
        UsageError: the rank of an input is unknown, or a length is beyond the largest of its axis.
    """
    rng = np.random.default_rng(seed)
    full = _emptied(signature, _within(signature, {**default_sizes(signature), **(sizes or {})}))
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
