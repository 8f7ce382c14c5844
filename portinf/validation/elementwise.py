"""The comparator of one output: arrays of both sides in, counts, extremes and the reason of a failure out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from portinf.core.batch import Array
from portinf.core.errors import UsageError
from portinf.core.signature import dtype_by_numpy
from portinf.validation.differences import measure
from portinf.validation.results import OutputResult
from portinf.validation.scale import Scale, Sizes
from portinf.validation.tally import Tally, plus, show
from portinf.validation.tolerance import Tolerance

__all__ = ["Elementwise", "differing"]


class Elementwise:
    """Accumulates over arrays, in one pass or in parts that are merged; both give the same result.

    Args:
        name: of the output.
        dtype: numpy type name of the reference.
        tolerance: of floats; other types are exact.
        allow_nan: NaN at the same place on both sides is right.
        inputs: numpy type names of the inputs that the output depends on, which bound its precision.
        scale: of the reference's numbers, which the default absolute tolerance follows; None for numbers of size one.
    """

    def __init__(
        self,
        name: str,
        dtype: str,
        *,
        tolerance: Tolerance,
        allow_nan: bool = False,
        inputs: Iterable[str] = (),
        scale: Scale | None = None,
    ) -> None:
        self._name = name
        self.dtype = dtype_by_numpy(dtype).numpy
        self._bound = tolerance.for_output(name, self.dtype, inputs, scale)
        self._allow_nan = allow_nan
        self._tally = Tally()
        self._mismatch = ""

    def update(self, reference: Array, candidate: Array, *, case: str = "", left_out: int = 0) -> None:
        """Add one pair of arrays; another shape or type is kept as the reason of a failure.

        Args:
            reference, candidate: the arrays.
            case: what they are of, for the worst element.
            left_out: elements that were made equal because there is nothing to compare: they do not count.
        """
        mismatch = self._mismatched(reference, candidate)
        if mismatch:
            self.reject(mismatch)
            return
        atol = self._bound.absolute(reference.shape)
        tally = measure(reference, candidate, rtol=self._bound.rtol, atol=atol, allow_nan=self._allow_nan, case=case)
        if left_out:
            exact = replace(tally.histogram, exact=tally.histogram.exact - left_out)
            tally = replace(tally, count=tally.count - left_out, histogram=exact)
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
            dtype=self.dtype,
            rtol=self._bound.rtol,
            atol=self._bound.atol,
            scale=self._bound.scale,
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
        values = f"reference {show(worst.reference, self.dtype)}, candidate {show(worst.candidate, self.dtype)}"
        text = f"{tally.wrong} of {tally.count} elements out of tolerance; worst at {place}: {values}{self._rule()}"
        return f"{self._nans()}{self._infinities()}{text}"

    def _rule(self) -> str:
        if not dtype_by_numpy(self.dtype).is_float or self._tally.worst is None:
            return " (exact)"
        worst = self._tally.worst
        bound = self._bound
        rule = f"rtol {bound.rtol:g}, atol {bound.atol:g}"
        if bound.scale is not None and bound.atol and math.isfinite(worst.allowed):
            scale = (worst.allowed - bound.rtol * abs(float(worst.reference))) / bound.atol
            rule += f" times the column's scale {scale:.3g}"
        return f", difference {worst.difference:.3g}, allowed {worst.allowed:.3g} ({rule})"

    def _infinities(self) -> str:
        tally = self._tally
        if tally.same_inf or not dtype_by_numpy(self.dtype).is_float:
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


def differing(
    expected: Mapping[str, Array],
    found: Mapping[str, Array],
    *,
    tolerance: Tolerance,
    inputs: Iterable[str] = (),
    least: float = 1.0,
) -> str:
    """Say where two answers differ, empty where they do not; NaN is an answer like any other.

    Args:
        expected, found: outputs by name.
        tolerance: of floats.
        inputs: numpy type names of the model's inputs.
        least: the smallest scale of a column: 1 for two answers of one function, where what differs is rounding unless it is large.
    """
    sizes = Sizes()
    sizes.add(expected)
    scales = sizes.scales()
    for name, array in expected.items():
        if name not in found:
            return f"output '{name}' is missing"
        scale = scales[name].at_least(least) if name in scales else None
        single = Elementwise(name, str(array.dtype), tolerance=tolerance, allow_nan=True, inputs=inputs, scale=scale)
        single.update(array, found[name])
        if not single.result().equal:
            return f"output '{name}': {single.result().reason}"
    return ""


def _type(name: str) -> str:
    return "string" if name == "object" else name
