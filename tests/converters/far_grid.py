"""Numbers far out and near zero, and the rule by which a file's answers on them are held against a framework's."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

SIZES = [
    1e-30,
    1e-12,
    1e-8,
    3e-8,
    1e-5,
    1e-3,
    0.1,
    0.3,
    0.5,
    0.7,
    1,
    1.5,
    2,
    2.5,
    3,
    3.5,
    5,
    6.5,
    9,
    11,
    13.2,
    20,
    21,
    50,
    80,
    90,
    95,
]
SIZES += [104, 120, 200, 1e3, 1e4, 1e6, 3e9, 1e19, 1e30, np.inf]
FLOATS = np.array([*SIZES, *[-size for size in SIZES], 0.0, -0.0, np.nan], np.float32)
FEW = np.array([0, 1e-30, 1e-8, 0.3, 0.7, 1, 2.1, 7, 20, 95, 120, 1e4, 1e30, np.inf], np.float32)
PAIRED = np.concatenate([FEW, -FEW, [np.float32(np.nan)]])
INTEGERS = np.array([0, 1, 2, 3, 4, 5, 7, 9, 100, 255, 256, 32768, 65537, 2**24 + 1, 2**24 + 3, 2**31 - 1], np.int64)
INTEGERS = np.concatenate([INTEGERS, -INTEGERS[1:]])
BEYOND = np.concatenate([INTEGERS, [2**31, 3 * 10**9, -(2**31), 2**33 + 1, 2**53 + 1]])  # of int64
ROWS = np.array(
    [
        [0, -0.0, 1e4, -1e4],
        [np.inf, 1, 2, 3],
        [-np.inf, 1, -np.inf, 2],
        [-np.inf] * 4,
        [np.nan, 1, 2, 3],
        [3, np.nan, 2, 1],
        [1, 2, 3, np.nan],
        [np.nan] * 4,
        [200, -200, 100, 0],
        [-300, -301, -302, -303],
        [-120, 0, 90, 200],
        [1e-7, -2e-7, 3e-7, 0],
        [1, 2, 3, 4],
        [-1e30, -1e30, -1e30, -1e30],
    ],
    np.float32,
)
RELATIVE = {"float32": 5e-6, "float64": 1e-14, "float16": 2e-3}  # some roundings; far out exp() itself has a few


def difference(requested: Array, found: Array, slack: float = 0.0) -> str | None:
    """Return where two answers differ, in a few words; None where they are the same to some roundings, or to the slack."""
    if requested.shape != found.shape or requested.dtype != found.dtype:
        return f"{requested.dtype}{requested.shape} and {found.dtype}{found.shape}"
    if requested.dtype.kind != "f":
        wrong = requested != found
    else:
        smallest = (
            np.finfo(requested.dtype).tiny / np.finfo(requested.dtype).eps
        )  # below lie numbers that some kernels round to 0
        with np.errstate(invalid="ignore", over="ignore"):
            gap = np.abs(found - requested) > RELATIVE[requested.dtype.name] * np.abs(requested) + smallest + slack
        finite = np.isfinite(requested) & np.isfinite(found)
        wrong = np.where(finite, gap, ~((requested == found) | (np.isnan(requested) & np.isnan(found))))
    if not wrong.any():
        return None
    place = tuple(int(n) for n in np.argwhere(wrong)[0])
    return f"{int(wrong.sum())} of {wrong.size}, at {place}: {requested[place]} became {found[place]}"
