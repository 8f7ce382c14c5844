"""Layers of a fixed-point network -> da4ml's variables that compute the same, every cast spelt out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np

from portinf.core.errors import CannotError
from portinf.fixedpoint.casting import Array, Cast, to_real
from portinf.fixedpoint.formats import Format
from portinf.fixedpoint.linear import sum_range, windows
from portinf.fixedpoint.network import Layer
from portinf.targets.fpga.tools.da4ml_casts import cast, exact, raw_of

__all__ = ["LAYERS", "MOST_PRODUCTS", "Tracing"]

MOST_PRODUCTS = 400_000  # of one layer, laid out side by side
MOST_ENTRIES = 1 << 16  # of one table
WEIGHT_BITS = 24  # da4ml's solver takes weights in single precision


class Tracing:
    """What making variables takes beside the layer.

    Args:
        array: makes da4ml's array of an object array of variables and numbers.
        constant: makes a variable of a number.
    """

    def __init__(self, array: Callable[[Array], Any], constant: Callable[[Decimal], Any]) -> None:
        self.array, self.constant = array, constant


Make = Callable[[Layer, Sequence[Array], Sequence[Format], Tracing], Array]


def _dense(layer: Layer, inputs: Sequence[Array], formats: Sequence[Format], tracing: Tracing) -> Array:
    given = inputs[0]
    found = _sums(layer, given.reshape(-1, given.shape[-1]), layer.numbers["weight"], formats[0], tracing)
    return found.reshape(*given.shape[:-1], found.shape[-1])


def _conv(layer: Layer, inputs: Sequence[Array], formats: Sequence[Format], tracing: Tracing) -> Array:
    weight = layer.numbers["weight"]
    window = weight.shape[:-2]
    zero = tracing.constant(Decimal(0))
    seen = _windows(inputs[0], layer.options["pads"], window, layer.options["strides"], zero)
    flat = weight.reshape(-1, weight.shape[-1])
    found = _sums(layer, seen.reshape(-1, len(flat)), flat, formats[0], tracing)
    return found.reshape(*seen.shape[: len(window)], found.shape[-1])


def _windows(given: Array, pads: Sequence[Any], window: Sequence[int], strides: Sequence[int], fill: Any) -> Array:
    """Return every window: shape (*positions, *window, channels)."""
    padded = np.pad(given, [*(tuple(pair) for pair in pads), (0, 0)], constant_values=fill)
    return np.asarray(windows(padded[None], window, strides)[0])


def _sums(layer: Layer, rows: Array, weight: Array, format: Format, tracing: Tracing) -> Array:
    """Return ``rows @ weight + bias``, summed as `portinf.fixedpoint.linear` sums; shape (rows, n_out)."""
    if len(rows) * weight.size > MOST_PRODUCTS:
        raise CannotError(
            f"{layer.name}: {len(rows) * weight.size:,} products side by side; distributed arithmetic is laid out here up to "
            f"{MOST_PRODUCTS:,} a layer: take --strategy latency or resource"
        )
    accum, of = layer.formats["accum"], layer.formats["weight"]
    bias = layer.formats["bias"]
    start = Cast(bias.fraction, (bias.low, bias.high), accum, layer.name)(layer.numbers["bias"].copy())
    up = accum.fraction - format.fraction - of.fraction
    one_cast = up >= 0 and (
        accum.overflow == "WRAP" or accum.holds(*sum_range(weight.astype(object) * (1 << up), start, format))
    )
    starts = [exact(Decimal(int(raw)) * Decimal(2) ** -accum.fraction, layer.name) for raw in start]
    sums = _at_once if one_cast else _one_by_one
    return cast(sums(layer, rows, to_real(weight, of), starts, tracing), layer.result, layer.name)


def _at_once(layer: Layer, rows: Array, weight: Array, starts: Sequence[Decimal], tracing: Tracing) -> Array:
    if not np.array_equal(weight.astype(np.float32), weight):
        raise CannotError(f"{layer.name}: a weight has more than {WEIGHT_BITS} bits, which da4ml's solver does not take")
    for value in np.unique(weight):
        exact(float(value), layer.name)
    found = np.empty((len(rows), weight.shape[1]), dtype=object)
    for number, row in enumerate(rows):
        fixed = np.array([variable.low == variable.high for variable in row])
        known = [sum((row[k].low * Decimal(w) for k, w in zip(np.flatnonzero(fixed), column, strict=True)), start)
                 for start, column in zip(starts, weight[fixed].T, strict=True)]  # fmt: skip
        if fixed.all() or not weight[~fixed].any():
            found[number] = [tracing.constant(exact(value, layer.name)) for value in known]
            continue
        products = (tracing.array(row[~fixed]) @ weight[~fixed])._vars
        found[number] = [variable + exact(value, layer.name) for variable, value in zip(products, known, strict=True)]
    return cast(found, layer.formats["accum"], layer.name)


def _one_by_one(layer: Layer, rows: Array, weight: Array, starts: Sequence[Decimal], tracing: Tracing) -> Array:
    """Round every product and fit every partial sum, in the order of the inputs."""
    accum = layer.formats["accum"]
    if accum.overflow != "WRAP" and layer.options.get("strategy", "latency") != "latency":
        raise CannotError(f"{layer.name}: sums that saturate ({accum}) are computed in the order of strategy latency only")
    sums = np.empty((len(rows), len(starts)), dtype=object)
    sums[:] = [tracing.constant(value) for value in starts]
    for number in range(len(weight)):
        products = np.array([[row[number] * exact(w, layer.name) for w in weight[number]] for row in rows], dtype=object)
        sums = cast(sums + cast(products, accum, layer.name), accum, layer.name)
    return sums


def _scale(layer: Layer, inputs: Sequence[Array], formats: Sequence[Format], tracing: Tracing) -> Array:
    factor = np.broadcast_to(to_real(layer.numbers["scale"], layer.formats["scale"]), inputs[0].shape)
    bias = np.broadcast_to(to_real(layer.numbers["bias"], layer.formats["bias"]), inputs[0].shape)
    found = np.empty(inputs[0].shape, dtype=object)
    for place, variable in np.ndenumerate(inputs[0]):
        found[place] = variable * exact(float(factor[place]), layer.name) + exact(float(bias[place]), layer.name)
    return cast(found, layer.result, layer.name)


def _linear(layer: Layer, inputs: Sequence[Array], formats: Sequence[Format], tracing: Tracing) -> Array:
    return cast(inputs[0], layer.result, layer.name)


def _each(function: Callable[..., Any], *arrays: Array) -> Array:
    """Apply a function to every variable."""
    found = np.empty(arrays[0].shape, dtype=object)
    for place in np.ndindex(*found.shape):
        found[place] = function(*(array[place] for array in arrays))
    return found


def _relu(layer: Layer, inputs: Sequence[Array], formats: Sequence[Format], tracing: Tracing) -> Array:
    return cast(_each(lambda x: x.relu(), inputs[0]), layer.result, layer.name)


def _leaky_relu(layer: Layer, inputs: Sequence[Array], formats: Sequence[Format], tracing: Tracing) -> Array:
    alpha = exact(float(to_real(layer.numbers["alpha"], layer.formats["alpha"]).item()), layer.name)
    above = cast(_each(lambda x: x.relu(), inputs[0]), layer.result, layer.name)
    below = cast(_each(lambda x: -((-x).relu()) * alpha, inputs[0]), layer.result, layer.name)
    return _each(lambda x, high, low: x.is_negative().msb_mux(low, high), inputs[0], above, below)


def _reshape(layer: Layer, inputs: Sequence[Array], formats: Sequence[Format], tracing: Tracing) -> Array:
    return cast(inputs[0].reshape(layer.shape), layer.result, layer.name)


def _transpose(layer: Layer, inputs: Sequence[Array], formats: Sequence[Format], tracing: Tracing) -> Array:
    return cast(inputs[0].transpose(layer.options["order"]), layer.result, layer.name)


def _concatenate(layer: Layer, inputs: Sequence[Array], formats: Sequence[Format], tracing: Tracing) -> Array:
    return np.concatenate([cast(array, layer.result, layer.name) for array in inputs], axis=int(layer.options["axis"]))


def _join(
    act: Callable[[Any, Any], Any], layer: Layer, inputs: Sequence[Array], formats: Sequence[Format], tracing: Tracing
) -> Array:
    return cast(_each(act, *inputs), layer.result, layer.name)


def _pool(layer: Layer, inputs: Sequence[Array], formats: Sequence[Format], tracing: Tracing) -> Array:
    size = tuple(layer.options["window"])
    pads, strides = layer.options["pads"], layer.options["strides"]
    largest = layer.options["operation"] == "max"
    top = 1 << (formats[0].width - 1)  # what hls4ml pads a maximum with
    filling = (-top if formats[0].signed else top) if largest else 0
    seen = _windows(inputs[0], pads, size, strides, tracing.constant(Decimal(filling) * Decimal(2) ** -formats[0].fraction))
    places = seen.shape[: len(size)]
    flat = seen.reshape(*places, -1, seen.shape[-1])
    if largest:
        found = cast(_folded(lambda one, two: one.max_of(two), np.moveaxis(flat, -2, 0)), layer.formats["accum"], layer.name)
    else:
        found = _means(layer, np.moveaxis(flat, -2, 0), _counts(layer, size), formats[0])
    return cast(found, layer.result, layer.name).reshape(layer.shape)


def _folded(act: Callable[[Any, Any], Any], arrays: Array) -> Array:
    found: Array = arrays[0]
    for array in arrays[1:]:
        found = _each(act, found, array)
    return found


def _counts(layer: Layer, size: tuple[int, ...]) -> Array:
    """Return how many numbers each mean divides by: one, or shape (*positions, 1)."""
    pads = [tuple(pair) for pair in layer.options["pads"]]
    if layer.options["count_pad"] or not any(map(any, pads)):
        return np.asarray(int(np.prod(size)))
    inside = np.pad(np.ones((1, *layer.options["inside"], 1)), [(0, 0), *pads, (0, 0)])
    seen = windows(inside, size, layer.options["strides"])
    return np.asarray(seen.sum(axis=tuple(range(-1 - len(size), -1)))[0])


def _means(layer: Layer, terms: Array, counts: Array, format: Format) -> Array:
    """Return sums in ``accum``, divided with what is behind the last bit dropped towards zero."""
    accum = layer.formats["accum"]
    drop, count = format.fraction - accum.fraction, len(terms)
    if drop <= 0 and accum.holds(count * format.low << -drop, count * format.high << -drop):
        sums = cast(_folded(lambda one, two: one + two, terms), accum, layer.name)
    else:
        sums = cast(terms[0], accum, layer.name)
        for term in terms[1:]:
            sums = cast(sums + cast(term, accum, layer.name), accum, layer.name)
    by = np.broadcast_to(counts, sums.shape)
    return _each(lambda total, number: _divided(total, int(number), accum), sums, by)


def _divided(total: Any, count: int, accum: Format) -> Any:
    """Divide: exact for every whole number of the format, as multiplying by a rounded-up reciprocal of enough bits is."""
    if count == 1:
        return total
    places = accum.width + count.bit_length()
    factor = -(-(1 << places) // count)

    def quotient(positive: Any) -> Any:
        whole = positive * Decimal(2) ** accum.fraction * factor * Decimal(2) ** -places
        bits = (0, max(1, accum.width), 0)
        return whole.quantize(*bits) * Decimal(2) ** -accum.fraction

    return quotient(total.relu()) - quotient((-total).relu())


def _looked_up(variable: Any, values: Callable[[Array], Array], layer: Layer, tracing: Tracing) -> Any:
    """Return a table's answer.

    Args:
        variable: the address.
        values: the numbers, by the addresses as numbers.
        layer: for messages.
        tracing: makes constants.
    """
    low, high, fraction = raw_of(variable)
    if high - low >= MOST_ENTRIES:
        raise CannotError(f"{layer.name}: a table of {high - low + 1:,} entries; laid out here are up to {MOST_ENTRIES:,}")
    found = values(np.arange(low, high + 1) * 2.0**-fraction)
    for value in np.unique(found):
        exact(value, layer.name)
    if not (found != found[0]).any():
        return tracing.constant(Decimal(float(found[0])))
    return variable.lookup(found)


def _table(layer: Layer, inputs: Sequence[Array], formats: Sequence[Format], tracing: Tracing) -> Array:
    """Cut the address to the table's span, towards zero to its grid, and look it up."""
    raw, format = layer.numbers["table"], layer.formats["table"]
    span = int(layer.options["span"])
    bits = (span - 1).bit_length()
    address = Format((len(raw) - 1).bit_length(), bits, True, "TRN_ZERO", "SAT")
    places = cast(inputs[0], address, layer.name)
    held = Cast(format.fraction, (format.low, format.high), layer.result, layer.name)(raw.copy())

    def values(numbers: Array) -> Array:
        place = np.rint(numbers / address.step).astype(np.int64) + len(raw) // 2
        return to_real(held[place], layer.result)

    return _each(lambda variable: _looked_up(variable, values, layer, tracing), places)


