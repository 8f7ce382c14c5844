"""Float layers and a choice of bits -> a fixed-point network; also the bits that a range of numbers needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from portinf.core.batch import Array
from portinf.core.errors import CannotError, DisagreementError
from portinf.fixedpoint.casting import from_real
from portinf.fixedpoint.formats import FixedPointError, Format
from portinf.fixedpoint.linear import sum_range
from portinf.fixedpoint.network import Input, Layer, Network
from portinf.targets.fpga.quantize.tables import softmax_parts, table_parts
from portinf.targets.fpga.reader.plan import FloatLayer, Plan

__all__ = ["HEADROOM", "Choice", "Range", "automatic", "integer_bits", "quantised", "uniform", "weights_out_of_range"]

HEADROOM = 1  # bits of ``auto`` above the largest number seen: a factor of two
SLOPE = 10  # bits that a slope has at least, from its first one that is not 0: samples may not come where it plays a part
PASSING = ("reshape", "transpose")  # layers whose numbers are those before them
Range = tuple[float, float]  # smallest and largest number seen


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Formats by place.

    Attributes:
        results: format of each input and layer, by name; layers that pass numbers on need none.
        weights: format by layer and role (``weight``, ``bias``, ``scale``, ``alpha``), as ``layer/role``.
        tolerance: absolute error that tables may add.
    """

    results: Mapping[str, Format]
    weights: Mapping[str, Format]
    tolerance: float = 0.01
    note: str = field(default="")


def integer_bits(low: float, high: float, *, signed: bool) -> int:
    """Return the smallest number of integer bits (the sign included) that holds every number of a range."""
    largest = max(high, 0.0 if not signed else -low)
    if largest <= 0 or not math.isfinite(largest):
        return int(signed)
    bits = math.frexp(largest)[1]  # largest < 2**bits
    if signed and high < -low and math.frexp(-low)[0] == 0.5:
        bits -= 1  # the lowest number itself is in range
    return bits + signed


def uniform(plan: Plan, format: Format, tolerance: float) -> Choice:
    """Give every weight, bias and result one format."""
    names = [*(item.name for item in plan.inputs), *(layer.name for layer in plan.layers)]
    weights = {f"{layer.name}/{role}": format.with_modes("RND", "SAT") for layer in plan.layers for role in layer.weights}
    return Choice(results=dict.fromkeys(names, format), weights=weights, tolerance=tolerance)


def automatic(plan: Plan, ranges: Mapping[str, Range], fraction: int | Mapping[str, int], tolerance: float) -> Choice:
    """Give each place the integer bits that hold its range, and the given number of fraction bits.

    Results get `HEADROOM`, rounding and saturation; weights need no room.

    Args:
        plan: the layers.
        ranges: of inputs and layers, as seen on samples.
        fraction: fraction bits, for all or by input, layer or ``layer/role``.
        tolerance: absolute error that tables may add.
    """

    def bits(name: str) -> int:
        return fraction if isinstance(fraction, int) else fraction[name]

    padded = _padded(plan)
    results = {name: _result_format(ends, bits(name), signed=ends[0] < 0 or name in padded) for name, ends in ranges.items()}
    weights = {}
    for layer in plan.layers:
        for role, numbers in layer.weights.items():
            least = SLOPE - math.frexp(float(numbers))[1] if role == "alpha" and numbers else 0
            weights[f"{layer.name}/{role}"] = _weight_format(numbers, max(bits(f"{layer.name}/{role}"), least))
    return Choice(results=results, weights=weights, tolerance=tolerance)


def _padded(plan: Plan) -> set[str]:
    """Return inputs and layers whose numbers a pooling pads with the smallest: hls4ml has none that is small without a sign."""
    found: set[str] = set()
    for layer in reversed(plan.layers):
        pads = layer.kind == "pool" and layer.options["operation"] == "max" and any(map(any, layer.options["pads"]))
        if pads or (layer.name in found and _passes(layer)):
            found |= set(layer.inputs)
    return found


def _passes(layer: FloatLayer) -> bool:
    """Say whether a layer has the numbers, and the format, of the one before it."""
    return layer.kind in PASSING or (layer.kind == "pool" and layer.options["operation"] == "max")


def _result_format(ends: Range, fraction: int, *, signed: bool) -> Format:
    integer = integer_bits(*ends, signed=signed) + HEADROOM
    return Format(max(2, integer + fraction), max(integer, 2 - fraction), signed, "RND", "SAT")


def _weight_format(numbers: Array, fraction: int) -> Format:
    low, high = float(numbers.min(initial=0.0)), float(numbers.max(initial=0.0))
    format = Format(max(2, integer_bits(low, high, signed=True) + fraction), 0, True, "RND", "SAT")
    format = replace(format, integer=format.width - fraction)
    raw = np.rint(numbers * 2.0**fraction)
    return (
        format
        if format.holds(int(raw.min(initial=0)), int(raw.max(initial=0)))
        else replace(format, width=format.width + 1, integer=format.integer + 1)
    )


