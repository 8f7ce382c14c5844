"""How far two answers may lie apart, by element type."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from portinf.errors import UsageError
from portinf.signature import dtype_by_numpy

__all__ = ["DEFAULTS", "Tolerance", "rounding"]

# (rtol, atol) by type; see the class for the reasoning.
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


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """The rule ``|candidate - reference| <= atol + rtol * |reference|``, per element, everywhere in portinf.

    Another order of summation changes a sum of n terms by up to about ``n * eps`` relative to the sum of the sizes, and a
    network is a few dozen such sums in a row. The defaults leave a factor of about 1000 over one rounding (eps: float32
    1.2e-7, float64 2.2e-16 with room for a library's own exp and log, float16 9.8e-4 and bfloat16 7.8e-3 with a factor of
    about 10): wide enough for a right conversion, far below what a wrong weight, axis or constant changes. ``atol`` is a
    tenth of ``rtol`` or less, for outputs of size about one that cross zero. Integers, booleans and strings are exact.

    Attributes:
        rtol: relative part for every float type; None for the type's default.
        atol: absolute part for every float type; None for the type's default.
        outputs: (rtol, atol) of single outputs, which come before all else.
    """

    rtol: float | None = None
    atol: float | None = None
    outputs: Mapping[str, tuple[float, float]] = field(default_factory=dict)

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

    def for_output(self, name: str, dtype: str, inputs: Iterable[str] = ()) -> tuple[float, float]:
        """Return (rtol, atol) of one output; see `for_dtype`."""
        return self.outputs[name] if name in self.outputs else self.for_dtype(dtype, inputs)

    def for_dtype(self, dtype: str, inputs: Iterable[str] = ()) -> tuple[float, float]:
        """Return (rtol, atol) of a numpy type name; (0, 0) where values must be equal.

        Args:
            dtype: of the output.
            inputs: types of the model's inputs. An answer is no more precise than what it was computed from: a float64
                output of float32 inputs is judged as float32.
        """
        name = dtype_by_numpy(dtype).numpy
        if name not in DEFAULTS:
            return 0.0, 0.0
        rtol, atol = max(DEFAULTS[kind] for kind in (name, *map(_known, inputs)) if kind in DEFAULTS)
        return (rtol if self.rtol is None else self.rtol, atol if self.atol is None else self.atol)

    def __str__(self) -> str:
        """Say the rule in one line, for reports."""
        if self.outputs:
            parts = (f"'{name}' {r:.2g}/{a:.2g}" for name, (r, a) in self.outputs.items())
            return f"rtol/atol by output: {', '.join(parts)}; of others by type"
        if self.rtol is not None and self.atol is not None:
            return f"rtol {self.rtol:g}, atol {self.atol:g} for floats; other types exact"
        parts = (f"{name} {r:g}/{a:g}" for name, (r, a) in ((n, self.for_dtype(n)) for n in DEFAULTS))
        return f"rtol/atol by type: {', '.join(parts)}; other types exact"


def _known(dtype: str) -> str:
    return dtype_by_numpy(dtype).numpy
