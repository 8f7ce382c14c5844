"""Raw numbers on one grid -> raw numbers of a format, rounded and wrapped or saturated as the hardware does it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from portinf.fixedpoint.formats import FixedPointError, Format

__all__ = ["FLOAT_BITS", "Array", "Cast", "Interval", "Watch", "carrier", "from_real", "round_off", "to_real"]

Array = npt.NDArray[Any]
Interval = tuple[int, int]  # smallest and largest raw number
FLOAT_BITS = 52  # bits that a float64 carries with room for the half that rounding adds
INTEGER_BITS = 62


@dataclass(kw_only=True)
class Watch:
    """Counts what did not fit.

    Attributes:
        counts: by layer, how many numbers were out of range and wrapped or saturated.
        worst: by layer, the largest of them, as a number.
    """

    counts: dict[str, int] = field(default_factory=dict)
    worst: dict[str, float] = field(default_factory=dict)

    def add(self, layer: str, numbers: Array, step: float) -> None:
        """Add raw numbers that were out of range."""
        largest = numbers[np.abs(numbers).argmax()]
        self.counts[layer] = self.counts.get(layer, 0) + len(numbers)
        self.worst[layer] = max(self.worst.get(layer, 0.0), float(largest) * step, key=abs)


def carrier(interval: Interval, what: str) -> npt.DTypeLike:
    """Return the numpy type in which whole numbers of this range are exact.

    Raises:
        FixedPointError: there is none; the message starts with ``what``.
    """
    bits = max(abs(interval[0]), abs(interval[1])).bit_length()
    if bits <= FLOAT_BITS:
        return np.float64
    if bits <= INTEGER_BITS:
        return np.int64
    raise FixedPointError(f"{what}: needs integers of {bits} bits; at most {INTEGER_BITS} bits are computed exactly")


def round_off(numbers: Array, mode: str) -> Array:
    """Round float64 numbers, below 2**52 in size or whole, to whole ones; may work in place.

    Args:
        numbers: each exact, on a grid of at most 2**-52 times the largest.
        mode: one of `portinf.fixedpoint.formats.ROUNDINGS`.
    """
    if mode == "TRN":
        return np.floor(numbers, out=numbers)
    if mode == "TRN_ZERO":
        return np.trunc(numbers, out=numbers)
    if mode == "RND_CONV":
        return np.rint(numbers, out=numbers)
    whole: Array = np.floor(numbers)
    rest = numbers - whole
    whole += _up(mode, rest, 0.5, numbers < 0)
    return whole


def _up(mode: str, rest: Array, half: float, negative: Array) -> Array:
    """Say where rounding goes up from the floor; ``rest`` is what the floor left, ``half`` half a step."""
    if mode == "RND":
        return np.asarray(rest >= half)
    if mode == "RND_MIN_INF":
        return np.asarray(rest > half)
    tie = negative if mode == "RND_ZERO" else ~negative
    return np.asarray((rest > half) | ((rest == half) & tie))


def _shift_off(numbers: Array, bits: int, mode: str) -> Array:
    """Drop bits of int64 numbers."""
    bits = min(bits, 63)
    whole: Array = numbers >> bits
    if mode == "TRN":
        return whole
    rest = numbers - (whole << bits) if bits < 63 else numbers.astype(np.uint64) & np.uint64(2**63 - 1)
    if mode == "TRN_ZERO":
        return np.asarray(whole + ((numbers < 0) & (rest != 0)))
    half = 1 << (bits - 1)
    if mode == "RND_CONV":
        return np.asarray(whole + ((rest > half) | ((rest == half) & (whole % 2 == 1))))
    return np.asarray(whole + _up(mode, rest, half, numbers < 0))


def _wrapped(numbers: Array, format: Format) -> Array:
    """Keep the lowest bits of whole numbers of any size."""
    span: Any = 2.0**format.width if numbers.dtype == np.float64 else 1 << format.width
    rest: Array = np.mod(numbers, span)  # exact: as fmod for floats
    return np.where(rest > format.high, rest - span, rest) if format.signed else rest


class Cast:
    """One conversion from a grid to a format, prepared for the range that can come.

    Args:
        fraction: fraction bits of what comes.
        interval: its range.
        format: the target format.
        layer: whose result it is: for messages and `Watch`.

    Attributes:
        dtype: of what comes out, and of what must come in.

    Raises:
        FixedPointError: the numbers between are too large to be exact.
    """

    def __init__(self, fraction: int, interval: Interval, format: Format, layer: str) -> None:
        self.format, self.layer = format, layer
        self.drop = fraction - format.fraction
        grown = (interval[0] << max(0, -self.drop), interval[1] << max(0, -self.drop))
        after = (grown[0] >> max(0, self.drop), (grown[1] >> max(0, self.drop)) + (self.drop > 0 and format.rounding != "TRN"))
        self.fits = format.holds(*after)
        room = grown if self.fits else (min(grown[0], format.low), max(grown[1], format.high))
        self.dtype = carrier(room, layer)
        self._factor: Any = 2.0**-self.drop if self.dtype == np.float64 else 1 << max(0, -self.drop)

    def __call__(self, numbers: Array, watch: Watch | None = None) -> Array:
        """Convert raw numbers; they may be overwritten."""
        return self.scaled(self.scale(numbers), watch)

    def scale(self, numbers: Array) -> Array:
        """Bring raw numbers onto the target grid: float64 in units of a step, not rounded yet; int64 rounded."""
        numbers = numbers.astype(self.dtype, copy=False)
        if self.dtype == np.float64:
            return numbers * self._factor if self.drop else numbers
        return _shift_off(numbers, self.drop, self.format.rounding) if self.drop > 0 else numbers * self._factor

    def scaled(self, numbers: Array, watch: Watch | None = None) -> Array:
        """Round and fit what `scale` made, or an operation that scaled by itself."""
        if self.drop > 0 and self.dtype == np.float64:
            numbers = round_off(numbers, self.format.rounding)
        return numbers if self.fits else self.fit(numbers, watch)

    @property
    def factor(self) -> float:
        """What float64 numbers are multiplied by in `scale`."""
        return float(self._factor)

    def fit(self, numbers: Array, watch: Watch | None = None) -> Array:
        """Wrap or saturate whole numbers on the grid of the format."""
        low, high = self.format.low, self.format.high
        if not numbers.size or (numbers.min() >= low and numbers.max() <= high):
            return numbers
        if watch is not None:
            watch.add(self.layer, numbers[(numbers < low) | (numbers > high)], self.format.step)
        return _wrapped(numbers, self.format) if self.format.overflow == "WRAP" else np.clip(numbers, low, high)


def from_real(values: Array, format: Format, layer: str = "", watch: Watch | None = None) -> Array:
    """Turn finite real numbers (any float or integer type) into raw numbers of a format, as ``ap_fixed(double)`` does.

    Infinities saturate; where numbers wrap they become 0, as in the library.

    Raises:
        FixedPointError: the format is too wide.
    """
    if format.width > FLOAT_BITS:
        raise FixedPointError(f"{layer or 'a number'}: {format}: floats are converted to at most {FLOAT_BITS} bits")
    numbers = np.asarray(values, dtype=np.float64) * 2.0**format.fraction  # exact: a power of two
    endless = np.isinf(numbers)
    if endless.any():
        numbers = np.where(endless, 0.0 if format.overflow == "WRAP" else np.copysign(2.0**200, numbers), numbers)
    whole = round_off(numbers, format.rounding)
    cast = Cast(format.fraction, (format.low, format.high), format, layer)
    return cast.fit(whole, watch)


def to_real(numbers: Array, format: Format) -> Array:
    """Turn raw numbers into float64."""
    return np.asarray(numbers, dtype=np.float64) * format.step
