"""A float layer and what it reads -> what it gives, in float64: so that layers can be tested before they have formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from portinf.core.batch import Array
from portinf.fixedpoint.linear import windows
from portinf.targets.fpga.reader.plan import FloatLayer

__all__ = ["NUMBERS"]

Compute = Callable[[FloatLayer, Sequence[Array]], Array]


def _conv(layer: FloatLayer, given: Sequence[Array]) -> Array:
    weight = layer.weights["weight"]
    seen = windows(_padded(layer, given[0], 0.0), weight.shape[:-2], layer.options["strides"])
    rows = [np.tensordot(row, weight, axes=weight.ndim - 1) for row in seen]  # one by one: windows take memory
    return np.stack(rows) + layer.weights["bias"]


def _padded(layer: FloatLayer, array: Array, fill: float) -> Array:
    return np.pad(array, [(0, 0), *map(tuple, layer.options["pads"]), (0, 0)], constant_values=fill)


def _pool(layer: FloatLayer, given: Sequence[Array]) -> Array:
    window, strides = layer.options["window"], layer.options["strides"]
    axes = tuple(range(-1 - len(window), -1))
    if layer.options["operation"] == "max":
        found = windows(_padded(layer, given[0], -np.inf), window, strides).max(axis=axes)
    else:
        inside = np.ones((1, *given[0].shape[1:]))
        counts = windows(_padded(layer, inside, float(layer.options["count_pad"])), window, strides).sum(axis=axes)
        found = windows(_padded(layer, given[0], 0.0), window, strides).sum(axis=axes) / counts
    return np.asarray(found.reshape(len(found), *layer.shape))


def _softmax(layer: FloatLayer, given: Sequence[Array]) -> Array:
    exps = np.exp(given[0] - given[0].max(axis=-1, keepdims=True))
    return np.asarray(exps / exps.sum(axis=-1, keepdims=True))


def _table(layer: FloatLayer, given: Sequence[Array]) -> Array:
    halves = np.tanh(given[0] / 2 if layer.options["function"] == "sigmoid" else given[0])
    return np.asarray((1 + halves) / 2 if layer.options["function"] == "sigmoid" else halves)


NUMBERS: Mapping[str, Compute] = {
    "add": lambda layer, given: given[0] + given[1],
    "concatenate": lambda layer, given: np.concatenate(given, axis=1 + int(layer.options["axis"])),
    "conv": _conv,
    "dense": lambda layer, given: given[0] @ layer.weights["weight"] + layer.weights["bias"],
    "leaky_relu": lambda layer, given: np.where(given[0] > 0, given[0], given[0] * layer.weights["alpha"]),
    "multiply": lambda layer, given: given[0] * given[1],
    "pool": _pool,
    "relu": lambda layer, given: np.maximum(given[0], 0),
    "reshape": lambda layer, given: given[0].reshape(len(given[0]), *layer.shape),
    "scale": lambda layer, given: given[0] * layer.weights["scale"] + layer.weights["bias"],
    "softmax": _softmax,
    "subtract": lambda layer, given: given[0] - given[1],
    "table": _table,
    "transpose": lambda layer, given: given[0].transpose(0, *(1 + axis for axis in layer.options["order"])),
}
