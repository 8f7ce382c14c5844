"""Formulas of functions that ONNX lacks, or that exporters write in a form that is wrong far out: once, for every exporter.

A formula takes a writer and what it is computed from. Each is right to a few roundings for small, large and infinite numbers,
and keeps NaN, where the plain form (log(1 + x), log(exp(a) + exp(b)), a - floor(a / b) b) is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

__all__ = [
    "Writer",
    "atan2",
    "clamp",
    "elu",
    "erfc",
    "erfcx",
    "expm1",
    "floor_divide",
    "fmod",
    "heaviside",
    "hypot",
    "larger",
    "log1p",
    "log2",
    "log10",
    "log_sigmoid",
    "logaddexp",
    "logaddexp2",
    "logit",
    "relu",
    "remainder",
    "right_shift",
    "scaled_softplus",
    "sign",
    "signbit",
    "smaller",
    "softplus",
    "trunc_divide",
    "write",
    "xlog1py",
    "xlog1py_or_nan",
    "xlogy",
    "xlogy_or_nan",
]

# log(erfc(x) exp(x^2) (1 + x / 2)) as a polynomial of 1 / (1 + x / 2), highest power first; the relative error of erfc is
# below 1.2e-7 for x >= 0 (Press, Teukolsky, Vetterling, Flannery: Numerical Recipes, "erfcc").
ERFC = (
    *(0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807),
    *(-0.18628806, 0.09678418, 0.37409196, 1.00002368, -1.26551223),
)


class Writer(Protocol):
    """Writes nodes into an exporter's graph: ``op.Add(a, b)`` adds one and returns its output.

    Attributes:
        kind: numpy's type of the values.
    """

    kind: np.dtype[Any]

    def __getattr__(self, operator: str) -> Callable[..., Any]:
        """Return what adds a node of this operator; attributes go by name."""
        ...

    def number(self, value: float) -> Any:
        """Return a constant of the writer's type."""
        ...

    def cast(self, value: Any) -> Any:
        """Return a value cast to the writer's type."""
        ...

    def in_float32(self) -> Writer:
        """Return a writer for values of float32."""
        ...


def write(op: Writer, formula: Callable[..., Any], *values: Any) -> Any:
    """Write a formula; of half-precision numbers in float32, as the frameworks compute them."""
    if op.kind.itemsize != 2 or op.kind.kind in "iu":
        return formula(op, *values)
    wide = op.in_float32()
    found = formula(wide, *[wide.cast(value) for value in values])
    return found if formula is signbit else op.cast(found)


def log1p(op: Writer, x: Any) -> Any:
    """With u = 1 + x: log(u) x / (u - 1), in which the roundings of u cancel (Kahan); x where u is 1 or infinite."""
    one = op.number(1.0)
    u = op.Add(x, one)
    plain = op.Or(op.Equal(u, one), op.Equal(u, op.number(math.inf)))
    return op.Where(plain, x, op.Mul(op.Log(u), op.Div(x, op.Sub(u, one))))


def log2(op: Writer, x: Any) -> Any:
    """The logarithm to the base 2, whole for powers of 2."""
    return _log(op, x, 2.0)


def log10(op: Writer, x: Any) -> Any:
    """The logarithm to the base 10, whole for powers of 10."""
    return _log(op, x, 10.0)


def _log(op: Writer, x: Any, base: float) -> Any:
    ratio = op.Div(op.Log(x), op.number(math.log(base)))
    whole = op.Round(ratio)
    return op.Where(op.Equal(op.Pow(op.number(base), whole), x), whole, ratio)


def expm1(op: Writer, x: Any) -> Any:
    """With t = tanh(x / 2): 2 t / (1 - t) where |x| < 1, else exp(x) - 1."""
    one, two = op.number(1.0), op.number(2.0)
    t = op.Tanh(op.Div(x, two))
    near = op.Div(op.Mul(t, two), op.Sub(one, t))
    return op.Where(op.Less(op.Abs(x), one), near, op.Sub(op.Exp(x), one))


def elu(op: Writer, x: Any, alpha: float, gamma: float = 1.0, width: float = 1.0) -> Any:
    """gamma x above 0, else alpha gamma (exp(x / width) - 1): ELU, SELU with gamma, CELU with a width of alpha."""
    inner = x if width == 1.0 else op.Div(x, op.number(width))
    above = x if gamma == 1.0 else op.Mul(x, op.number(gamma))
    return op.Where(op.Greater(x, op.number(0.0)), above, op.Mul(expm1(op, inner), op.number(alpha * gamma)))


def softplus(op: Writer, x: Any) -> Any:
    """log(1 + exp(x)); ONNX Runtime's own is 0 below -37 in float64: there max(x, 0) + log1p(exp(-|x|))."""
    if op.kind.itemsize < 8:
        return op.Softplus(x)
    return op.Add(op.Max(x, op.number(0.0)), log1p(op, op.Exp(op.Neg(op.Abs(x)))))


