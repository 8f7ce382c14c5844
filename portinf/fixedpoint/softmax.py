"""Softmax by tables, as hls4ml computes it -> exact operations on raw numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from portinf.fixedpoint.casting import Array, Cast, Watch
from portinf.fixedpoint.formats import FixedPointError, Format
from portinf.fixedpoint.linear import Operation
from portinf.fixedpoint.network import Layer

__all__ = ["softmax"]

Step = Callable[..., Array]


def softmax(layer: Layer, inputs: Sequence[Format]) -> Operation:
    """Softmax over the last axis.

    Options: ``implementation``: ``stable`` (exp of the distance from the largest), ``latency`` (exp of the number itself) or
    ``argmax``. Formats: ``norm`` (the distance; stable only), ``exp``, ``accum`` (exps and their sum), ``sum`` (what addresses
    the table of reciprocals), ``inverse``. Numbers: ``exp`` and ``inverse``, tables of 2**N entries that the highest N bits of
    ``norm`` (or the input) and ``sum`` address.
    """
    if layer.options["implementation"] == "argmax":
        return _argmax(layer)
    exps = _exponentials(layer, inputs[0])
    divide = _division(layer)

    def run(arrays: Sequence[Array], watch: Watch | None) -> Array:
        return divide(exps(arrays[0], watch), watch)

    return run


def _argmax(layer: Layer) -> Operation:
    one = Cast(0, (0, 1), layer.result, layer.name)

    def run(arrays: Sequence[Array], watch: Watch | None) -> Array:
        rows = arrays[0]
        found = np.zeros(rows.shape)
        np.put_along_axis(found, rows.argmax(axis=-1)[..., None], 1.0, axis=-1)
        return one(found, watch)

    return run


def _exponentials(layer: Layer, format: Format) -> Step:
    """Return the step from logits to exps on the grid of ``accum``."""
    stable = layer.options["implementation"] == "stable"
    address = layer.formats["norm"] if stable else format
    grid, accum = layer.formats["exp"], layer.formats["accum"]
    held = Cast(grid.fraction, (grid.low, grid.high), accum, layer.name)(layer.numbers["exp"])
    place = _addresses(address, len(held), layer.name)
    span = format.high - format.low
    distance = Cast(format.fraction, (0, span), address, "") if stable else None

    def run(rows: Array, watch: Watch | None) -> Array:
        if distance is not None:
            rows = distance(rows.max(axis=-1, keepdims=True) - rows)  # saturates far below the largest, as it should
        return held[place(rows)]

    return run


def _division(layer: Layer) -> Step:
    """Return the step from exps to their shares."""
    accum, total, inverse = (layer.formats[role] for role in ("accum", "sum", "inverse"))
    add = Cast(accum.fraction, (2 * accum.low, 2 * accum.high), accum, layer.name)
    into = Cast(accum.fraction, (accum.low, accum.high), total, layer.name)
    place = _addresses(total, len(layer.numbers["inverse"]), layer.name)
    largest = max(accum.high, -accum.low) * max(inverse.high, -inverse.low)
    out = Cast(accum.fraction + inverse.fraction, (-largest, largest), layer.result, layer.name)
    reciprocals = layer.numbers["inverse"].astype(out.dtype)

    def run(exps: Array, watch: Watch | None) -> Array:
        shares = reciprocals[place(into(_tree(exps, add, watch), watch))]
        return out(exps.astype(out.dtype, copy=False) * shares[..., None], watch)

    return run


def _tree(numbers: Array, add: Cast, watch: Watch | None) -> Array:
    """Sum over the last axis, each sum cast, in the order of ``nnet::reduce``."""
    count = numbers.shape[-1]
    if count == 1:
        return numbers[..., 0]
    left = 1 << ((count - 1).bit_length() - 1)
    return add(_tree(numbers[..., :left], add, watch) + _tree(numbers[..., left:], add, watch), watch)


def _addresses(format: Format, size: int, what: str) -> Step:
    """Return the step from raw numbers to places in a table: their highest bits."""
    bits = (size - 1).bit_length()
    if size != 1 << bits or bits > format.width:
        raise FixedPointError(
            f"{what}: a table of {size} entries cannot be addressed by {format}: expected 2**N, N <= {format.width}"
        )
    shift = format.width - bits
    span = 1 << format.width

    def place(rows: Array, watch: Watch | None = None) -> Array:
        whole = rows.astype(np.int64)
        if format.signed:
            whole &= span - 1
        return whole >> shift

    return place
