"""Variables of da4ml on one grid -> the same in a format, rounded and wrapped or saturated bit for bit as `fixedpoint.casting` does it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from portinf.core.errors import CannotError
from portinf.fixedpoint.casting import Array, Cast
from portinf.fixedpoint.formats import Format

__all__ = ["FINEST", "cast", "exact", "raw_of"]

FINEST = 32  # fraction bits that da4ml's constants may have


def cast(variables: Array, format: Format, layer: str) -> Array:
    """Bring an object array of da4ml's variables, of any shape, into a format.

    Raises:
        CannotError: a constant of the rounding is finer than da4ml's constants can be; starts with ``layer``.
    """
    flat = [_cast(variable, format, layer) for variable in variables.ravel()]
    return _objects(flat).reshape(variables.shape)


def exact(value: Decimal | float, layer: str) -> Decimal:
    """Return a constant that da4ml holds exactly.

    Raises:
        CannotError: it has more than `FINEST` fraction bits.
    """
    number = Decimal(value)
    if (number * 2**FINEST) % 1:
        raise CannotError(f"{layer}: the constant {float(number):g} has more than {FINEST} fraction bits, which da4ml drops")
    return number


def raw_of(variable: Any) -> tuple[int, int, int]:
    """Return the smallest and largest whole number of a variable's grid, and the bits behind its point."""
    fraction = -int(np.log2(float(variable.step)))
    return int(variable.low / variable.step), int(variable.high / variable.step), fraction


def _objects(items: list[Any]) -> Array:
    found = np.empty(len(items), dtype=object)
    found[:] = items
    return found


def _cast(variable: Any, format: Format, layer: str) -> Any:
    if variable.low == variable.high:
        return _constant(variable, format, layer)
    if variable.step < Decimal(2) ** -format.fraction:
        variable = _nudged(variable, format, layer)
    bits = int(format.signed), format.integer - format.signed, format.fraction
    if not format.signed and format.overflow == "WRAP" and variable.low < 0:
        variable = _extended(variable, format)
    return variable.quantize(*bits, overflow_mode=format.overflow, round_mode="TRN")


def _extended(variable: Any, format: Format) -> Any:
    """Let negative numbers wrap round to the top: da4ml 0.6 gives an unsigned format no more bits than the number had."""
    signed, integer, fraction = variable.kif
    if integer >= format.integer:
        return variable
    behind = min(fraction, format.fraction)
    cut = variable.quantize(signed, max(integer, -behind), behind)  # room for -1 where no other bit stays
    return cut + cut.is_negative() * Decimal(2) ** format.integer if cut.low < 0 else cut


def _constant(variable: Any, format: Format, layer: str) -> Any:
    low, high, fraction = raw_of(variable)
    raw = Cast(fraction, (low, high), format, layer)(np.array([low]))
    return variable.from_const(exact(Decimal(int(raw[0])) * Decimal(2) ** -format.fraction, layer), variable.hwconf)


def _nudged(variable: Any, format: Format, layer: str) -> Any:
    """Add what makes rounding down round as the format wants; ``rest`` is the variable's own step."""
    step, rest = Decimal(2) ** -format.fraction, variable.step
    half = step / 2
    mode = format.rounding
    if mode == "TRN":
        return variable
    if mode == "RND":
        return variable + exact(half, layer)
    if mode == "RND_MIN_INF":
        return variable + exact(half - rest, layer)
    if mode == "RND_CONV":
        last = variable.quantize(0, 1 - format.fraction, format.fraction)  # the last bit that stays
        return variable + exact(half - rest, layer) + last * (rest / step)
    negative = variable.is_negative()
    if mode == "RND_INF":
        return variable + exact(half, layer) - negative * exact(rest, layer)
    if mode == "RND_ZERO":
        return variable + exact(half - rest, layer) + negative * exact(rest, layer)
    return variable + negative * exact(step - rest, layer)  # TRN_ZERO