def log_sigmoid(op: Writer, x: Any) -> Any:
    """-log(1 + exp(-x)); the logarithm of ONNX Runtime's sigmoid is minus infinity below -18."""
    return op.Neg(softplus(op, op.Neg(x)))


def logaddexp(op: Writer, a: Any, b: Any) -> Any:
    """max(a, b) + log(1 + exp(-|a - b|)), where the difference of equal infinities is 0."""
    gap = op.Where(op.Equal(a, b), op.number(0.0), op.Sub(a, b))
    return op.Add(op.Max(a, b), softplus(op, op.Neg(op.Abs(gap))))


def logaddexp2(op: Writer, a: Any, b: Any) -> Any:
    """The same to the base 2."""
    gap = op.Where(op.Equal(a, b), op.number(0.0), op.Sub(a, b))
    base = op.number(math.log(2.0))
    return op.Add(op.Max(a, b), op.Div(softplus(op, op.Neg(op.Mul(op.Abs(gap), base))), base))


def _erfcx_parts(op: Writer, x: Any) -> tuple[Any, Any]:
    """Return t and p of erfc(x) exp(x^2) = t exp(p), for x >= 0."""
    t = op.Reciprocal(op.Add(op.Div(x, op.number(2.0)), op.number(1.0)))
    total = op.number(ERFC[0])
    for factor in ERFC[1:]:
        total = op.Add(op.Mul(total, t), op.number(factor))
    return t, total


def erfc(op: Writer, x: Any) -> Any:
    """1 - erf(x), also where erf(x) rounds to 1. ONNX Runtime has no erf of float64: written plainly, it is refused there."""
    one = op.number(1.0)
    plain = op.Sub(one, op.Erf(x))
    if op.kind.itemsize == 8:
        return plain
    size = op.Clip(x, op.number(0.0), op.number(30.0))
    t, total = _erfcx_parts(op, size)
    short = op.Div(op.Floor(op.Mul(size, op.number(16.0))), op.number(16.0))  # few digits: its square is exact
    rest = op.Mul(op.Sub(size, short), op.Add(size, short))
    tail = op.Mul(op.Mul(t, op.Exp(op.Neg(op.Mul(short, short)))), op.Exp(op.Sub(total, rest)))
    return op.Where(op.Less(x, op.number(0.5)), plain, tail)


def erfcx(op: Writer, x: Any) -> Any:
    """exp(x^2) erfc(x); of float64 plainly, which ONNX Runtime refuses."""
    grown = op.Exp(op.Mul(x, x))
    if op.kind.itemsize == 8:
        return op.Mul(grown, op.Sub(op.number(1.0), op.Erf(x)))
    t, total = _erfcx_parts(op, op.Abs(x))
    right = op.Mul(t, op.Exp(total))
    return op.Where(op.Less(x, op.number(0.0)), op.Sub(op.Mul(grown, op.number(2.0)), right), right)


def hypot(op: Writer, a: Any, b: Any) -> Any:
    """sqrt(a^2 + b^2) without squares that overflow or vanish."""
    a, b = op.Abs(a), op.Abs(b)
    long = op.Max(a, b)
    ratio = op.Div(op.Min(a, b), long)
    plain = op.Or(op.Equal(long, op.number(0.0)), op.Equal(long, op.number(math.inf)))
    return op.Where(plain, long, op.Mul(long, op.Sqrt(op.Add(op.Mul(ratio, ratio), op.number(1.0)))))


def atan2(op: Writer, y: Any, x: Any) -> Any:
    """The angle of the point (x, y), right at the origin and on the axes, where the sign of a zero decides.

    Two infinities give NaN.
    """
    zero, pi = op.number(0.0), op.number(math.pi)
    origin = op.And(op.Equal(y, zero), op.Equal(x, zero))
    angle = op.Atan(op.Div(y, op.Where(origin, op.number(1.0), x)))
    turned = op.Add(angle, op.Where(signbit(op, y), op.number(-math.pi), pi))
    return op.Where(signbit(op, x), turned, angle)


def _opposite(op: Writer, a: Any, b: Any) -> Any:
    return op.Xor(op.Less(a, op.number(0)), op.Less(b, op.number(0)))


def _not_zero(op: Writer, x: Any) -> Any:
    return op.Not(op.Equal(x, op.number(0)))


def floor_divide(op: Writer, a: Any, b: Any) -> Any:
    """Division rounded down: of integers ONNX rounds towards 0; of floats from the exact remainder, as Python and PyTorch do."""
    if op.kind.kind == "u":
        return op.Div(a, b)
    if op.kind.kind == "i":
        inexact = op.And(_opposite(op, a, b), _not_zero(op, op.Mod(a, b)))
        return op.Sub(op.Div(a, b), op.cast(inexact))
    rest = op.Mod(a, b, fmod=1)
    below = op.And(_opposite(op, rest, b), _not_zero(op, rest))
    whole = op.Round(op.Sub(op.Div(op.Sub(a, rest), b), op.cast(below)))
    return op.Where(op.Equal(b, op.number(0.0)), op.Div(a, b), whole)


