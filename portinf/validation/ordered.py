"""Numbers -> fine bins that keep their order, and weights counted in them by block of rows, in bounded memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from portinf.validation.bootstrap import BLOCKS

__all__ = ["BINS_PER_OCTAVE", "BlockHistogram", "bin_numbers", "bin_value"]

Whole = npt.NDArray[np.integer]
MANTISSA = 8
BINS_PER_OCTAVE = 1 << MANTISSA
_SHIFT = 23 - MANTISSA
_LOWEST, _HIGHEST = -30, 32  # powers of two outside which numbers share one bin


def _steps(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Number the bins of values of at least 0: the upper bits of a float rise with it."""
    bits = np.ascontiguousarray(values).view(np.uint32).astype(np.int64) >> _SHIFT
    low, high = ((127 + power) << MANTISSA for power in (_LOWEST, _HIGHEST))
    return np.asarray(np.clip(bits, low, high) - low)


_HALF = (-1 - _LOWEST) << MANTISSA
_ONE = -_LOWEST << MANTISSA


def bin_numbers(values: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Return a whole number for each value that never falls where the values rise; no NaN.

    256 bins from each power of two to the next, counted from 0 below 1/2 and from 1 between 1/2 and 1, because scores crowd at
    both; sizes below 2^-30 and above 2^32 share a bin.
    """
    x = values.astype(np.float32, copy=False)
    size = _steps(np.abs(x))
    near_one = (x > 0.5) & (x <= 1.0)
    number = np.where(x > 1.0, size + 2 * _HALF + 2 - _ONE, size)
    number[near_one] = 2 * _HALF + 1 - _steps(np.float32(1.0) - x[near_one])
    return np.asarray(np.where(x < 0, -1 - size, number))


def bin_value(number: int) -> float:
    """Return the middle of a bin of `bin_numbers`."""
    if number < 0:
        return -_middle(-1 - number)
    if number <= _HALF:
        return _middle(number)
    if number <= 2 * _HALF + 1:
        return 1.0 - _middle(2 * _HALF + 1 - number)
    return _middle(number - 2 * _HALF - 2 + _ONE)


def _middle(step: int) -> float:
    if step == 0:
        return 0.0
    edges = np.array([(step + (127 + _LOWEST << MANTISSA) + k) << _SHIFT for k in (0, 1)], np.uint32).view(np.float32)
    return float(edges.astype(np.float64).mean())


class BlockHistogram:
    """Sums of weights by block of rows, group and bin; grows with the range of bins that occur.

    Args:
        groups: independent histograms, for example one per side and class.

    Attributes:
        counts: (blocks, groups, bins).
        first: number of the first bin.
    """

    def __init__(self, groups: int) -> None:
        self.counts = np.zeros((BLOCKS, groups, 0))
        self.first = 0

    def add(self, block: Whole, group: Whole, values: npt.NDArray[np.floating], weight: npt.NDArray[np.float64]) -> None:
        """Add rows: their blocks, groups, values (no NaN) and weights, each (rows,)."""
        if not len(values):
            return
        numbers = bin_numbers(values)
        self._hold(int(numbers.min()), int(numbers.max()) + 1)
        _, groups, width = self.counts.shape
        flat = (block.astype(np.int64) * groups + group) * width + (numbers - self.first)
        np.add.at(self.counts.reshape(-1), flat, weight)

    def merge(self, other: BlockHistogram) -> None:
        """Add all that another histogram of as many groups has counted."""
        width = other.counts.shape[2]
        if width:
            self._hold(other.first, other.first + width)
            self.counts[:, :, other.first - self.first :][:, :, :width] += other.counts

    def _hold(self, low: int, high: int) -> None:
        """Make room for bins from ``low`` to before ``high``."""
        blocks, groups, width = self.counts.shape
        if width and self.first <= low and high <= self.first + width:
            return
        first = min(low, self.first) if width else low
        last = max(high, self.first + width) if width else high
        wider = np.zeros((blocks, groups, last - first))
        if width:
            wider[:, :, self.first - first :][:, :, :width] = self.counts
        self.counts, self.first = wider, first
