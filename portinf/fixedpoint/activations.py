"""Activations -> exact operations on raw numbers; those with a table look it up as hls4ml does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from portinf.fixedpoint.casting import Array, Cast, Watch
from portinf.fixedpoint.formats import Format
from portinf.fixedpoint.linear import Operation
from portinf.fixedpoint.network import Layer

__all__ = ["leaky_relu", "linear", "relu", "table"]


def linear(layer: Layer, inputs: Sequence[Format]) -> Operation:
    """Cast to the result's format."""
    cast = Cast(inputs[0].fraction, (inputs[0].low, inputs[0].high), layer.result, layer.name)
    return lambda arrays, watch: cast(arrays[0], watch)


def relu(layer: Layer, inputs: Sequence[Format]) -> Operation:
    """``max(x, 0)``."""
    cast = Cast(inputs[0].fraction, (0, inputs[0].high), layer.result, layer.name)

    def run(arrays: Sequence[Array], watch: Watch | None) -> Array:
        return cast(np.maximum(arrays[0], 0), watch)

    return run


def leaky_relu(layer: Layer, inputs: Sequence[Format]) -> Operation:
    """``x`` where positive, else ``alpha * x``; ``alpha`` is one number of format ``alpha``."""
    alpha, grid = int(layer.numbers["alpha"].item()), layer.formats["alpha"]
    above = Cast(inputs[0].fraction, (0, inputs[0].high), layer.result, layer.name)
    low = inputs[0].low * abs(alpha)
    below = Cast(inputs[0].fraction + grid.fraction, (low, -low), layer.result, layer.name)

    def run(arrays: Sequence[Array], watch: Watch | None) -> Array:
        rows = arrays[0]
        positive, negative = np.maximum(rows, 0), np.minimum(rows, 0).astype(below.dtype, copy=False) * alpha
        return np.where(rows > 0, above(positive, watch), below(negative, watch))

    return run


def table(layer: Layer, inputs: Sequence[Format]) -> Operation:
    """A function tabulated over ``-span / 2 <= x < span / 2``, read at the truncated place.

    Options: ``span``, a power of two (16 for a sigmoid, 8 for a tanh). Numbers: ``table``, of format ``table``.
    """
    raw = layer.numbers["table"]
    size, format = len(raw), layer.formats["table"]
    cast = Cast(format.fraction, (format.low, format.high), layer.result, layer.name)
    factor = size / float(layer.options["span"]) * inputs[0].step

    def run(arrays: Sequence[Array], watch: Watch | None) -> Array:
        place = np.trunc(arrays[0] * factor) + size // 2
        found = raw[np.clip(place, 0, size - 1).astype(np.int64)]
        return cast(found, watch)

    return run
