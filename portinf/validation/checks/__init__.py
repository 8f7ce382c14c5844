"""The user's options -> the checks of one comparison."""

from __future__ import annotations

from dataclasses import dataclass

from portinf.validation.check import Check
from portinf.validation.checks.class_flips import Classes
from portinf.validation.checks.constant_output import Stuck
from portinf.validation.checks.quantiles import Quantiles
from portinf.validation.checks.regression import Regression, RegressionOptions
from portinf.validation.checks.roc import Discrimination, DiscriminationOptions
from portinf.validation.checks.scatter import Scatter
from portinf.validation.checks.worst_rows import Worst
from portinf.validation.tolerance import Tolerance

__all__ = ["PhysicsOptions", "make_checks"]


@dataclass(frozen=True, kw_only=True)
class PhysicsOptions:
    """Physics metrics; None for those that are not requested."""

    discrimination: DiscriminationOptions | None = None
    regression: RegressionOptions | None = None

    @property
    def columns(self) -> dict[str, str]:
        """The option by the name of each column that is needed beside the inputs."""
        named: list[tuple[str, str]] = []
        if self.discrimination is not None:
            named += [(self.discrimination.label, "--label"), (self.discrimination.weight, "--weight")]
        if self.regression is not None:
            named += [(self.regression.truth, "--truth"), (self.regression.weight, "--weight")]
            named += [(self.regression.bin_by, "--bin-by")]
        return {name: option for name, option in named if name}


def make_checks(
    physics: PhysicsOptions, tolerance: Tolerance, *, allow_nan: bool = False, batched: bool = False
) -> list[Check]:
    """Return fresh checks of one comparison, in the order of the report.

    Args:
        physics: metrics that need columns.
        tolerance, allow_nan: when two elements are equal.
        batched: axis 0 of inputs and outputs counts independent rows.
    """
    checks: list[Check] = [Stuck(), Classes(tolerance)]
    if physics.discrimination is not None:
        checks.append(Discrimination(physics.discrimination))
    if physics.regression is not None:
        checks.append(Regression(physics.regression))
    checks += [Quantiles(tolerance), Worst(tolerance, allow_nan=allow_nan, batched=batched)]
    checks.append(Scatter(tolerance, allow_nan=allow_nan))
    return checks
