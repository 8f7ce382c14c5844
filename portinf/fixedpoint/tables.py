"""A function and two formats -> the table that hls4ml's C++ fills, in the same single-precision steps."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable

import numpy as np

from portinf.fixedpoint.casting import Array, from_real
from portinf.fixedpoint.formats import Format

__all__ = ["exponentials", "reciprocals", "sigmoid", "tanh"]


def _single(name: str) -> Callable[[Array], Array]:
    """Return the C library's function of a float: numpy's own may differ in the last bit."""
    try:
        function = getattr(ctypes.CDLL(ctypes.util.find_library("m")), f"{name}f")
    except (OSError, AttributeError, TypeError):
        return lambda values: getattr(np, name)(values.astype(np.float64)).astype(np.float32)
    function.argtypes, function.restype = [ctypes.c_float], ctypes.c_float
    return lambda values: np.array([function(float(value)) for value in values], np.float32)


def _addressed(format: Format, size: int) -> Array:
    """Return the numbers whose highest bits are 0, 1, ... size - 1, the lower ones 0."""
    raw = np.arange(size, dtype=np.int64) << (format.width - (size - 1).bit_length())
    if format.signed:
        raw = np.where(raw > format.high, raw - (1 << format.width), raw)
    return (raw.astype(np.float64) * format.step).astype(np.float32)


def _places(span: float, size: int) -> Array:
    """Return the middle table's places: ``2 * span / 2 * (k - size / 2) / size`` in the C++ text's types."""
    steps = np.arange(size, dtype=np.float32) - np.float32(size) / 2.0
    return (span * steps.astype(np.float64) / np.float64(np.float32(size))).astype(np.float32)


def exponentials(address: Format, size: int, format: Format, *, negative: bool) -> Array:
    """Return raw numbers of exp(x), or of exp(-x), at the places that ``address`` gives."""
    places = _addressed(address, size)
    return _raw(_single("exp")(-places if negative else places), format)


def reciprocals(address: Format, size: int, format: Format) -> Array:
    """Return raw numbers of 1 / x; at 0 what an infinity becomes."""
    with np.errstate(divide="ignore"):
        return _raw(np.float32(1) / _addressed(address, size), format)


def sigmoid(size: int, format: Format) -> Array:
    """Return raw numbers over -8 <= x < 8."""
    exps = _single("exp")(-_places(16.0, size))
    with np.errstate(over="ignore"):
        return _raw((1.0 / (np.float32(1) + exps).astype(np.float64)).astype(np.float32), format)


def tanh(size: int, format: Format) -> Array:
    """Return raw numbers over -4 <= x < 4."""
    return _raw(_single("tanh")(_places(8.0, size)), format)


def _raw(values: Array, format: Format) -> Array:
    return from_real(values, format).astype(np.int64)
