"""The reference's outputs -> how large the numbers of each column are, which the default absolute tolerance follows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from portinf.core.batch import Array
from portinf.core.signature import dtype_by_numpy
from portinf.runners.protocol import Runner

__all__ = ["COLUMNS", "Scale", "Sizes", "scale_of"]

COLUMNS = 1024  # two axes count as columns together up to here; beyond, the shorter of them
MOST_COLUMNS = 65_536
VALUES = 16_384  # of each column that are looked at: the first, however a file is cut into parts
FEWEST = 256
ELEMENTS = 1 << 20
ENOUGH = 8  # numbers other than 0 from which a column's own percentiles are taken
SPREAD = 256.0  # a column's scale is at most this many times its first percentile
SHARE = 16.0  # ... and at least this part of its 99th percentile (of 1 where that is larger)
# Below this, differences are those of the type's smallest steps: the smallest normal number; four of float16's smallest steps.
SMALLEST = {"float64": 2.3e-308, "float32": 1.2e-38, "bfloat16": 1.2e-38, "float16": 2.4e-7}
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large the numbers of an output are, by column.

    Attributes:
        axes: the axes of the output that count columns; empty where all its elements are one column.
        lengths: of these axes.
        values: one per column, in row-major order.
        whole: of all elements as one column, for arrays whose axes have other lengths.
    """

    axes: tuple[int, ...]
    lengths: tuple[int, ...]
    values: tuple[float, ...]
    whole: float

    def along(self, shape: Sequence[int]) -> Floats | float:
        """Return the scale of each element of an array, in a shape that broadcasts to the array's own."""
        if not self.axes or not self.fits(shape):
            return self.whole
        wide = [1] * len(shape)
        for axis, length in zip(self.axes, self.lengths, strict=True):
            wide[axis] = length
        return np.array(self.values).reshape(wide)

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether an array of this shape has these columns."""
        return all(axis < len(shape) for axis in self.axes) and tuple(shape[k] for k in self.axes) == self.lengths

    def at_least(self, value: float) -> Scale:
        """Return the same with smaller scales raised."""
        return replace(self, values=tuple(max(value, own) for own in self.values), whole=max(value, self.whole))


class Sizes:
    """Collects the outputs of a reference until its scales are known.

    Args:
        sides: whose signatures say which axes are fixed: of the outputs the first that has any, of the inputs all.
    """

    def __init__(self, *sides: Runner) -> None:
        outputs = next((side.signature.outputs for side in sides if side.signature.outputs), ())
        self._specs = {spec.name: spec for spec in outputs}
        self._ties = {label for side in sides for spec in side.signature.inputs for label in spec.labels}
        self._seen: dict[str, list[Array]] = {}

    def add(self, outputs: Mapping[str, Array]) -> None:
        """Add the answer to one batch."""
        for name, array in outputs.items():
            if dtype_by_numpy(str(array.dtype)).is_float and array.size:
                self._seen.setdefault(name, []).append(array)

    @property
    def full(self) -> bool:
        """Whether every float output has as many values as are looked at."""
        return bool(self._seen) and all(
            sum(array.size for array in arrays) >= _wanted(_columns(arrays[0].shape, self.axes(name, arrays)))
            for name, arrays in self._seen.items()
        )

    def scales(self) -> dict[str, Scale]:
        """Return the scale of every float output that was seen."""
        return {name: scale_of(arrays, self.axes(name, arrays)) for name, arrays in self._seen.items()}

    def narrow(self) -> list[str]:
        """Return the float64 outputs that were cast from float32: all their numbers are float32 ones, and most use its last digits."""
        found = []
        for name, arrays in self._seen.items():
            values = np.concatenate([array.ravel() for array in arrays])
            values = values[np.isfinite(values)]
            if values.dtype == np.float64 and values.size:
                with np.errstate(over="ignore"):
                    cast = values.astype(np.float32)
                full = (cast.view(np.uint32) & 0xFF) != 0
                if bool((cast == values).all()) and float(full.mean()) > 0.5:
                    found.append(name)
        return found

    def axes(self, name: str, arrays: Sequence[Array]) -> tuple[int, ...]:
        """Return which axes of an output count columns: those of axis 1 and the last one that have one length in every answer.

        A column is what stays when the requests change: a class, a coordinate, a place of a fixed list. So axis 0 counts rows,
        unless it is the only one and of fixed length; and an axis that an input shares changes, even where it does not here.

        Args:
            name: of the output.
            arrays: answers.
        """
        spec, rank = self._specs.get(name), arrays[0].ndim
        known = spec.shape if spec is not None and spec.shape is not None and len(spec.shape) == rank else None
        if rank == 0 or any(array.ndim != rank for array in arrays):
            return ()
        if rank == 1:
            return (0,) if known is not None and known[0].size is not None else ()

        def fixed(axis: int) -> bool:
            same = len({array.shape[axis] for array in arrays}) == 1
            return same and (known is None or known[axis].label not in self._ties)

        axes = tuple(axis for axis in sorted({1, rank - 1}) if fixed(axis))
        lengths = [arrays[0].shape[axis] for axis in axes]
        if math.prod(lengths) > COLUMNS:
            axes = axes[-1:] if lengths[-1] <= lengths[0] else axes[:1]
        return axes if _columns(arrays[0].shape, axes) <= MOST_COLUMNS else ()


def scale_of(arrays: Sequence[Array], axes: tuple[int, ...]) -> Scale:
    """Return the scale of one output from some of its values.

    Of the numbers of a column that are finite and not 0, b is the first percentile and t the 99th (of ``ENOUGH`` numbers or
    more, at least the largest is left out). The scale is ``min(t, 256 b)``, and at least ``min(t, 1) / 16``: typical for the
    column, whatever a few outliers or the padding of a part of it are. A column of few numbers may be as large as the largest
    column beside it; one of zeros alone is taken for 1, or for the largest column where that is smaller.

    Args:
        arrays: answers to several batches, of one type; not empty.
        axes: that count columns, of one length in all of them.
    """
    count = _columns(arrays[0].shape, axes)
    rows = [np.moveaxis(array, axes, range(-len(axes), 0)).reshape(-1, count) for array in arrays]
    requested = -(-_wanted(count) // count)
    taken = np.concatenate(_first(rows, requested)).astype(np.float64)
    kind = dtype_by_numpy(str(arrays[0].dtype)).numpy
    values = _scales(taken, SMALLEST[kind])
    whole = values if count == 1 else _scales(taken.reshape(-1, 1), SMALLEST[kind])
    return Scale(
        axes=axes,
        lengths=tuple(arrays[0].shape[k] for k in axes),
        values=tuple(float(value) for value in values),
        whole=float(whole[0]),
    )


def _columns(shape: Sequence[int], axes: Sequence[int]) -> int:
    return math.prod(shape[axis] for axis in axes)


def _wanted(columns: int) -> int:
    """Return how many elements of an output are looked at."""
    return columns * max(FEWEST, min(VALUES, ELEMENTS // columns))


def _first(rows: Sequence[Array], requested: int) -> list[Array]:
    """Cut arrays so that together they have no more rows than requested."""
    found, left = [], requested
    for part in rows:
        found.append(part[:left])
        left -= len(found[-1])
    return found


def _scales(values: Floats, smallest: float) -> Floats:
    """Return the scale of each column of (numbers, columns)."""
    with np.errstate(all="ignore"):
        sizes = np.abs(values)
    sizes[~np.isfinite(sizes) | (sizes == 0)] = np.inf
    sizes.sort(axis=0)
    count = np.isfinite(sizes).sum(axis=0)
    cut = count // 100
    places = np.arange(sizes.shape[1])
    last = np.maximum(count - 1, 0)
    bottom = np.where(count > 0, sizes[np.minimum(cut, last), places], np.nan)
    top = np.where(count > 0, sizes[np.maximum(last - np.maximum(cut, count >= ENOUGH), 0), places], np.nan)
    largest = float(np.nanmax(top)) if (count > 0).any() else 1.0
    with np.errstate(all="ignore"):
        typical = np.minimum(np.where(count >= ENOUGH, top, largest), SPREAD * bottom)
        found = np.maximum(typical, np.minimum(top, 1.0) / SHARE)
    found[count == 0] = min(1.0, largest)
    return np.asarray(np.maximum(found, smallest))
