"""Many numbers of at least zero -> their quantiles, in bounded memory: exact while few, then counted in fine log-spaced bins."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from portinf.core.errors import UsageError

__all__ = ["EXACT", "RESOLUTION", "Sketch"]

EXACT = 65_536  # numbers that are kept one by one
MANTISSA = 5  # bits of the mantissa that a bin keeps: 32 bins from each power of two to the next
RESOLUTION = 2.0**-MANTISSA  # largest width of a bin relative to its values


class Sketch:
    """The distribution of differences; zeros are counted separately, so that they are always exact.

    Args:
        wide: bins of float64, for numbers that float32 cannot hold; else of float32.
    """

    def __init__(self, *, wide: bool) -> None:
        self._type = np.float64 if wide else np.float32
        self._bits = np.uint64 if wide else np.uint32
        self._shift = (52 if wide else 23) - MANTISSA
        self._bins = (1 << (63 if wide else 31)) >> self._shift
        self._kept: list[npt.NDArray[np.floating]] = []
        self._size = 0
        self._counts: npt.NDArray[np.int64] | None = None
        self.zeros = 0
        self.largest = 0.0

    @property
    def exact(self) -> bool:
        """Whether quantiles are elements themselves, not upper edges of bins."""
        return self._counts is None

    @property
    def count(self) -> int:
        """Numbers seen."""
        return self.zeros + (self._size if self._counts is None else int(self._counts.sum()))

    def add_zeros(self, count: int) -> None:
        """Add this many zeros."""
        self.zeros += count

    def add(self, values: npt.NDArray[np.floating]) -> None:
        """Add numbers of at least 0, flat, no NaN; infinities count as larger than all numbers."""
        values = values.astype(self._type, copy=False)
        positive = int(np.count_nonzero(values))
        self.zeros += len(values) - positive
        if not positive:
            return
        self.largest = max(self.largest, float(values.max()))
        if self._counts is None and self._size + positive <= EXACT:
            self._kept.append(values[values > 0])
            self._size += positive
            return
        self._spill()
        self._count(values, len(values) - positive)

    def merge(self, other: Sketch) -> None:
        """Add all that another sketch has seen."""
        if other._type is not self._type:
            raise UsageError("cannot merge sketches of two widths")
        self.zeros += other.zeros
        self.largest = max(self.largest, other.largest)
        if self._counts is None and other._counts is None and self._size + other._size <= EXACT:
            self._kept += other._kept
            self._size += other._size
            return
        self._spill()
        assert self._counts is not None
        if other._counts is not None:
            self._counts += other._counts
        for values in other._kept:
            self._count(values, 0)

    def at_rank(self, rank: int) -> float:
        """Return the ``rank``-th smallest number (1 is the smallest); in bins, no less than it and at most `RESOLUTION` more.

        Args:
            rank: from 1 to `count`.
        """
        if rank <= self.zeros:
            return 0.0
        if self._counts is None:
            values = np.concatenate(self._kept)
            return float(np.partition(values, rank - self.zeros - 1)[rank - self.zeros - 1])
        place = int(np.searchsorted(np.cumsum(self._counts), rank - self.zeros))
        edge = np.array(((place + 1) << self._shift) - 1, self._bits).view(self._type)
        return min(float(edge), self.largest) if np.isfinite(edge) else self.largest

    def _count(self, values: npt.NDArray[np.floating], zeros: int) -> None:
        assert self._counts is not None
        # The bits of a float of at least 0, read as a whole number, rise with the float.
        keys = np.right_shift(np.ascontiguousarray(values).view(self._bits), self._bits(self._shift)).astype(np.intp)
        self._counts += np.bincount(keys, minlength=self._bins)
        self._counts[0] -= zeros

    def _spill(self) -> None:
        if self._counts is None:
            self._counts = np.zeros(self._bins, np.int64)
            for values in self._kept:
                self._count(values, 0)
            self._kept, self._size = [], 0
