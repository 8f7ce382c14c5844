"""da4ml's logic in its file (DAIS, version 1) and rows of numbers -> its answers, exact in whole numbers of 64 bits.

da4ml's own interpreter (0.6.0) gives wrong numbers where the logic is wider than 32 bits; its RTL does not. So this one answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log2
from pathlib import Path
from typing import Any

import numpy as np

from portinf.core.batch import Array
from portinf.core.errors import UnreadableError, first_line

__all__ = ["Logic", "load_logic"]

WIDEST = 62  # bits that an int64 carries with room for one sum
ROWS = 4096  # computed at once


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """Where the numbers of one step lie: sign, integer and fraction bits."""

    signed: bool
    integer: int
    fraction: int

    @property
    def width(self) -> int:
        return self.signed + self.integer + self.fraction

    def wrapped(self, raw: Array) -> Array:
        """Keep the lowest bits."""
        if self.width <= 0:
            return np.zeros_like(raw)
        rest = raw & ((1 << self.width) - 1)
        return np.where(rest >> (self.width - 1) != 0, rest - (1 << self.width), rest) if self.signed else rest


@dataclass(frozen=True, kw_only=True)
class _Step:
    """One operation.

    Attributes:
        one, two: steps that it reads; of an input, ``one`` is its place.
        code: which operation; negative where the (second) operand is negated.
        data: a constant, a shift or a table's number, as the operation has it.
        grid: of the result.
        low: the smallest result.
        step: distance of neighbours.
    """

    one: int
    two: int
    code: int
    data: int
    grid: _Grid
    low: float
    step: float


class Logic:
    """Logic that is ready to run.

    Args:
        data: what the file holds.

    Raises:
        ValueError: it is wider than `WIDEST` bits, or has operations that are not known.
    """

    def __init__(self, data: Sequence[Any]) -> None:
        (self.inputs, self.outputs), _, self._places, self._shifts, self._negatives, steps = data[:6]
        self._steps = [_step(item) for item in steps]
        self._tables = [_table(table) for table in (data[8] if len(data) > 8 and data[8] else ())]
        self._last = _last_uses(self._steps, self._places)
        for number, step in enumerate(self._steps):
            if step.grid.width > WIDEST:
                raise ValueError(f"step {number} is {step.grid.width} bits wide; at most {WIDEST} bits are computed exactly")
            if abs(step.code) not in _OPERATIONS and step.code != -1:
                raise ValueError(f"step {number}: operation {step.code} is not known")

    def predict(self, rows: Array) -> Array:
        """Turn rows of numbers on the inputs' grids, shape (rows, inputs), into float64 rows of answers."""
        parts = [self._part(rows[start : start + ROWS]) for start in range(0, max(1, len(rows)), ROWS)]
        return np.concatenate(parts)

    def _part(self, rows: Array) -> Array:
        values: dict[int, Array] = {}
        for number, step in enumerate(self._steps):
            if step.code == -1:
                raw = np.floor(rows[:, step.one] * 2.0**step.grid.fraction).astype(np.int64)
                values[number] = step.grid.wrapped(raw)
            else:
                values[number] = _OPERATIONS[abs(step.code)](self, step, values, len(rows))
            for used in self._last.get(number, ()):
                values.pop(used, None)
        found = np.zeros((len(rows), self.outputs))
        for column, place in enumerate(self._places):
            if place >= 0:
                sign = -1.0 if self._negatives[column] else 1.0
                found[:, column] = values[place] * (sign * 2.0 ** (self._shifts[column] - self._steps[place].grid.fraction))
        return found

    def _add(self, step: _Step, values: Mapping[int, Array], count: int) -> Array:
        two, behind = values[step.two], self._steps[step.two].grid.fraction - step.data
        one, fraction = values[step.one], self._steps[step.one].grid.fraction
        most = max(fraction, behind)
        left, right = one << (most - fraction), two << (most - behind)
        return _onto(left + right if step.code == 0 else left - right, most, step.grid.fraction)

    def _relu(self, step: _Step, values: Mapping[int, Array], count: int) -> Array:
        return self._cut(step, np.maximum(self._signed(step, values), 0))

    def _wrap(self, step: _Step, values: Mapping[int, Array], count: int) -> Array:
        return self._cut(step, self._signed(step, values))

    def _signed(self, step: _Step, values: Mapping[int, Array]) -> Array:
        return -values[step.one] if step.code < 0 else values[step.one]

    def _cut(self, step: _Step, raw: Array) -> Array:
        return step.grid.wrapped(_onto(raw, self._steps[step.one].grid.fraction, step.grid.fraction))

    def _add_constant(self, step: _Step, values: Mapping[int, Array], count: int) -> Array:
        return _onto(values[step.one], self._steps[step.one].grid.fraction, step.grid.fraction) + step.data

    def _constant(self, step: _Step, values: Mapping[int, Array], count: int) -> Array:
        return np.full(count, step.data, dtype=np.int64)

    def _choose(self, step: _Step, values: Mapping[int, Array], count: int) -> Array:
        """Take the first where the highest bit of a third is set, else the second, shifted."""
        place, shift = step.data & 0xFFFFFFFF, _as_signed(step.data >> 32)
        grid, key = self._steps[place].grid, values[place]
        chosen = key < 0 if grid.signed else key >= 1 << (grid.width - 1)
        second = -values[step.two] if step.code < 0 else values[step.two]
        one = _onto(values[step.one], self._steps[step.one].grid.fraction, step.grid.fraction)
        two = _onto(second, self._steps[step.two].grid.fraction - shift, step.grid.fraction)
        return step.grid.wrapped(np.where(chosen, one, two))

    def _multiply(self, step: _Step, values: Mapping[int, Array], count: int) -> Array:
        fraction = self._steps[step.one].grid.fraction + self._steps[step.two].grid.fraction
        return _onto(values[step.one] * values[step.two], fraction, step.grid.fraction)

    def _look_up(self, step: _Step, values: Mapping[int, Array], count: int) -> Array:
        source = self._steps[step.one]
        found: Array = self._tables[step.data][values[step.one] - round(source.low / source.step)]
        return found

    def _bits_of_one(self, step: _Step, values: Mapping[int, Array], count: int) -> Array:
        raw, grid = self._signed(step, values), self._steps[step.one].grid
        if step.data == 0:
            return step.grid.wrapped(~raw)
        every = (1 << grid.width) - 1
        return np.asarray((raw != 0) if step.data == 1 else (raw & every) == every).astype(np.int64)

    def _bits_of_two(self, step: _Step, values: Mapping[int, Array], count: int) -> Array:
        shift, kind = _as_signed(step.data & 0xFFFFFFFF), step.data >> 56 & 0xFF
        one = -values[step.one] if step.data >> 32 & 1 else values[step.one]
        two = -values[step.two] if step.data >> 33 & 1 else values[step.two]
        fraction, behind = self._steps[step.one].grid.fraction, self._steps[step.two].grid.fraction - shift
        most = max(fraction, behind)
        act = (np.bitwise_and, np.bitwise_or, np.bitwise_xor)[kind]
        return step.grid.wrapped(_onto(act(one << (most - fraction), two << (most - behind)), most, step.grid.fraction))


