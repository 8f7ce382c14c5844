"""The text of a fixed-point type (``ap_fixed<16,6>``) -> what it can hold and how it rounds."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

__all__ = ["OVERFLOWS", "ROUNDINGS", "FixedPointError", "Format"]

ROUNDINGS = ("TRN", "TRN_ZERO", "RND", "RND_ZERO", "RND_INF", "RND_MIN_INF", "RND_CONV")
OVERFLOWS = ("WRAP", "SAT", "SAT_SYM")
WIDEST = 1024  # bits: what ap_types takes; wider numbers than an int64 can be described, and are refused when computed


class FixedPointError(ValueError):
    """A format, a network or its file that this package cannot compute exactly; one line that names the place."""


@dataclass(frozen=True)
class Format:
    """A fixed-point type as of the ``ap_types`` library (Vitis HLS user guide UG1399, arbitrary precision data types).

    A number is a whole number ``raw`` times ``2 ** -fraction``.

    Attributes:
        width: bits in all.
        integer: integer bits, the sign included; may be negative or beyond ``width``.
        signed: two's complement.
        rounding: of the bits after the last one: one of `ROUNDINGS`.
        overflow: handling of numbers out of range: one of `OVERFLOWS`.
    """

    width: int
    integer: int
    signed: bool = True
    rounding: str = "TRN"
    overflow: str = "WRAP"

    def __post_init__(self) -> None:
        """Refuse what is no format, or none that is supported."""
        if not 1 <= self.width <= WIDEST:
            raise FixedPointError(f"{self}: expected 1 to {WIDEST} bits, found {self.width}")
        if self.rounding not in ROUNDINGS or self.overflow not in OVERFLOWS:
            raise FixedPointError(f"{self}: expected a rounding of {', '.join(ROUNDINGS)} and one of {', '.join(OVERFLOWS)}")
        if abs(self.integer) > 256:
            raise FixedPointError(f"{self}: {self.integer} integer bits")

    @property
    def fraction(self) -> int:
        """Fraction bits; negative where the last integer bits are missing."""
        return self.width - self.integer

    @property
    def high(self) -> int:
        """The largest raw number."""
        return (1 << (self.width - self.signed)) - 1

    @property
    def low(self) -> int:
        """The smallest raw number."""
        if not self.signed:
            return 0
        return -self.high if self.overflow == "SAT_SYM" else -self.high - 1

    @property
    def step(self) -> float:
        """The distance of two neighbours."""
        return 2.0**-self.fraction

    @property
    def largest(self) -> float:
        """The largest number."""
        return self.high * self.step

    @property
    def smallest(self) -> float:
        """The smallest number."""
        return self.low * self.step

    def with_modes(self, rounding: str, overflow: str) -> Format:
        """Return the same bits with other modes."""
        return replace(self, rounding=rounding, overflow=overflow)

    def holds(self, low: int, high: int) -> bool:
        """Say whether raw numbers of this grid from ``low`` to ``high`` are all in range."""
        return self.low <= low and high <= self.high

    def __str__(self) -> str:
        """Write it as C++ does."""
        modes = "" if (self.rounding, self.overflow) == ("TRN", "WRAP") else f",AP_{self.rounding},AP_{self.overflow}"
        return f"ap_{'' if self.signed else 'u'}fixed<{self.width},{self.integer}{modes}>"

    @staticmethod
    def parse(text: str) -> Format:
        """Read ``ap_fixed<W,I[,Q[,O]]>``, ``ap_ufixed``, ``ap_int<W>`` or ``ap_uint``; the prefixes ``ap_`` and ``AP_`` may be left out.

        Raises:
            FixedPointError: it is something else.
        """
        match = re.fullmatch(r"\s*(?:ap_)?(u?)(fixed|int)\s*<([^<>]*)>\s*", text)
        parts = [part.strip() for part in match[3].split(",")] if match else []
        numbers = 1 if match and match[2] == "int" else 2
        modes = [part.removeprefix("AP_") for part in parts[numbers:]]
        if match is None or not all(re.fullmatch(r"-?\d+", part) for part in parts[:numbers]) or len(parts) < numbers:
            raise FixedPointError(
                f"'{text}': expected ap_fixed<W,I> or ap_ufixed<W,I>, W bits in total, I of them integer bits"
            )
        if len(modes) > 2 or (modes and numbers == 1):
            raise FixedPointError(f"'{text}': expected at most a rounding and an overflow mode after the bits, found {modes}")
        rounding = modes[0] if modes else "TRN"
        overflow = modes[1] if len(modes) > 1 else "WRAP"
        width = int(parts[0])
        return Format(width, int(parts[1]) if numbers == 2 else width, not match[1], rounding, overflow)