def remainder(op: Writer, a: Any, b: Any) -> Any:
    """The remainder with the sign of the divisor, exact."""
    if op.kind.kind in "iu":
        return op.Mod(a, b)
    rest = op.Mod(a, b, fmod=1)
    other = op.And(_opposite(op, rest, b), _not_zero(op, rest))
    return op.Where(other, op.Add(rest, b), rest)


def fmod(op: Writer, a: Any, b: Any) -> Any:
    """The remainder with the sign of the dividend, exact; ONNX Runtime's of integers goes through float64."""
    if op.kind.kind in "iu":
        return op.Sub(a, op.Mul(op.Div(a, b), b))
    return op.Mod(a, b, fmod=1)


def trunc_divide(op: Writer, a: Any, b: Any) -> Any:
    """Division rounded towards 0."""
    ratio = op.Div(a, b)
    if op.kind.kind in "iu":
        return ratio
    return op.Where(op.Less(ratio, op.number(0.0)), op.Ceil(ratio), op.Floor(ratio))


def sign(op: Writer, x: Any) -> Any:
    """-1, 0 or 1; 0 of NaN. ONNX Runtime's gives NaN, and -1 for 2^31 in int64."""
    zero = op.number(0)
    return op.Sub(op.cast(op.Greater(x, zero)), op.cast(op.Less(x, zero)))


def signbit(op: Writer, x: Any) -> Any:
    """Whether a number is negative, -0 included: 1 / -0 is minus infinity."""
    below = op.Less(x, op.number(0))
    return below if op.kind.kind in "iu" else op.Or(below, op.Less(op.Reciprocal(x), op.number(0)))


def heaviside(op: Writer, x: Any, values: Any) -> Any:
    """0 below 0 and of NaN, 1 above 0, the values given at 0."""
    zero = op.number(0)
    return op.Where(op.Equal(x, zero), values, op.cast(op.Greater(x, zero)))


def larger(op: Writer, a: Any, b: Any) -> Any:
    """The larger of two; ONNX Runtime's of int64 takes numbers from 2^31 to 2^32 for negative ones."""
    if op.kind.kind == "b":
        return op.Or(a, b)
    return op.Where(op.Greater(a, b), a, b) if op.kind == np.int64 else op.Max(a, b)


def smaller(op: Writer, a: Any, b: Any) -> Any:
    """The smaller of two."""
    if op.kind.kind == "b":
        return op.And(a, b)
    return op.Where(op.Less(a, b), a, b) if op.kind == np.int64 else op.Min(a, b)


def clamp(op: Writer, x: Any, low: Any, high: Any) -> Any:
    """A number between bounds, of which one may be None; ONNX Runtime's Clip with one bound makes infinity a finite number."""
    if op.kind.itemsize < 4 and op.kind.kind in "iu":
        return op.Clip(x, low, high)
    raised = x if low is None else larger(op, x, low)
    return raised if high is None else smaller(op, raised, high)


def relu(op: Writer, x: Any) -> Any:
    """The larger of a number and 0."""
    return larger(op, x, op.number(0)) if op.kind == np.int64 else op.Relu(x)


def right_shift(op: Writer, a: Any, b: Any) -> Any:
    """An arithmetic shift: division by a power of 2, rounded down."""
    return floor_divide(op, a, op.cast(op.Pow(op.number(2), b)))


def xlogy(op: Writer, x: Any, y: Any) -> Any:
    """x log(y), and 0 where x is 0."""
    zero = op.number(0.0)
    return op.Where(op.Equal(x, zero), zero, op.Mul(x, op.Log(y)))


def xlog1py(op: Writer, x: Any, y: Any) -> Any:
    """x log(1 + y), and 0 where x is 0."""
    zero = op.number(0.0)
    return op.Where(op.Equal(x, zero), zero, op.Mul(x, log1p(op, y)))


def xlogy_or_nan(op: Writer, x: Any, y: Any) -> Any:
    """The same as PyTorch defines it: NaN where y is."""
    return op.Where(op.IsNaN(y), y, xlogy(op, x, y))


def xlog1py_or_nan(op: Writer, x: Any, y: Any) -> Any:
    """The same as PyTorch defines it: NaN where y is."""
    return op.Where(op.IsNaN(y), y, xlog1py(op, x, y))


def scaled_softplus(op: Writer, x: Any, beta: float, threshold: float) -> Any:
    """PyTorch's softplus(beta x) / beta, and x where beta x is above a threshold."""
    if beta == 1.0:
        return op.Where(op.Greater(x, op.number(threshold)), x, softplus(op, x))
    scaled = op.Mul(x, op.number(beta))
    return op.Where(op.Greater(scaled, op.number(threshold)), x, op.Div(softplus(op, scaled), op.number(beta)))


def logit(op: Writer, x: Any, eps: float | None) -> Any:
    """log(x / (1 - x)), with x between eps and 1 - eps where eps is given."""
    kept = x if eps is None else op.Clip(x, op.number(eps), op.number(1.0 - eps))
    return op.Log(op.Div(kept, op.Sub(op.number(1.0), kept)))
