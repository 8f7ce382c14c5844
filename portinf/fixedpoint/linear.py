"""Dense layers, convolutions and batch norms -> exact operations on raw numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from portinf.fixedpoint.casting import Array, Cast, Interval, Watch, carrier
from portinf.fixedpoint.formats import Format
from portinf.fixedpoint.network import Layer

__all__ = ["Operation", "convolution", "dense", "scale", "sum_range", "windows"]

Operation = Callable[[Sequence[Array], Watch | None], Array]


def dense(layer: Layer, inputs: Sequence[Format]) -> Operation:
    """``x @ weight + bias`` over the last axis, as ``nnet::dense_latency`` computes it.

    Products are brought onto the grid of ``accum`` one by one, the sum starts at the bias and is kept in ``accum``, and the
    result is cast at the end.
    """
    multiply = _sums(layer, inputs[0])

    def run(arrays: Sequence[Array], watch: Watch | None) -> Array:
        rows = arrays[0]
        found = multiply(rows.reshape(-1, rows.shape[-1]), watch)
        return found.reshape(*rows.shape[:-1], found.shape[-1])

    return run


def convolution(layer: Layer, inputs: Sequence[Format]) -> Operation:
    """A convolution with channels last over one or two axes; ``weight`` has shape (*window, channels, filters).

    Options: ``strides`` and ``pads`` ((before, after) by axis).
    """
    weight = layer.numbers["weight"]
    window = weight.shape[:-2]
    flat = weight.reshape(-1, weight.shape[-1])
    multiply = _sums(layer, inputs[0], flat)
    pads = [(0, 0), *(tuple(pair) for pair in layer.options["pads"]), (0, 0)]
    strides = layer.options["strides"]

    def run(arrays: Sequence[Array], watch: Watch | None) -> Array:
        patches = windows(np.pad(arrays[0], pads), window, strides)
        found = multiply(patches.reshape(-1, flat.shape[0]), watch)
        return found.reshape(*patches.shape[: 1 + len(window)], found.shape[-1])

    return run


def windows(padded: Array, window: Sequence[int], strides: Sequence[int]) -> Array:
    """Return every window: shape (rows, *positions, *window, channels)."""
    axes = tuple(range(1, 1 + len(window)))
    seen = np.lib.stride_tricks.sliding_window_view(padded, tuple(window), axis=axes)
    seen = seen[(slice(None), *(slice(None, None, step) for step in strides))]
    return np.moveaxis(seen, 1 + len(window), -1)  # channels behind the window


def scale(layer: Layer, inputs: Sequence[Format]) -> Operation:
    """``x * scale + bias`` by the last axis, exact up to the cast at the end, as ``nnet::normalize`` computes it."""
    factor, bias = layer.numbers["scale"], layer.numbers["bias"]
    product = inputs[0].fraction + layer.formats["scale"].fraction
    fraction = max(product, layer.formats["bias"].fraction)
    factors = _whole(factor, fraction - product, layer.name)
    offsets = _whole(bias, fraction - layer.formats["bias"].fraction, layer.name)
    cast = Cast(fraction, sum_range(factors[None, :], offsets, inputs[0], each=True), layer.result, layer.name)
    if cast.dtype == np.float64:
        factors, offsets = factors * cast.factor, offsets * cast.factor
    else:
        factors, offsets = factors.astype(np.int64), offsets.astype(np.int64)

    def run(arrays: Sequence[Array], watch: Watch | None) -> Array:
        numbers = arrays[0].astype(cast.dtype, copy=False) * factors + offsets
        return cast.scaled(numbers, watch) if cast.dtype == np.float64 else cast(numbers, watch)

    return run


def _whole(numbers: Array, bits: int, what: str) -> Array:
    """Shift whole numbers to the left."""
    largest = int(np.abs(numbers).max(initial=0)) << bits
    return np.asarray(numbers * (1 << bits)).astype(carrier((-largest, largest), what))


def sum_range(weight: Array, bias: Array, format: Format, *, each: bool = False) -> Interval:
    """Return the smallest and largest sum that inputs of a format can give; every partial sum lies in it as well.

    Args:
        weight: shape (n_in, n_out).
        bias: shape (n_out,).
        format: of the inputs.
        each: weights of one row are not summed.
    """
    up = np.maximum(weight.astype(object), 0).sum(axis=0) if len(weight) else np.zeros_like(bias, dtype=object)
    down = np.minimum(weight.astype(object), 0).sum(axis=0) if len(weight) else up
    start = bias.astype(object)
    high = [int(u) * format.high + int(d) * format.low + max(0, int(b)) for u, d, b in zip(up, down, start, strict=True)]
    low = [int(u) * format.low + int(d) * format.high + min(0, int(b)) for u, d, b in zip(up, down, start, strict=True)]
    return min(low, default=0), max(high, default=0)


def _sums(layer: Layer, format: Format, weight: Array | None = None) -> Callable[[Array, Watch | None], Array]:
    """Return the product with a matrix and the sums, over rows of shape (n, n_in)."""
    weight = layer.numbers["weight"] if weight is None else weight
    accum = layer.formats["accum"]
    fraction = format.fraction + layer.formats["weight"].fraction
    start = _start(layer, accum)
    if accum.fraction >= fraction:
        up = accum.fraction - fraction
        whole = _whole(weight, up, layer.name)
        interval = sum_range(whole, start, format)
        if accum.holds(*interval) or accum.overflow == "WRAP":
            return _at_once(layer, whole, start, interval)
    return _one_by_one(layer, weight, start, format, fraction)


def _start(layer: Layer, accum: Format) -> Array:
    """Return the bias on the grid of the sums."""
    bias, format = layer.numbers["bias"], layer.formats["bias"]
    return Cast(format.fraction, (format.low, format.high), accum, layer.name)(bias)


def _at_once(layer: Layer, weight: Array, start: Array, interval: Interval) -> Callable[[Array, Watch | None], Array]:
    """Sum exactly, then wrap once: where nothing is rounded on the way, wrapping at each step or at the end is the same."""
    accum = layer.formats["accum"]
    wrap = None if accum.holds(*interval) else Cast(accum.fraction, interval, accum, layer.name)
    inner = interval if wrap is None else (accum.low, accum.high)
    last = Cast(accum.fraction, inner, layer.result, layer.name)
    kinds = (carrier(interval, layer.name), (wrap or last).dtype)
    dtype = np.int64 if np.int64 in kinds else np.float64
    scaled = wrap is None and dtype == np.float64
    matrix = np.ascontiguousarray(weight.astype(dtype) * last.factor if scaled else weight.astype(dtype))
    offset = start.astype(dtype) * last.factor if scaled else start.astype(dtype)

    def run(rows: Array, watch: Watch | None) -> Array:
        sums: Array = rows.astype(dtype, copy=False) @ matrix
        sums += offset
        if scaled:
            return last.scaled(sums, watch)
        return last(sums if wrap is None else wrap(sums, watch), watch)

    return run


def _one_by_one(
    layer: Layer, weight: Array, start: Array, format: Format, fraction: int
) -> Callable[[Array, Watch | None], Array]:
    """Round every product and fit every partial sum, in the order of the inputs: slower, for narrow accumulators.

    Saturating sums depend on that order, which is that of hls4ml's strategy latency.
    """
    accum = layer.formats["accum"]
    largest = max(abs(int(weight.min(initial=0))), abs(int(weight.max(initial=0)))) * max(format.high, -format.low)
    product = Cast(fraction, (-largest, largest), accum, layer.name)
    add = Cast(accum.fraction, (2 * accum.low, 2 * accum.high), accum, layer.name)
    last = Cast(accum.fraction, (accum.low, accum.high), layer.result, layer.name)
    factors = weight.astype(product.dtype)

    def run(rows: Array, watch: Watch | None) -> Array:
        sums = np.broadcast_to(start.astype(add.dtype), (len(rows), len(start)))
        for number in range(len(factors)):
            each = rows[:, number, None].astype(product.dtype, copy=False) * factors[number]
            sums = add(sums + product(each, watch).astype(add.dtype, copy=False), watch)
        return last(sums, watch)

    return run
