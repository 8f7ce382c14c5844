"""How much two answers may differ, by element type and by the size of an output's numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from portinf.core.errors import UsageError
from portinf.core.signature import dtype_by_numpy
from portinf.validation.scale import Scale

__all__ = ["DEFAULTS", "Bound", "Tolerance", "judged_as", "rounding"]

# (rtol, atol for numbers of size one) by type; see the class for the reasoning.
DEFAULTS: dict[str, tuple[float, float]] = {
    "float64": (1e-9, 1e-11),
    "float32": (1e-4, 1e-5),
    "float16": (1e-2, 1e-3),
    "bfloat16": (8e-2, 8e-3),
}


# Relative size of one rounding (the distance of 1 from the next number).
_EPS = {"float64": 2.2e-16, "float32": 1.2e-7, "float16": 9.8e-4, "bfloat16": 7.8e-3}


def rounding(*dtypes: str) -> float:
    """Return the relative size of one rounding of the coarsest of these types, 0 where none is a float."""
    return max((_EPS.get(dtype, 0.0) for dtype in dtypes), default=0.0)


def judged_as(dtype: str, inputs: Iterable[str] = ()) -> str:
    """Return the type whose precision an output can have: its own, or that of its most precise float input if that is coarser.

    A float64 output of float32 inputs alone is float32 at best: a side that computes in float32 on the way is right. One float64
    input is enough for float64: a float32 flag beside it takes nothing away.

    Args:
        dtype: numpy type name of the output.
        inputs: numpy type names of the inputs that it depends on.
    """
    own = dtype_by_numpy(dtype).numpy
    known = [name for name in (dtype_by_numpy(kind).numpy for kind in inputs) if name in _EPS]
    return max([own, *([min(known, key=rounding)] if known and own in _EPS else [])], key=rounding)


@dataclass(frozen=True, kw_only=True)
class Bound:
    """The rule of one output: ``|candidate - reference| <= rtol * |reference| + atol * scale``.

    Attributes:
        rtol, atol: both 0 where values must be equal.
        scale: of the reference's columns; None for an absolute part that is the same for all numbers.
    """

    rtol: float
    atol: float
    scale: Scale | None = None

    def absolute(self, shape: Sequence[int]) -> npt.NDArray[np.float64] | float:
        """Return the absolute part for the elements of an array, in a shape that broadcasts to the array's own."""
        return self.atol if self.scale is None else self.atol * self.scale.along(shape)


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """When two numbers are equal: ``|candidate - reference| <= rtol * |reference| + atol * scale``, everywhere in portinf.

    Another order of summation changes a sum of n terms by up to about ``n * eps`` relative to the sum of the sizes, and a
    network is a few dozen such sums in a row. The defaults leave a factor of about 1000 over one rounding (eps: float32
    1.2e-7, float64 2.2e-16 with room for a library's own exp and log, float16 9.8e-4 and bfloat16 7.8e-3 with a factor of
    about 10): wide enough for a right conversion, far below what a wrong weight, axis or constant changes. The default ``atol``
    is a tenth of ``rtol`` or less, times the size of the numbers in the output's column, for columns that cross zero. What a user
    gives as ``atol`` is meant as it is, in the output's own units. Integers, booleans and strings are exact.

    Attributes:
        rtol: relative part for every float type; None for the type's default.
        atol: absolute part for every float type; None for the type's default, which follows the scale.
        outputs: the rules of single outputs, which come before all else.
        columns: a bisection measures inner tensors by column, too: see `portinf.bisection.deviation`.
    """

    rtol: float | None = None
    atol: float | None = None
    outputs: Mapping[str, Bound] = field(default_factory=dict)
    columns: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no bound."""
        for name, value in (("rtol", self.rtol), ("atol", self.atol)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{name} = {value}: expected a finite number of at least 0, for example 1e-5")

    @staticmethod
    def of(rtol: float | None, atol: float | None) -> Tolerance:
        """Return the tolerance of these two options; None keeps the default of each type.

        Raises:
            UsageError: a value is negative, infinite or NaN.
        """
        return Tolerance(rtol=rtol, atol=atol)

    def for_output(self, name: str, dtype: str, inputs: Iterable[str] = (), scale: Scale | None = None) -> Bound:
        """Return the rule of one output.

        Args:
            name: of the output.
            dtype, inputs: as of `for_dtype`.
            scale: of the reference's numbers; None for numbers of size one.
        """
        if name in self.outputs:
            return self.outputs[name]
        rtol, atol = self.for_dtype(dtype, inputs)
        return Bound(rtol=rtol, atol=atol, scale=scale if self.atol is None and atol else None)

    def for_dtype(self, dtype: str, inputs: Iterable[str] = ()) -> tuple[float, float]:
        """Return rtol, and atol for numbers of size one, of a numpy type name; (0, 0) where values must be equal.

        Args:
            dtype: of the output.
            inputs: types of the inputs that it depends on: see `judged_as`.
        """
        if dtype_by_numpy(dtype).numpy not in DEFAULTS:
            return 0.0, 0.0
        rtol, atol = DEFAULTS[judged_as(dtype, inputs)]
        return (rtol if self.rtol is None else self.rtol, atol if self.atol is None else self.atol)

    def __str__(self) -> str:
        """Say the rule in one line, for reports."""
        if self.outputs:
            parts = (f"'{name}' {_text(bound)}" for name, bound in self.outputs.items())
            return f"rtol/atol by output: {', '.join(parts)}; of others by type"
        if self.rtol is not None and self.atol is not None:
            return f"rtol {self.rtol:g}, atol {self.atol:g} for floats; other types exact"
        parts = (f"{name} {r:g}/{a:g}" for name, (r, a) in ((n, self.for_dtype(n)) for n in DEFAULTS))
        scaled = "; atol times the scale of each output column" if self.atol is None else ""
        return f"rtol/atol by type: {', '.join(parts)}{scaled}; other types exact"


def _text(bound: Bound) -> str:
    if bound.scale is None:
        return f"{bound.rtol:.2g}/{bound.atol:.2g}"
    low, high = (bound.atol * pick(bound.scale.values) for pick in (min, max))
    return f"{bound.rtol:.2g}/{low:.2g}" + (f" to {high:.2g}" if f"{low:.2g}" != f"{high:.2g}" else "")
