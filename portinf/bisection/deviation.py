"""Two tensors -> their difference relative to the reference, and whether it is within tolerance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from portinf.core.batch import Array
from portinf.core.signature import dtype_by_numpy
from portinf.validation.tolerance import Tolerance

__all__ = ["Deviation", "deviation"]


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """The difference of two tensors.

    Attributes:
        error: largest difference over the largest finite element of the reference; for other types than floats the share
            of elements that differ; infinite where shapes, kinds or the places of NaN and infinity differ.
        allowed: the bound of ``error`` at the element that comes nearest to its own bound.
        agrees: every element is within its bound.
        atol: the absolute part of the bound, in the tensor's own units.
        rtol: the relative part.
    """

    error: float
    allowed: float
    agrees: bool
    atol: float = 0.0
    rtol: float = 0.0


def deviation(reference: Array, candidate: Array, tolerance: Tolerance) -> Deviation:
    """Compare one inner tensor of two sides.

    Inner tensors have any size, so the absolute part of the tolerance is taken relative to the largest element of the
    reference, or of each of its columns (last axis) if the tolerance says so: an element is right if
    ``|c - r| <= rtol |r| + atol max|r|``. Two float types are compared by the coarser one's tolerance. NaN and infinity are right
    at the same places: masks put them there.

    Args:
        reference, candidate: the tensors.
        tolerance: of the comparison; its defaults by type.
    """
    kinds = [dtype_by_numpy(_plain(str(array.dtype))) for array in (reference, candidate)]
    floats = all(kind.is_float for kind in kinds)
    if reference.shape != candidate.shape or not (floats or kinds[0] == kinds[1]):
        return Deviation(error=np.inf, allowed=0.0, agrees=False)
    if not reference.size:
        return Deviation(error=0.0, allowed=0.0, agrees=True)
    if not floats:
        share = float(np.mean(reference != candidate))
        return Deviation(error=share, allowed=0.0, agrees=share == 0.0)
    rtol, atol = tolerance.for_dtype(kinds[0].numpy, [kinds[1].numpy])
    return _of_floats(reference.astype(np.float64), candidate.astype(np.float64), rtol, atol, columns=tolerance.columns)


def _of_floats(r: Array, c: Array, rtol: float, atol: float, *, columns: bool) -> Deviation:
    finite = np.isfinite(r)
    with np.errstate(all="ignore"):
        same = (r == c) | (np.isnan(r) & np.isnan(c))
        if not bool(np.all(same | (finite & np.isfinite(c)))):
            return Deviation(error=np.inf, allowed=0.0, agrees=False, atol=atol, rtol=rtol)
        scale = np.full(r.shape, np.max(np.abs(r[finite]), initial=0.0))
        if columns and r.ndim > 1:
            own = np.max(np.where(finite, np.abs(r), 0.0), axis=tuple(range(r.ndim - 1)))
            scale = np.where(own > 0, own, scale)
        gap = np.where(same, 0.0, np.abs(c - r))
        bound = np.where(finite, rtol * np.abs(r), 0.0) + atol * scale
        if not gap.any():
            return Deviation(error=0.0, allowed=rtol + atol, agrees=True, atol=atol * float(scale.max()), rtol=rtol)
        if not scale.any():
            return Deviation(error=np.inf, allowed=0.0, agrees=False, rtol=rtol)
        worst = int(np.argmax(np.where(same, -np.inf, gap / np.maximum(bound, 1e-300))))
        size = float(scale.flat[worst])
    agrees = bool(np.all(gap <= bound))
    error, allowed = float(np.max(gap / scale)), float(bound.flat[worst]) / size
    return Deviation(error=error, allowed=allowed, agrees=agrees, atol=atol * size, rtol=rtol)


def _plain(dtype: str) -> str:
    return "object" if dtype.startswith(("<U", "|S", "str")) else dtype