def weights_out_of_range(plan: Plan, choice: Choice) -> None:
    """Refuse constants that a format does not hold.

    Raises:
        DisagreementError: names the layer, the constants and the bits that they need.
    """
    found = []
    for layer in plan.layers:
        for role, numbers in layer.weights.items():
            format = choice.weights[f"{layer.name}/{role}"]
            out = numbers[(numbers > format.largest + format.step / 2) | (numbers < format.smallest - format.step / 2)]
            if out.size:
                worst = float(out[np.abs(out).argmax()])
                low, high = float(numbers.min()), float(numbers.max())
                found.append((layer, role, out.size, worst, format, integer_bits(low, high, signed=True)))
    if found:
        layer, role, count, worst, format, needed = found[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise DisagreementError(
            f"{layer.title}: {count} of its {role} numbers, the largest {worst:.6g}, do not fit into "
            f"{format.with_modes('TRN', 'WRAP')}, which holds {format.smallest:.6g} to {format.largest:.6g}{more}: they need "
            f"{needed} integer bits; use --precision auto"
        )


def quantised(plan: Plan, choice: Choice) -> Network:
    """Turn float layers into a fixed-point network: weights rounded to nearest, sums as wide as they need to be.

    Raises:
        CannotError: numbers of so many bits cannot be made from floats.
    """
    results: dict[str, Format] = {}
    for item in plan.inputs:
        results[item.name] = choice.results[item.name]
    layers = []
    for layer in plan.layers:
        results[layer.name] = results[layer.inputs[0]] if _passes(layer) else choice.results[layer.name]
        try:
            layers.append(_layer(layer, choice, results))
        except FixedPointError as error:
            raise CannotError(f"{layer.title}: {error}") from error
    inputs = tuple(Input(name=item.name, shape=item.shape, axes=item.axes, format=results[item.name]) for item in plan.inputs)
    return Network(inputs=inputs, layers=tuple(layers), outputs=plan.outputs, axes=plan.axes)


def _layer(layer: FloatLayer, choice: Choice, results: Mapping[str, Format]) -> Layer:
    formats = {role: choice.weights[f"{layer.name}/{role}"] for role in layer.weights}
    numbers = {role: from_real(array, formats[role]).astype(np.int64) for role, array in layer.weights.items()}
    given = results[layer.inputs[0]]
    made: dict[str, Any] = {"formats": formats, "numbers": numbers, "options": dict(layer.options)}
    if layer.kind in _PARTS:
        _PARTS[layer.kind](layer, given, results[layer.name], choice, made)
    return Layer(
        name=layer.name,
        kind=layer.kind,
        inputs=layer.inputs,
        shape=layer.shape,
        result=results[layer.name],
        origin=layer.origin,
        axes=layer.axes,
        **made,
    )


def _exact_sums(layer: FloatLayer, given: Format, result: Format, choice: Choice, made: dict[str, Any]) -> None:
    """Give the sums a format in which nothing is lost."""
    weight, bias = made["numbers"]["weight"], made["numbers"]["bias"]
    grids = made["formats"]
    product = given.fraction + grids["weight"].fraction
    fraction = max(product, grids["bias"].fraction)
    flat = weight.reshape(-1, weight.shape[-1]).astype(object) * (1 << (fraction - product))
    start = bias.astype(object) * (1 << (fraction - grids["bias"].fraction))
    low, high = sum_range(flat, start, given)
    width = 1 + max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0, 1)
    made["formats"] = {**grids, "accum": Format(width, width - fraction)}


def _mean_sums(layer: FloatLayer, given: Format, result: Format, choice: Choice, made: dict[str, Any]) -> None:
    """Give sums of a pooling room for every term, and a mean more fraction bits than the result."""
    if layer.options["operation"] == "max":
        made["formats"] = {"accum": given}
        return
    count = int(np.prod(layer.options["window"]))
    fraction = max(given.fraction, result.fraction + 2)
    integer = given.integer + (count - 1).bit_length()
    made["formats"] = {"accum": Format(integer + fraction, integer, given.signed)}


def _table(layer: FloatLayer, given: Format, result: Format, choice: Choice, made: dict[str, Any]) -> None:
    made["formats"], made["numbers"] = table_parts(layer.options["function"], choice.tolerance)


def _softmax(layer: FloatLayer, given: Format, result: Format, choice: Choice, made: dict[str, Any]) -> None:
    made["formats"], made["numbers"] = softmax_parts(layer.shape[-1], choice.tolerance)


_PARTS: dict[str, Callable[[FloatLayer, Format, Format, Choice, dict[str, Any]], None]] = {
    "conv": _exact_sums,
    "dense": _exact_sums,
    "pool": _mean_sums,
    "softmax": _softmax,
    "table": _table,
}
