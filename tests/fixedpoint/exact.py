"""A slow exact reference: fixed-point numbers with Python's whole numbers and fractions."""

from __future__ import annotations

import math
from fractions import Fraction

from portinf.fixedpoint.formats import Format


def rounded(value: Fraction, mode: str) -> int:
    """Round to a whole number as the ap_types manual words it."""
    down = math.floor(value)
    rest = value - down
    half = Fraction(1, 2)
    if mode == "TRN":
        return down
    if mode == "TRN_ZERO":
        return math.trunc(value)
    if rest != half:
        return down + (rest > half)
    if mode == "RND":
        return down + 1
    if mode == "RND_MIN_INF":
        return down
    if mode == "RND_INF":
        return down + (value > 0)
    if mode == "RND_ZERO":
        return down + (value < 0)
    return down + down % 2  # RND_CONV


def fitted(raw: int, format: Format) -> int:
    """Wrap or saturate."""
    if format.overflow != "WRAP":
        return max(format.low, min(format.high, raw))
    rest = raw % (1 << format.width)
    return rest - (1 << format.width) if format.signed and rest > format.high else rest


def cast(raw: int, fraction: int, format: Format) -> int:
    """Bring ``raw * 2**-fraction`` into a format."""
    value = Fraction(raw) * Fraction(2) ** (format.fraction - fraction)
    return fitted(rounded(value, format.rounding), format)


def value(raw: int, format: Format) -> Fraction:
    """Return the number that a raw one stands for."""
    return Fraction(raw) * Fraction(2) ** -format.fraction
