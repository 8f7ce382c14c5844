"""Trees in fixed point and rows of numbers -> leaves, sums and answers, bit for bit those of conifer's C++ and hardware."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from portinf.fixedpoint.casting import Array, Watch, carrier, from_real, to_real
from portinf.fixedpoint.formats import FixedPointError, Format
from portinf.fixedpoint.head import run_steps
from portinf.fixedpoint.trees import Shape, Trees

__all__ = ["COLUMNS", "SCORES", "TreeEmulator", "answers", "joined", "reach", "walk"]

COLUMNS = "inputs"  # under these names `Watch` counts
SCORES = "scores"
WORK = 1 << 17  # (row, tree) pairs that are followed at once: they stay in the processor's cache


def joined(shape: Shape, inputs: Mapping[str, Array]) -> Array:
    """Put the columns of all inputs side by side, in float64.

    Args:
        shape: of the trees.
        inputs: matrices [rows, count] by input name.

    Returns:
        float64, shape [rows, columns].

    Raises:
        FixedPointError: an input is missing, has another shape or contains NaN or infinity.
    """
    parts = []
    for item in shape.inputs:
        if item.name not in inputs:
            raise FixedPointError(f"no input '{item.name}'; found: {', '.join(inputs) or 'none'}")
        array = np.asarray(inputs[item.name])
        if array.ndim != 2 or array.shape[1] != item.count:
            raise FixedPointError(f"input '{item.name}': expected shape [rows, {item.count}], found {list(array.shape)}")
        if not np.isfinite(array).all():
            raise FixedPointError(f"input '{item.name}': contains NaN or infinity, which fixed-point numbers cannot represent")
        parts.append(array.astype(np.float32) if shape.single else array)
    if len({len(array) for array in parts}) != 1:
        raise FixedPointError(f"inputs have {sorted({len(array) for array in parts})} rows: expected the same number in all")
    return np.concatenate(parts, axis=1).astype(np.float64)


def walk(shape: Shape, columns: Array, threshold: Array) -> Array:
    """Follow every tree for every row.

    Args:
        shape: of the trees.
        columns: shape [rows, columns].
        threshold: by node, on the grid of ``columns``.

    Returns:
        number of the leaf reached, shape [rows, trees].
    """
    rows, width = columns.shape
    found = np.empty((rows, len(shape.root)), np.int32)
    step = max(1, WORK // max(1, len(shape.root)))
    onward = (~shape.leaf).astype(np.int32)
    for start in range(0, rows, step):
        block = np.ascontiguousarray(columns[start : start + step])
        flat, base = block.ravel(), (np.arange(len(block), dtype=np.int64) * width)[:, None]
        node = np.broadcast_to(shape.root.astype(np.int32), (len(block), len(shape.root))).copy()
        for _ in range(shape.depth):
            x, bound = flat[base + shape.feature[node]], threshold[node]
            second = x >= bound if shape.strict else x > bound
            node = shape.left[node] + second * onward[node]
        found[start : start + step] = node
    return found


def reach(shape: Shape, values: Array, start: Array) -> tuple[Any, Any]:
    """Return the smallest and the largest that any part of any sum can be, in any order of adding.

    Args:
        shape: of the trees.
        values: of leaves, by node; whole numbers or floats.
        start: one number per sum.

    Returns:
        two Python numbers of the same kind.
    """
    least = np.minimum.reduceat(np.where(shape.leaf, values, 0), shape.root)
    most = np.maximum.reduceat(np.where(shape.leaf, values, 0), shape.root)
    low: Any = 0
    high: Any = 0
    for target in range(shape.targets):
        first = start[target].item()
        own = shape.target == target
        low = min(low, min(0, first) + np.minimum(least[own], 0).sum().item())
        high = max(high, max(0, first) + np.maximum(most[own], 0).sum().item())
    return low, high


class TreeEmulator:
    """Trees ready to run; only comparisons and additions of whole numbers.

    Args:
        trees: what is computed.

    Raises:
        FixedPointError: numbers too large to be exact.
    """

    def __init__(self, trees: Trees) -> None:
        self.trees = trees
        shape = trees.shape
        if trees.column.width > 52 or trees.score.width > 52:
            raise FixedPointError(f"{trees.column}, {trees.score}: only formats of up to 52 bits are computed exactly")
        low, high = reach(shape, trees.value, trees.start)
        carrier((low, high), SCORES)
        self._within = trees.score.holds(low, high)  # nothing can wrap or saturate, whatever the order
        self._kind = np.int32 if trees.column.width <= 30 else np.int64
        self._threshold = trees.threshold.astype(self._kind)
        self._members = [np.flatnonzero(shape.target == target) for target in range(shape.targets)]

    def columns(self, matrix: Array, watch: Watch | None = None) -> Array:
        """Bring real numbers [rows, columns] onto the grid of the thresholds; columns that no tree tests become 0."""
        shape = self.trees.shape
        found = np.zeros(matrix.shape, self._kind)
        if shape.used.size:
            found[:, shape.used] = from_real(matrix[:, shape.used], self.trees.column, COLUMNS, watch)
        return found

    def leaves(self, matrix: Array, watch: Watch | None = None) -> Array:
        """Return the leaf of every row in every tree; real numbers [rows, columns] to node numbers [rows, trees]."""
        return walk(self.trees.shape, self.columns(matrix, watch), self._threshold)

    def sums(self, leaves: Array, watch: Watch | None = None) -> Array:
        """Add the leaves up: node numbers [rows, trees] to raw numbers [rows, targets]."""
        values = self.trees.value[leaves]
        return np.stack([self._sum(values[:, members], number, watch) for number, members in enumerate(self._members)], axis=1)

    def _sum(self, values: Array, target: int, watch: Watch | None) -> Array:
        score, start = self.trees.score, self.trees.start[target]
        total: Array
        if self._within or score.overflow == "WRAP":  # wrapping once is wrapping after every addition
            total = start + values.sum(axis=1, dtype=np.int64)
            return np.asarray(total) if self._within else _wrapped(total, score, watch)
        total = np.full(len(values), start, np.int64)
        for column in values.T:  # one after the other, as conifer's C++ does it
            total = total + column
            _watched(total, score, watch)
            total = np.clip(total, score.low, score.high)
        return total

    def scores(self, matrix: Array, watch: Watch | None = None) -> Array:
        """Return the sums as the hardware gives them: real numbers [rows, columns] to float64 [rows, targets], exact."""
        return to_real(self.sums(self.leaves(matrix, watch), watch), self.trees.score)

    def run(self, inputs: Mapping[str, Array], watch: Watch | None = None) -> dict[str, Array]:
        """Answer rows of numbers.

        Args:
            inputs: matrices [rows, count] by input name.
            watch: counts what is out of range on the way.

        Returns:
            arrays by output name; what follows the sums is computed in floats.

        Raises:
            FixedPointError: an input is missing, has another shape or contains NaN or infinity.
        """
        return answers(self.trees, self.scores(joined(self.trees.shape, inputs), watch))


def answers(trees: Trees, sums: Array) -> dict[str, Array]:
    """Turn sums [rows, targets] into outputs by name."""
    found = run_steps(trees.steps, {**trees.constants, trees.sums: sums.astype(trees.dtype)})
    return {name: found[tensor] for name, tensor in trees.outputs.items()}


def _watched(numbers: Array, format: Format, watch: Watch | None) -> Array:
    out: Array = (numbers < format.low) | (numbers > format.high)
    if watch is not None and out.any():
        watch.add(SCORES, numbers[out], format.step)
    return out


def _wrapped(numbers: Array, format: Format, watch: Watch | None) -> Array:
    if not _watched(numbers, format, watch).any():
        return numbers
    rest: Array = np.mod(numbers, 1 << format.width)
    return np.where(rest > format.high, rest - (1 << format.width), rest) if format.signed else rest
