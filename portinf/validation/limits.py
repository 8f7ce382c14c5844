"""A tolerance, the scales of a reference and what its outputs depend on -> the rule of each output of one comparison."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from portinf.core.batch import Array
from portinf.core.signature import dtype_by_numpy
from portinf.validation.scale import Scale
from portinf.validation.tolerance import Bound, Tolerance

__all__ = ["Judging", "Limits"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The rules of one comparison.

    Attributes:
        tolerance: the user's, or the defaults.
        scales: of the reference's outputs by name.
        reach: the inputs that each output depends on; outputs that are not named depend on all.
        narrow: float64 outputs whose numbers are all float32 ones.
    """

    tolerance: Tolerance
    scales: Mapping[str, Scale] = field(default_factory=dict)
    reach: Mapping[str, Collection[str]] = field(default_factory=dict)
    narrow: Collection[str] = ()

    def of(self, name: str, array: Array, inputs: Mapping[str, Array]) -> Bound:
        """Return the rule of one output.

        Args:
            name: of the output.
            array: the reference's.
            inputs: of the request.
        """
        return self.tolerance.for_output(name, str(array.dtype), self.kinds(name, inputs), self.scales.get(name))

    def kinds(self, name: str, inputs: Mapping[str, Array]) -> set[str]:
        """Return the types of the inputs that an output depends on; float32 where it was cast on the way."""
        if name in self.narrow:
            return {"float32"}
        reach = self.reach.get(name)
        return {dtype_by_numpy(str(array.dtype)).numpy for key, array in inputs.items() if reach is None or key in reach}


class Judging:
    """A part of every check that needs to know when two numbers are equal.

    Args:
        tolerance: of the comparison; its scales follow with `use`, before the first batch.
    """

    def __init__(self, tolerance: Tolerance) -> None:
        self._limits = Limits(tolerance=tolerance)

    def use(self, limits: Limits) -> None:
        """Take the rules of the comparison."""
        self._limits = limits
