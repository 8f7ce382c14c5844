"""Residuals of rows in bins -> bias and resolution of each bin, from rows that are kept or from counts by block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from portinf.validation.statistics.binning import BlockHistogram, bin_edges
from portinf.validation.statistics.bootstrap import BLOCKS
from portinf.validation.statistics.roc_curve import rising

__all__ = ["CENTRAL", "MEASURES", "RESOLUTION", "BlockResiduals", "RowResiduals"]

MEASURES = ("mean bias", "median bias", "resolution (std)", "resolution (68 %)")
CENTRAL = 0.6827  # of a normal distribution within one standard deviation
_BITS = 5
RESOLUTION = 2.0**-_BITS  # largest width of a bin relative to its values, inside which quantiles are interpolated
_QUANTILES = (0.5, 0.5 - CENTRAL / 2, 0.5 + CENTRAL / 2)
Floats = npt.NDArray[np.float64]


def _from_sums(whole: Floats, first: Floats, second: Floats, quantiles: Floats) -> Floats:
    """Return the `MEASURES` along the last axis from sums of weights, of residuals, of their squares, and three quantiles."""
    with np.errstate(all="ignore"):
        mean = first / whole
        spread = np.sqrt(np.maximum(second / whole - mean**2, 0.0))
    half = (quantiles[..., 2] - quantiles[..., 1]) / 2.0
    found = np.stack([mean, quantiles[..., 0], spread, half], axis=-1)
    found[~(whole > 0)] = np.nan
    return found


class RowResiduals:
    """Bias and resolution from the rows themselves.

    Args:
        residuals: of both sides, (2, rows).
        weight: (rows,).
        groups: rows of each group; a row may be in several.
    """

    def __init__(self, residuals: Floats, weight: Floats, groups: Sequence[npt.NDArray[np.intp]]) -> None:
        self.rows = len(weight)
        self._parts: list[list[tuple[npt.NDArray[np.intp], Floats, Floats]]] = []
        for group in groups:
            sides = []
            for values in residuals:
                order = group[np.argsort(values[group], kind="stable")]
                sides.append((order, values[order], weight[order]))
            self._parts.append(sides)

    def measures(self, drawn: Floats | None) -> Floats:
        """Return (sides, groups, measures) with every row counted as often as it was drawn; None for once."""
        return np.stack([np.stack([self._one(*side, drawn) for side in group]) for group in self._parts], axis=1)

    @staticmethod
    def _one(order: npt.NDArray[np.intp], values: Floats, weight: Floats, drawn: Floats | None) -> Floats:
        times = weight if drawn is None else weight * drawn[order]
        total = np.cumsum(times)
        if not len(total) or not total[-1] > 0:
            return np.full(len(MEASURES), np.nan)
        centre = values[len(values) // 2]  # sums around the middle lose no digits to a large common bias
        near = values - centre
        places = np.searchsorted(rising(total), np.array(_QUANTILES) * total[-1] * (1 - 1e-12))
        quantiles = values[np.minimum(places, len(values) - 1)] - centre
        weighted = times * near  # no BLAS: its threads cost more than they bring for vectors
        found = _from_sums(total[-1], np.sum(weighted), np.sum(weighted * near), quantiles)
        found[:2] += centre
        return found


class BlockResiduals:
    """Bias and resolution from sums and bins for each of 128 blocks of rows; quantiles are interpolated inside a bin.

    Args:
        groups: number of groups.
    """

    def __init__(self, groups: int) -> None:
        self._groups = groups
        self._sums = np.zeros((BLOCKS, 2, groups, 3))
        self._histogram = BlockHistogram(2 * groups, _BITS)

    def add(self, residuals: Floats, weight: Floats, block: npt.NDArray[np.uint8], group: npt.NDArray[np.intp]) -> None:
        """Add rows of both sides, (2, rows), each to one group, (rows,)."""
        for side, values in enumerate(residuals):
            for power in (0, 1, 2):
                np.add.at(self._sums[:, side, :, power], (block, group), weight * values**power)
            self._histogram.add(block, side * self._groups + group, values, weight)

    def merge(self, other: BlockResiduals) -> None:
        """Add all that another one has seen, of as many groups."""
        self._sums += other._sums
        self._histogram.merge(other._histogram)

    def measures(self, drawn: Floats | None) -> Floats:
        """Return (sides, groups, measures) with every block counted as often as it was drawn; None for once."""
        times = np.ones(BLOCKS) if drawn is None else drawn
        sums = np.tensordot(times, self._sums, 1)
        counts = np.tensordot(times, self._histogram.counts, 1).reshape(2, self._groups, -1)
        total = np.maximum.accumulate(np.cumsum(counts, axis=-1), axis=-1)
        quantiles = np.full((2, self._groups, 3), np.nan)
        for side, group in np.ndindex(2, self._groups):
            whole = total[side, group, -1]
            if whole > 0:
                quantiles[side, group] = [self._quantile(total[side, group], q * whole) for q in _QUANTILES]
        return _from_sums(sums[..., 0], sums[..., 1], sums[..., 2], quantiles)

    def _quantile(self, total: Floats, requested: float) -> float:
        """Return where the running total of one group, (bins,), reaches a weight."""
        place = int(np.searchsorted(total, requested * (1 - 1e-12)))
        below = float(total[place - 1]) if place else 0.0
        low, high = bin_edges(place + self._histogram.first, _BITS)
        return low + (high - low) * (requested - below) / (float(total[place]) - below)
