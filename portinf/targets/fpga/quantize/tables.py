"""A tolerance and a number of classes -> tables of softmax, sigmoid and tanh that are fine enough, and their formats."""

from __future__ import annotations

import math
from functools import lru_cache

from portinf.core.batch import Array
from portinf.fixedpoint import tables
from portinf.fixedpoint.formats import Format

__all__ = ["softmax_parts", "table_parts"]

SMALLEST, LARGEST = 10, 14  # bits of an address: tables of 1,024 to 16,384 entries
REACH = 4  # integer bits of the distance from the largest logit: beyond 16, exp is below 1.2e-7

Parts = tuple[dict[str, Format], dict[str, Array]]


@lru_cache(maxsize=64)
def softmax_parts(classes: int, tolerance: float) -> Parts:
    """Return formats and tables of a stable softmax (`portinf.fixedpoint.softmax`).

    A step of the distance moves a share by at most half of it, a step of the sum by its size over the sum, which is at least 1:
    both are an eighth of the tolerance or less, as far as 16,384 entries reach.
    """
    address = _bits(REACH + math.log2(2 / tolerance))
    before = classes.bit_length()  # the sum is at most the number of classes
    total = _bits(before + math.log2(4 / tolerance))
    formats = {
        "norm": Format(address, REACH, False, "RND", "SAT"),
        "exp": Format(18, 1, False, "RND", "SAT"),
        "accum": Format(17 + before, before, False, "RND", "SAT"),
        "sum": Format(total, before, False, "RND", "SAT"),
        "inverse": Format(18, 1, False, "RND", "SAT"),
    }
    numbers = {
        "exp": tables.exponentials(formats["norm"], 1 << address, formats["exp"], negative=True),
        "inverse": tables.reciprocals(formats["sum"], 1 << total, formats["inverse"]),
    }
    return formats, numbers


@lru_cache(maxsize=64)
def table_parts(function: str, tolerance: float) -> Parts:
    """Return format and table of ``sigmoid`` (over 16, slope 1/4 at most) or ``tanh`` (over 8, slope 1)."""
    if function == "sigmoid":
        format = Format(18, 1, False, "RND", "SAT")
        return {"table": format}, {"table": tables.sigmoid(1 << _bits(math.log2(16 / tolerance)), format)}
    format = Format(18, 1, True, "RND", "SAT")
    return {"table": format}, {"table": tables.tanh(1 << _bits(math.log2(32 / tolerance)), format)}


def _bits(requested: float) -> int:
    return min(LARGEST, max(SMALLEST, math.ceil(requested)))
