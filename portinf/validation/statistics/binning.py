"""Numbers -> fine bins that keep their order, and weights counted in them by block of rows, in bounded memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from portinf.validation.statistics.bootstrap import BLOCKS

__all__ = ["SCORE_BITS", "BlockHistogram", "bin_edges", "bin_numbers"]

Whole = npt.NDArray[np.integer]
SCORE_BITS = 8  # 256 bins from each power of two to the next
_LOWEST, _HIGHEST = -30, 32  # powers of two outside which numbers share one bin


def _steps(values: npt.NDArray[np.float32], bits: int) -> npt.NDArray[np.int64]:
    """Number the bins of values of at least 0: the upper bits of a float rise with it."""
    upper = np.ascontiguousarray(values).view(np.uint32).astype(np.int64) >> (23 - bits)
    low, high = ((127 + power) << bits for power in (_LOWEST, _HIGHEST))
    return np.asarray(np.clip(upper, low, high) - low)


def _landmarks(bits: int) -> tuple[int, int]:
    """Return the steps of 1/2 and of 1."""
    return (-1 - _LOWEST) << bits, -_LOWEST << bits


def bin_numbers(values: npt.NDArray[np.floating], bits: int = SCORE_BITS) -> npt.NDArray[np.int64]:
    """Return a whole number for each value that never falls where the values rise; no NaN.

    There are 2^bits bins from each power of two to the next, counted from 0 below 1/2 and from 1 between 1/2 and 1, because
    scores crowd at both; sizes below 2^-30 and above 2^32 share a bin.
    """
    x = values.astype(np.float32, copy=False)
    half, one = _landmarks(bits)
    size = _steps(np.abs(x), bits)
    near_one = (x > 0.5) & (x <= 1.0)
    number = np.where(x > 1.0, size + 2 * half + 2 - one, size)
    number[near_one] = 2 * half + 1 - _steps(np.float32(1.0) - x[near_one], bits)
    return np.asarray(np.where(x < 0, -1 - size, number))


def bin_edges(number: int, bits: int = SCORE_BITS) -> tuple[float, float]:
    """Return the smallest and the largest value of a bin of `bin_numbers`, as far as it is bounded."""
    half, one = _landmarks(bits)
    if number < 0:
        low, high = _edges(-1 - number, bits)
        return -high, -low
    if number <= half:
        return _edges(number, bits)
    if number <= 2 * half + 1:
        low, high = _edges(2 * half + 1 - number, bits)
        return 1.0 - high, 1.0 - low
    return _edges(number - 2 * half - 2 + one, bits)


def _edges(step: int, bits: int) -> tuple[float, float]:
    first = step + ((127 + _LOWEST) << bits)
    low, high = np.array([first << (23 - bits), (first + 1) << (23 - bits)], np.uint32).view(np.float32)
    return (float(low) if step else 0.0), float(high)


class BlockHistogram:
    """Sums of weights by block of rows, group and bin; grows with the range of bins that occur.

    Args:
        groups: independent histograms, for example one per side and class.
        bits: as of `bin_numbers`.

    Attributes:
        counts: (blocks, groups, bins).
        first: number of the first bin.
    """

    def __init__(self, groups: int, bits: int = SCORE_BITS) -> None:
        self._bits = bits
        self.counts = np.zeros((BLOCKS, groups, 0))
        self.first = 0

    def add(self, block: Whole, group: Whole, values: npt.NDArray[np.floating], weight: npt.NDArray[np.float64]) -> None:
        """Add rows: their blocks, groups, values (no NaN) and weights, each (rows,)."""
        if not len(values):
            return
        numbers = bin_numbers(values, self._bits)
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
