"""The comparator of one output: arrays of both sides in, counts, extremes and the reason of a failure out."""

from __future__ import annotations

import math
from collections.abc import Iterable

from portinf.errors import UsageError
from portinf.samples import Array
from portinf.signature import dtype_by_numpy
from portinf.validation.differences import measure
from portinf.validation.results import OutputResult
from portinf.validation.tally import Tally, plus, show
from portinf.validation.tolerance import Tolerance

__all__ = ["Elementwise"]


class Elementwise:
    """Accumulates over arrays, in one pass or in parts that are merged; both give the same result.

    Args:
        name: of the output.
        dtype: numpy type name of the reference.
        tolerance: of floats; other types are exact.
        allow_nan: NaN at the same place on both sides is right.
        inputs: numpy type names of the model's inputs, which bound the precision of its answer.
    """

    def __init__(
        self, name: str, dtype: str, *, tolerance: Tolerance, allow_nan: bool = False, inputs: Iterable[str] = ()
    ) -> None:
        self._name = name
        self._dtype = dtype_by_numpy(dtype).numpy
        self._rtol, self._atol = tolerance.for_output(name, self._dtype, inputs)
        self._allow_nan = allow_nan
        self._tally = Tally()
        self._mismatch = ""

    def update(self, reference: Array, candidate: Array, *, case: str = "") -> None:
        """Add one pair of arrays; another shape or type is kept as the reason of a failure."""
        mismatch = self._mismatched(reference, candidate)
        if mismatch:
            self.reject(mismatch)
            return
        tally = measure(reference, candidate, rtol=self._rtol, atol=self._atol, allow_nan=self._allow_nan, case=case)
        self._tally = plus(self._tally, tally)

    def reject(self, reason: str) -> None:
        """Fail for a reason that is no difference of elements; the first one is kept."""
        self._mismatch = self._mismatch or reason

    def merge(self, other: Elementwise) -> None:
        """Add all that another comparator of the same output has seen.

        Raises:
            UsageError: the other one is about another output.
        """
        if other._name != self._name:
            raise UsageError(f"cannot merge comparators of two outputs: '{self._name}' and '{other._name}'")
        self._tally = plus(self._tally, other._tally)
        self._mismatch = self._mismatch or other._mismatch

    def result(self) -> OutputResult:
        """Return what was found so far."""
        return OutputResult(
            name=self._name,
            dtype=self._dtype,
            rtol=self._rtol,
            atol=self._atol,
            tally=self._tally,
            reason=self._mismatch or self._why(),
        )

    def _mismatched(self, reference: Array, candidate: Array) -> str:
        expected, found = (dtype_by_numpy(str(array.dtype)).numpy for array in (reference, candidate))
        if expected != found:
            return f"type: expected {_type(expected)}, found {_type(found)}"
        if reference.shape != candidate.shape:
            return f"shape: expected {list(reference.shape)}, found {list(candidate.shape)}"
        return ""

    def _why(self) -> str:
        tally, worst = self._tally, self._tally.worst
        if not tally.wrong or worst is None:
            return ""
        place = f"[{', '.join(map(str, worst.index))}]"
        values = f"reference {show(worst.reference, self._dtype)}, candidate {show(worst.candidate, self._dtype)}"
        text = f"{tally.wrong} of {tally.count} elements out of tolerance; worst at {place}: {values}{self._bound()}"
        return f"{self._nans()}{self._infinities()}{text}"

    def _bound(self) -> str:
        if not dtype_by_numpy(self._dtype).is_float or self._tally.worst is None:
            return " (exact)"
        worst = self._tally.worst
        rule = f"rtol {self._rtol:g}, atol {self._atol:g}"
        return f", difference {worst.difference:.3g}, allowed {worst.allowed:.3g} ({rule})"

    def _infinities(self) -> str:
        tally = self._tally
        if tally.same_inf or not dtype_by_numpy(self._dtype).is_float:
            return ""
        if tally.worst is not None and tally.worst.candidate in (math.inf, -math.inf):
            return "infinite where the reference is finite (an overflow: float16 ends at 65504); "
        return "infinities stand at other places than in the reference; "

    def _nans(self) -> str:
        tally = self._tally
        if not tally.nan_reference and not tally.nan_candidate:
            return ""
        if tally.same_nan:
            advice = "" if self._allow_nan else " (if it belongs there: --allow-nan)"
            return f"NaN in {tally.nan_reference} elements of both sides{advice}; "
        return f"NaN in {tally.nan_reference} elements of the reference and {tally.nan_candidate} of the candidate; "


def _type(name: str) -> str:
    return "string" if name == "object" else name
