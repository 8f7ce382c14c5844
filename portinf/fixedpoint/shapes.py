"""Pooling, reshaping and joining of layers -> exact operations on raw numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from portinf.fixedpoint.casting import Array, Cast, Interval, Watch
from portinf.fixedpoint.formats import Format
from portinf.fixedpoint.linear import Operation, windows
from portinf.fixedpoint.network import Layer

__all__ = ["concatenate", "join", "pool", "reshape", "transpose"]

Step = Callable[[Array, tuple[int, ...], Watch | None], Array]


def reshape(layer: Layer, inputs: Sequence[Format]) -> Operation:
    """Put the same numbers into another shape."""
    cast = _cast(inputs[0], layer)
    return lambda arrays, watch: cast(arrays[0].reshape(len(arrays[0]), *layer.shape), watch)


def transpose(layer: Layer, inputs: Sequence[Format]) -> Operation:
    """Option ``order``: of the axes, without the batch axis."""
    cast = _cast(inputs[0], layer)
    order = (0, *(1 + axis for axis in layer.options["order"]))
    return lambda arrays, watch: cast(np.ascontiguousarray(arrays[0].transpose(order)), watch)


def concatenate(layer: Layer, inputs: Sequence[Format]) -> Operation:
    """Option ``axis``, without the batch axis."""
    casts = [_cast(format, layer) for format in inputs]
    axis = 1 + int(layer.options["axis"])

    def run(arrays: Sequence[Array], watch: Watch | None) -> Array:
        return np.concatenate([cast(array, watch) for cast, array in zip(casts, arrays, strict=True)], axis=axis)

    return run


def join(kind: str) -> Callable[[Layer, Sequence[Format]], Operation]:
    """Return the maker of ``add``, ``subtract`` or ``multiply`` of two arrays of one shape."""
    return partial(_join, kind)


def _join(kind: str, layer: Layer, inputs: Sequence[Format]) -> Operation:
    one, two = inputs
    multiply = kind == "multiply"
    fraction = one.fraction + two.fraction if multiply else max(one.fraction, two.fraction)
    up = (0, 0) if multiply else (fraction - one.fraction, fraction - two.fraction)
    cast = Cast(fraction, _ends(kind, one, two, up), layer.result, layer.name)

    def run(arrays: Sequence[Array], watch: Watch | None) -> Array:
        left, right = (array.astype(cast.dtype, copy=False) * (1 << bits) for array, bits in zip(arrays, up, strict=True))
        return cast(left * right if multiply else left + right if kind == "add" else left - right, watch)

    return run


def _ends(kind: str, one: Format, two: Format, up: tuple[int, int]) -> Interval:
    """Return the smallest and largest result, with room for each of the two as well."""
    left, right = [(f.low << bits, f.high << bits) for f, bits in zip((one, two), up, strict=True)]
    act = {"add": operator.add, "subtract": operator.sub, "multiply": operator.mul}[kind]
    found = [act(a, b) for a in left for b in right]
    return min(*found, *left, *right), max(*found, *left, *right)


def pool(layer: Layer, inputs: Sequence[Format]) -> Operation:
    """Largest or mean over windows, channels last.

    Options: ``operation`` (``max`` or ``average``), ``window``, ``strides``, ``pads`` ((before, after) by axis), ``count_pad``.
    Format ``accum``: of the sum and the mean, whose division drops what is behind the last bit towards zero.
    """
    size, strides = tuple(layer.options["window"]), layer.options["strides"]
    pads = [(0, 0), *(tuple(pair) for pair in layer.options["pads"]), (0, 0)]
    largest = layer.options["operation"] == "max"
    reduce = _largest(layer, inputs[0]) if largest else _mean(layer, inputs[0], pads, size)
    filled = _lowest(inputs[0]) if largest else 0
    axes = tuple(range(-1 - len(size), -1))

    def run(arrays: Sequence[Array], watch: Watch | None) -> Array:
        padded = np.pad(arrays[0], pads, constant_values=filled)
        return reduce(windows(padded, size, strides), axes, watch).reshape(len(padded), *layer.shape)

    return run


def _lowest(format: Format) -> int:
    """Return what hls4ml pads a maximum with: the highest bit alone, which is no lowest number where there is no sign."""
    top = 1 << (format.width - 1)
    return -top if format.signed else top


def _largest(layer: Layer, format: Format) -> Step:
    accum = layer.formats["accum"]
    held = Cast(format.fraction, (format.low, format.high), accum, layer.name)
    cast = _cast(accum, layer)
    return lambda seen, axes, watch: cast(held(seen.max(axis=axes), watch), watch)


def _mean(layer: Layer, format: Format, pads: Sequence[tuple[int, int]], size: tuple[int, ...]) -> Step:
    accum, count = layer.formats["accum"], int(np.prod(size))
    term = Cast(format.fraction, (format.low, format.high), accum, layer.name)
    add = Cast(accum.fraction, (2 * accum.low, 2 * accum.high), accum, layer.name)
    at_once = term.drop <= 0 and accum.holds(count * format.low << -term.drop, count * format.high << -term.drop)
    cast = _cast(accum, layer)
    counts = _counts(layer, pads, size)

    def run(seen: Array, axes: tuple[int, ...], watch: Watch | None) -> Array:
        if at_once:
            sums = term(seen.sum(axis=axes))
        else:
            flat = np.moveaxis(seen, -1, len(axes) + 1).reshape(*seen.shape[: len(axes) + 1], seen.shape[-1], count)
            sums = term(flat[..., 0], watch)
            for number in range(1, count):
                sums = add(sums + term(flat[..., number], watch), watch)
        means = np.sign(sums) * (np.abs(sums) // counts)  # exact: whole numbers below 2**53
        return cast(means, watch)

    return run


def _counts(layer: Layer, pads: Sequence[tuple[int, int]], size: tuple[int, ...]) -> Array:
    """Return how many numbers each mean divides by: shape (*positions, 1)."""
    count = int(np.prod(size))
    if layer.options["count_pad"] or not any(map(any, pads)):
        return np.asarray(count)
    inside = np.pad(np.ones((1, *layer.options["inside"], 1)), pads)
    return np.asarray(windows(inside, size, layer.options["strides"]).sum(axis=tuple(range(-1 - len(size), -1)))[0])


def _cast(format: Format, layer: Layer) -> Cast:
    return Cast(format.fraction, (format.low, format.high), layer.result, layer.name)
