"""Counts of yes and no -> distribution-free bounds: the binomial distribution without scipy."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["LEVEL", "at_most", "clopper_pearson", "quantile_rank"]

LEVEL = 0.95


def _fraction(x: float, a: float, b: float) -> float:
    """Return the continued fraction of the incomplete beta function (Numerical Recipes 6.4, modified Lentz)."""
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    h = d
    for m in range(1, 1000 + 20 * math.isqrt(int(max(a, b)) + 1)):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 + numerator * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + numerator / c
            c = c if abs(c) > tiny else tiny
            h *= d * c
        if abs(d * c - 1.0) < 1e-14:
            break
    return h


def _beta(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b) for a, b > 0."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    size = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1.0) / (a + b + 2.0):
        return size * _fraction(x, a, b) / a
    return 1.0 - size * _fraction(1.0 - x, b, a) / b


def at_most(k: int, n: int, p: float) -> float:
    """Return the probability of at most ``k`` successes in ``n`` trials of probability ``p``."""
    if k < 0:
        return 0.0
    return 1.0 if k >= n else _beta(1.0 - p, n - k, k + 1.0)


def quantile_rank(n: int, q: float, level: float = LEVEL) -> int | None:
    """Return the rank (1 is the smallest) of the order statistic that lies above the q-quantile with probability ``level``.

    Distribution-free: of ``n`` independent draws, the u-th smallest is at least the q-quantile if fewer than u draws lie
    below it, which has probability P(Bin(n, q) <= u - 1).

    Returns:
        None where ``n`` draws are too few: even the largest lies above the quantile with less than ``level``.
    """
    if n < 1 or at_most(n - 1, n, q) < level:
        return None
    low, high = 1, n
    while low < high:
        middle = (low + high) // 2
        if at_most(middle - 1, n, q) >= level:
            high = middle
        else:
            low = middle + 1
    return low


def clopper_pearson(k: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the two-sided Clopper-Pearson interval of a rate of which ``k`` of ``n`` were seen; (0, 1) for n = 0."""
    if n == 0:
        return 0.0, 1.0
    tail = (1.0 - level) / 2.0
    lower = 0.0 if k == 0 else _root(lambda p: 1.0 - at_most(k - 1, n, p) >= tail)
    upper = 1.0 if k == n else _root(lambda p: at_most(k, n, p) <= tail)
    return lower, upper


def _root(beyond: Callable[[float], bool]) -> float:
    """Return where a condition that holds from some probability on begins to hold."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2.0
        if beyond(middle):
            high = middle
        else:
            low = middle
    return (low + high) / 2.0
