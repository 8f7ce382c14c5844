"""Float outputs of both models -> those that are constant whatever the inputs."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from portinf.core.batch import Array, Arrays, Batch
from portinf.core.signature import dtype_by_numpy
from portinf.validation.check import CheckResult, Figure
from portinf.validation.pairing import float_pairs

__all__ = ["Stuck"]

ROUNDING = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
STILL = 4  # roundings within which the same answer may wobble
VARIES = 64  # roundings beyond which a reference is said to vary
TINY = 1e-37  # smaller spreads are no answer: float32 flushes them to zero here and not there
DIFFERING = 16  # rows of inputs that must differ before a constant answer of both sides is worth a word
Floats = npt.NDArray[np.float64]


@dataclass(kw_only=True)
class _Output:
    """Smallest and largest value by column (last axis) of both sides; once the candidate varies in all, nothing is to find."""

    rounding: float
    low: list[Floats] = field(default_factory=list)
    high: list[Floats] = field(default_factory=list)
    rows: int = 0
    varied: bool = False

    def merge(self, other: _Output) -> None:
        """Add all that another one has seen; another number of columns is no longer the same thing, and varies."""
        self.rows += other.rows
        self.varied = self.varied or other.varied
        if self.varied or not other.low:
            return
        if not self.low:
            self.low, self.high = other.low, other.high
        elif self.low[0].shape != other.low[0].shape:
            self.varied = True
            return
        self.low = [np.minimum(a, b) for a, b in zip(self.low, other.low, strict=True)]
        self.high = [np.maximum(a, b) for a, b in zip(self.high, other.high, strict=True)]
        self.varied = not bool(self.still(1).any())

    def still(self, side: int, roundings: int = STILL) -> npt.NDArray[np.bool_]:
        """Say of each column whether a side (0 reference, 1 candidate) stays within a few roundings and is no NaN."""
        low, high = self.low[side], self.high[side]
        with np.errstate(invalid="ignore"):
            size = np.maximum(np.abs(low), np.abs(high))
            return np.asarray((low == high) | (high - low <= np.maximum(TINY, roundings * self.rounding * size)))


class Stuck:
    """`Check`: outputs of the candidate that do not move with the given samples.

    A candidate that is constant (within 4 roundings) while the reference varies (by more than 64) fails, also where every
    element is within tolerance. Single columns of an output that do so are reported. Both sides constant over at least 16
    differing rows is reported.
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Output] = {}
        self._rows: set[int] = set()

    def update(self, expected: Arrays, found: Arrays, batch: Batch) -> None:
        """Add one batch; generated ones are left out, for a model may rightly saturate on them."""
        if batch.origin != "given":
            return
        if len(self._rows) < DIFFERING:
            self._rows |= set(_rows(batch))
        for name, reference, candidate in float_pairs(expected, found):
            output = self._seen.setdefault(name, _Output(rounding=_rounding(reference)))
            if not output.varied:
                output.merge(_extremes(reference, candidate))

    def merge(self, other: Stuck) -> None:
        """Add all that another check has seen."""
        self._rows |= other._rows
        for name, theirs in other._seen.items():
            self._seen.setdefault(name, _Output(rounding=theirs.rounding)).merge(theirs)

    def results(self) -> Sequence[CheckResult]:
        """Return one finding per output that is stuck, else one that none is."""
        found = [result for name, output in self._seen.items() if (result := self._result(name, output)) is not None]
        if found or not self._seen:
            return found
        return [CheckResult(name="constant output", status="passed", text="no output of the candidate is constant")]

    def figures(self) -> Sequence[Figure]:
        """Return nothing."""
        return ()

    def _result(self, name: str, output: _Output) -> CheckResult | None:
        if output.varied or not output.low or output.rows < 2:
            return None
        still, moving = output.still(1), ~output.still(0, VARIES)
        stuck = still & moving
        if still.all() and moving.any():
            text = f"the candidate gives {_shown(output.high[1])} for all {output.rows:,} rows; the reference varies {_span(output, 0)}"
            return CheckResult(name="constant output", status="failed", output=name, text=text, figures=_figures(output))
        if stuck.any():
            column = int(stuck.argmax())
            text = f"{int(stuck.sum())} of {len(stuck)} columns are constant in the candidate and vary in the reference, first {column}"
            return CheckResult(name="constant output", status="reported", output=name, text=text, figures=_figures(output))
        if still.all() and len(self._rows) >= DIFFERING:
            text = f"warning: both models give {_shown(output.high[0])} for all {output.rows:,} rows, whatever the inputs"
            return CheckResult(name="constant output", status="reported", output=name, text=text, figures=_figures(output))
        return None


def _rounding(array: Array) -> float:
    return ROUNDING[dtype_by_numpy(str(array.dtype)).numpy]


def _extremes(reference: Array, candidate: Array) -> _Output:
    columns = reference.shape[-1] if reference.ndim > 1 else 1
    flat = [array.reshape(-1, columns) for array in (reference, candidate)]
    output = _Output(rounding=_rounding(reference), rows=len(flat[0]))
    output.low = [array.min(axis=0).astype(np.float64) for array in flat]
    output.high = [array.max(axis=0).astype(np.float64) for array in flat]
    output.varied = not bool(output.still(1).any())
    return output


def _rows(batch: Batch) -> list[int]:
    """Return one number for each of the first rows of the inputs, equal for equal rows."""
    arrays = [array for array in batch.inputs.values() if array.size and array.ndim]
    count = min((len(array) for array in arrays), default=0)
    firsts = range(min(count, 2 * DIFFERING))
    return [zlib.crc32("|".join(repr(array[k : k + 1].tolist()) for array in arrays).encode()) for k in firsts]


def _shown(values: Floats) -> str:
    """Name a constant answer, and the two that are known to come from a broken last layer."""
    if len(values) == 1 and float(values[0]) in (0.0, 1.0):
        return f"{values[0]:g} (saturated)"
    if len(values) > 1 and np.allclose(values, 1.0 / len(values), rtol=1e-3, atol=0):
        return f"1/{len(values)} for every class"
    first = ", ".join(f"{value:.4g}" for value in values[:4])
    return first if len(values) == 1 else f"[{first}{', ...' if len(values) > 4 else ''}]"


def _span(output: _Output, side: int) -> str:
    column = int((output.high[side] - output.low[side]).argmax())
    where = f" (column {column})" if len(output.low[side]) > 1 else ""
    return f"between {output.low[side][column]:.6g} and {output.high[side][column]:.6g}{where}"


def _figures(output: _Output) -> dict[str, float | int | bool | str]:
    return {
        "rows": output.rows,
        "reference smallest": float(output.low[0].min()),
        "reference largest": float(output.high[0].max()),
        "candidate smallest": float(output.low[1].min()),
        "candidate largest": float(output.high[1].max()),
    }
