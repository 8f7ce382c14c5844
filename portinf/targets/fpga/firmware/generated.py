"""Functions that hls4ml generated for single layers -> the sums of distributed arithmetic, and the windows of convolutions."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from portinf.core.batch import Array
from portinf.fixedpoint.formats import Format

__all__ = ["Sum", "sums_of", "windows_of"]

GRID = 256  # fraction bits of the whole numbers that a `Sum` is made of


@dataclass(frozen=True)
class Sum:
    """``start + sum of factors[k] * (raw number of input k)``, in units of ``2 ** -GRID``: exact."""

    factors: Mapping[int, int]
    start: int

    def plus(self, other: Sum, sign: int = 1) -> Sum:
        """Add or subtract another one."""
        found = dict(self.factors)
        for number, factor in other.factors.items():
            found[number] = found.get(number, 0) + sign * factor
        return Sum({number: factor for number, factor in found.items() if factor}, self.start + sign * other.start)

    def shifted(self, bits: int) -> Sum:
        """Multiply by ``2 ** bits``."""

        def shift(number: int) -> int:
            if bits < 0 and number % (1 << -bits):
                raise ValueError(f"numbers finer than 2**-{GRID}")
            return number << bits if bits >= 0 else number >> -bits

        return Sum({number: shift(factor) for number, factor in self.factors.items()}, shift(self.start))

    def into(self, format: Format, given: Format) -> Sum:
        """Return the same, once it is sure that a format holds every number that it can be."""
        ends = [self.start, self.start]
        for factor in self.factors.values():
            ends = [
                ends[0] + factor * (given.low if factor > 0 else given.high),
                ends[1] + factor * (given.high if factor > 0 else given.low),
            ]
        unit = 1 << (GRID - format.fraction)
        whole = not any(number % unit for number in (*self.factors.values(), self.start))
        if not whole or not format.holds(ends[0] // unit, ends[1] // unit):
            raise ValueError(f"{format} does not hold a number between")
        return self


def sums_of(code: str, name: str, given: Format) -> list[Sum]:
    """Return what a function of distributed arithmetic gives, by output; every step on the way was shown to lose nothing.

    Args:
        code: the file of generated functions.
        name: of the function.
        given: format of its inputs.

    Raises:
        ValueError: it is not there, loses bits, or has a line that is not understood.
    """
    match = re.search(
        rf"void {name}\(inp_t model_inp\[\d+\], out_t model_out\[(\d+)\]\) \{{[^\n]*\n(.*?)^\}}", code, re.M | re.S
    )
    if match is None:
        raise ValueError(f"there is no function {name}")
    known: dict[str, Sum] = {}
    found: dict[int, Sum] = {}
    for line in re.sub(r"//[^\n]*", "", match[2]).split(";"):
        text = " ".join(line.replace("#pragma HLS INLINE", "").split())
        if not text:
            continue
        made = re.fullmatch(r"(?:(ap_u?fixed<[-\d,]+>) (v\d+)|model_out\[(\d+)\]) = (.+)", text)
        if made is None:
            raise ValueError(f"{name} has the line '{text}'")
        value = _value(_parsed(made[4]), known, given)
        if made[2]:
            known[made[2]] = value.into(Format.parse(made[1]), given)
        else:
            found[int(made[3])] = value
    return [found[number] for number in range(int(match[1]))]


def _parsed(text: str) -> ast.expr:
    """Parse an expression of C++ that only differs from one of Python in its templates."""
    text = re.sub(r"bit_shift<(-?\d+)>\(", r"bit_shift(\1, ", text)
    return ast.parse(re.sub(r"(ap_u?fixed<[-\d,]+>)\(", r"cast('\1', ", text), mode="eval").body


def _value(node: ast.expr, known: Mapping[str, Sum], given: Format) -> Sum:
    match node:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
            return _value(left, known, given).plus(_value(right, known, given), 1 if isinstance(op, ast.Add) else -1)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return Sum({}, 0).plus(_value(operand, known, given), -1)
        case ast.Call(func=ast.Name(id="bit_shift"), args=[bits, operand]):
            return _value(operand, known, given).shifted(int(ast.literal_eval(bits)))
        case ast.Call(func=ast.Name(id="cast"), args=[ast.Constant(value=str() as format), operand]):
            return _value(operand, known, given).into(Format.parse(format), given)
        case ast.Subscript(value=ast.Name(id="model_inp"), slice=ast.Constant(value=int() as number)):
            return Sum({number: 1 << (GRID - given.fraction)}, 0)
        case ast.Name(id=name) if name in known:
            return known[name]
        case ast.Constant(value=int() | float() as number):
            top, bottom = float(number).as_integer_ratio()
            return Sum({}, (top << GRID) // bottom)
    raise ValueError(f"an expression that is not understood: {ast.unparse(node)}")


def windows_of(code: str, name: str) -> Array:
    """Return which number of the input each place of a convolution's windows takes, from 1; 0 for padding.

    Args:
        code: the file of generated functions.
        name: of the class with the function ``fill_buffer``.

    Returns:
        Shape (positions, numbers of a window).

    Raises:
        ValueError: it is not there.
    """
    match = re.search(rf"class {name} .*?^\}};", code, re.M | re.S)
    if match is None:
        raise ValueError(f"there is no class {name}")
    rows: list[list[int]] = []
    for part in re.split(r"if \(partition ==\s*\d+\)", match[0])[1:]:
        pixels: dict[int, dict[int, int]] = {}
        for pixel, place, number in re.findall(r"buffer\[(\d+)\]\[(\d+)\] =\s*(?:data\[(\d+)\]|0);", part):
            pixels.setdefault(int(pixel), {})[int(place)] = int(number) + 1 if number else 0
        rows += [[row[place] for place in sorted(row)] for _, row in sorted(pixels.items())]
    return np.array(rows)
