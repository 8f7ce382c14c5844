"""Outputs of two sides -> the pairs of arrays that can be compared number by number, and the difference of each number."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from portinf.core.batch import Array, Arrays, Batch
from portinf.core.signature import dtype_by_numpy
from portinf.validation.tolerance import Bound

__all__ = ["case_of", "float_pairs", "pairs", "rows_of", "scores", "working"]


def pairs(expected: Arrays, found: Arrays) -> Iterator[tuple[str, Array, Array]]:
    """Yield name and both arrays of every output that is not empty and has one type and shape on both sides."""
    for name, reference in expected.items():
        candidate = found.get(name)
        if candidate is None or not reference.size:
            continue
        if candidate.shape == reference.shape and candidate.dtype == reference.dtype:
            yield name, reference, candidate


def float_pairs(expected: Arrays, found: Arrays) -> Iterator[tuple[str, Array, Array]]:
    """Yield those of `pairs` whose elements are floats."""
    for name, reference, candidate in pairs(expected, found):
        if dtype_by_numpy(str(reference.dtype)).is_float:
            yield name, reference, candidate


def rows_of(array: Array) -> int:
    """Return the length of the first axis; 1 for a scalar."""
    return len(array) if array.ndim else 1


def case_of(batch: Batch) -> str:
    """Return the name under which reports list a batch: that of the file that it is a part of, else its own."""
    return batch.stream or batch.name


def working(array: Array) -> Array:
    """Return floats in the narrowest type that numpy computes fast with: float64 stays, all others become float32."""
    return array if array.dtype == np.float64 else array.astype(np.float32, copy=False)


def scores(reference: Array, candidate: Array, bound: Bound, *, allow_nan: bool) -> npt.NDArray[np.floating]:
    """Return for each element the difference over what is allowed, in the arrays' shape.

    Floats are computed in their own width (float16 in float32): right to a few roundings, which is enough to rank elements.
    Where the bound is 0 for the whole type (integers, booleans, strings), the score is 1 plus the difference. A NaN or an
    infinity on one side only is infinitely bad, and so is a NaN on both unless ``allow_nan``.
    """
    kind = dtype_by_numpy(str(reference.dtype))
    if not kind.is_float:
        return _exact_scores(reference, candidate, numbers=kind.is_integer)
    r, c = working(reference), working(candidate)
    with np.errstate(all="ignore"):
        score = np.asarray(np.abs(c - r))
        allowed = np.asarray(np.abs(r) * r.dtype.type(bound.rtol) + np.asarray(bound.absolute(r.shape), dtype=r.dtype))
        if bound.rtol == bound.atol == 0:
            allowed = np.ones_like(score)
        else:
            allowed[score == 0] = 1.0
        score = np.asarray(score / allowed)
        if not np.isfinite(score.max()):
            odd = ~np.isfinite(score) | ~np.isfinite(r)
            both = np.isnan(r) & np.isnan(c)
            same = (r == c) | both if allow_nan else (r == c)
            score[odd] = np.where(same[odd], 0.0, np.inf)
    return score


def _exact_scores(reference: Array, candidate: Array, *, numbers: bool) -> npt.NDArray[np.floating]:
    wrong = np.asarray(reference != candidate)
    if not numbers:
        return wrong.astype(np.float64)
    distance = np.abs(candidate.astype(np.float64) - reference.astype(np.float64))
    return np.where(wrong, 1.0 + distance, 0.0)