def _softmax(layer: Layer, inputs: Sequence[Array], formats: Sequence[Format], tracing: Tracing) -> Array:
    rows = inputs[0].reshape(-1, inputs[0].shape[-1])
    row = _argmax_row if layer.options["implementation"] == "argmax" else _softmax_row
    return np.array([row(layer, one, formats[0], tracing) for one in rows], dtype=object).reshape(inputs[0].shape)


def _argmax_row(layer: Layer, row: Array, format: Format, tracing: Tracing) -> Array:
    """Give 1 to the first of the largest: it beats all before it, and none behind beats it."""
    found = np.empty(len(row), dtype=object)
    for number, one in enumerate(row):
        beaten = [(one - other).is_positive() for other in row[:number]]
        beaten += [-(other - one).is_positive() + 1 for other in row[number + 1 :]]
        wins = tracing.constant(Decimal(0)) if beaten else tracing.constant(Decimal(1))
        for each in beaten:
            wins = wins + each
        found[number] = (wins - (len(beaten) - 1)).is_positive() if beaten else wins
    return cast(found, layer.result, layer.name)


def _softmax_row(layer: Layer, row: Array, format: Format, tracing: Tracing) -> Array:
    stable = layer.options["implementation"] == "stable"
    address = layer.formats["norm"] if stable else format
    grid, accum, total, inverse = (layer.formats[role] for role in ("exp", "accum", "sum", "inverse"))
    if stable:
        largest = row[0]
        for variable in row[1:]:
            largest = largest.max_of(variable)
        row = cast(_each(lambda variable: _distance(largest, variable), row), address, layer.name)
    held = Cast(grid.fraction, (grid.low, grid.high), accum, layer.name)(layer.numbers["exp"].copy())
    exps = _by_highest_bits(layer, row, address, to_real(held, accum), tracing)
    whole = cast(np.array([_tree(exps, accum, layer.name)], dtype=object), total, layer.name)
    share = _by_highest_bits(layer, whole, total, to_real(layer.numbers["inverse"], inverse), tracing)[0]
    return cast(_each(lambda exp: exp * share, exps), layer.result, layer.name)