_OPERATIONS = {
    0: Logic._add,
    1: Logic._add,
    2: Logic._relu,
    3: Logic._wrap,
    4: Logic._add_constant,
    5: Logic._constant,
    6: Logic._choose,
    7: Logic._multiply,
    8: Logic._look_up,
    9: Logic._bits_of_one,
    10: Logic._bits_of_two,
}


def load_logic(path: Path) -> Logic:
    """Read the file that da4ml's ``CombLogic.save`` wrote.

    Raises:
        UnreadableError: it is missing or damaged, or too wide to be computed exactly.
    """
    try:
        return Logic(json.loads(path.read_text(encoding="utf-8")))
    except Exception as error:
        raise UnreadableError(f"{path}: missing, damaged or not computed here: {first_line(error)}") from error


def _step(item: Sequence[Any]) -> _Step:
    one, two, code, data, (low, high, step), *_ = item
    return _Step(one=one, two=two, code=code, data=int(data), grid=_grid(low, high, step), low=low, step=step)


def _grid(low: float, high: float, step: float) -> _Grid:
    """Return the fewest bits, as da4ml counts them."""
    if low == high == 0:
        return _Grid(signed=False, integer=0, fraction=0)
    fraction = int(-log2(step))
    first, last = round(low / step), round(high / step)
    return _Grid(signed=low < 0, integer=ceil(log2(max(abs(first), last + 1))) - fraction, fraction=fraction)


def _table(table: Mapping[str, Any]) -> Array:
    bounds = table["spec"]["out_qint"]
    return _grid(bounds["min"], bounds["max"], bounds["step"]).wrapped(np.array(table["table"], dtype=np.int64))


def _last_uses(steps: Sequence[_Step], places: Sequence[int]) -> dict[int, list[int]]:
    """Return which steps are no longer needed after each step."""
    last: dict[int, int] = {}
    for number, step in enumerate(steps):
        if step.code == -1:
            continue
        read = [step.one, step.two, *([step.data & 0xFFFFFFFF] if abs(step.code) == 6 else [])]
        last.update((place, number) for place in read if place >= 0)
    found: dict[int, list[int]] = {}
    for place, number in last.items():
        if place not in places:
            found.setdefault(number, []).append(place)
    return found


def _as_signed(word: int) -> int:
    """Read 32 bits as a signed number."""
    word &= 0xFFFFFFFF
    return word - (1 << 32) if word >= 1 << 31 else word


def _onto(raw: Array, fraction: int, requested: int) -> Array:
    """Bring raw numbers onto another grid; bits behind the last are dropped."""
    return raw << (requested - fraction) if requested >= fraction else raw >> (fraction - requested)
