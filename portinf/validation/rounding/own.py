"""A reference in its own precision and in float64 -> how far it is from float64 itself, by column."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from portinf.core.batch import Array
from portinf.validation.checks.float64_distance import across, distance, largest
from portinf.validation.scale import Scale

__all__ = ["OwnRounding"]

Floats = npt.NDArray[np.float64]
USUAL = 0.9  # quantile of the distances of a column
ENOUGH = 16  # distances of a column that show what is usual
SMALL = 1 / 16  # of the largest number: what is larger need be no rounding


@dataclass(frozen=True, kw_only=True)
class OwnRounding:
    """Distances of one output, each in a shape that broadcasts to the output's own.

    Attributes:
        most: the largest of each column. One element that rounding decides (which neighbour, which branch) makes it as large
            as the numbers are.
        usual: the 90th percentile of those of each column that are not 0; of few the largest if it is small beside the numbers, else 0.
        top: the largest number of each column.
    """

    most: Floats
    usual: Floats
    top: Floats

    @staticmethod
    def of(plain: Array, exact: Floats, scale: Scale | None) -> OwnRounding:
        """Measure one answer; what has a NaN or an infinity counts for nothing."""
        axes = across(scale, exact)
        with np.errstate(all="ignore"):
            gap = np.abs(plain.astype(np.float64) - exact)
        gap = np.where(np.isfinite(gap), gap, 0.0)
        most = distance(gap, np.zeros_like(gap), axes)
        known = np.sum(gap > 0, axis=axes, keepdims=True) >= ENOUGH
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # columns without any distance
            usual = np.nanquantile(np.where(gap > 0, gap, np.nan), USUAL, axis=axes, keepdims=True)
        top = largest(exact, axes)
        few = np.where(most <= SMALL * top, most, 0.0)
        return OwnRounding(most=most, usual=np.where(known, np.nan_to_num(usual), few), top=top)

    def plus(self, other: OwnRounding | None) -> OwnRounding:
        """Return the larger of both; this one where the other has other columns."""
        if other is None or other.most.shape != self.most.shape:
            return self
        pairs = ((self.most, other.most), (self.usual, other.usual), (self.top, other.top))
        most, usual, top = (np.maximum(*pair) for pair in pairs)
        return OwnRounding(most=most, usual=usual, top=top)