def _distance(largest: Any, variable: Any) -> Any:
    """Subtract from the largest: never below 0, which a difference of ranges does not know."""
    return (largest - variable).relu()


def _tree(numbers: Array, accum: Format, layer: str) -> Any:
    """Sum, each sum cast, in the order of ``nnet::reduce``."""
    if len(numbers) == 1:
        return numbers[0]
    left = 1 << ((len(numbers) - 1).bit_length() - 1)
    both = _tree(numbers[:left], accum, layer) + _tree(numbers[left:], accum, layer)
    return cast(np.array([both], dtype=object), accum, layer)[0]


def _by_highest_bits(layer: Layer, variables: Array, format: Format, table: Array, tracing: Tracing) -> Array:
    """Look up what the highest bits of numbers of a format address."""
    bits = (len(table) - 1).bit_length()
    address = Format(bits, format.integer, format.signed)
    places = cast(variables, address, layer.name)

    def values(numbers: Array) -> Array:
        return np.asarray(table[np.rint(numbers / address.step).astype(np.int64) % len(table)])

    return _each(lambda variable: _looked_up(variable, values, layer, tracing), places)


LAYERS: Mapping[str, Make] = {
    "add": partial(_join, lambda one, two: one + two),
    "concatenate": _concatenate,
    "conv": _conv,
    "dense": _dense,
    "leaky_relu": _leaky_relu,
    "linear": _linear,
    "multiply": partial(_join, lambda one, two: one * two),
    "pool": _pool,
    "relu": _relu,
    "reshape": _reshape,
    "scale": _scale,
    "softmax": _softmax,
    "subtract": partial(_join, lambda one, two: one - two),
    "table": _table,
    "transpose": _transpose,
}
