"""The options of a lower precision in ``portinf optimize``, and how its result is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from portinf.cli.options.metrics import metrics_options, read_physics_options
from portinf.core.errors import UsageError

if TYPE_CHECKING:
    from portinf.mixed_precision.lower import Lowered
    from portinf.validation import PhysicsOptions

__all__ = ["check_precision", "precision_lines", "precision_options", "read_precision_physics"]

F = TypeVar("F", bound=Callable[..., Any])
PRECISIONS = ("fp16", "bf16", "int8")


def precision_options(function: F) -> F:
    """Add --precision and the metrics that may decide beside the tolerance."""
    option = click.option(
        "--precision",
        metavar="PRECISION",
        help="fp16, bf16 or int8: compute in fewer bits; nodes stay in float32 until the tolerance holds, int8 is calibrated on "
        "--inputs. hls4ml: 'ap_fixed<W,I>' for all numbers, or auto: by the samples' ranges and the tolerance (auto).",
    )
    return option(metrics_options(function))


def check_precision(given: Mapping[str, Any]) -> None:
    """Refuse a precision that floating point does not have.

    Raises:
        UsageError: names those that there are.
    """
    if given["precision"] not in (None, *PRECISIONS):
        raise UsageError(
            f"--precision {given['precision']}: expected {', '.join(PRECISIONS)}; fixed point is for --target hls4ml"
        )


def read_precision_physics(given: Mapping[str, Any]) -> PhysicsOptions:
    """Read the metrics.

    Raises:
        UsageError: there are some without a precision that they could decide about.
    """
    physics = read_physics_options(given)
    decides = given["precision"] is not None or given["search"]
    if not decides and (physics.discrimination is not None or physics.regression is not None):
        raise UsageError(
            f"{'--label' if given['label'] else '--truth'}: it decides about a lower precision: give --precision or --search"
        )
    return physics


def precision_lines(lowered: Lowered) -> Iterator[str]:
    """Yield what there is to say of a lowered file."""
    count = len(lowered.islands)
    trials = f"{lowered.trials} choice{'s' * (lowered.trials != 1)} tried"
    yield f"{lowered.precision}: {lowered.lowered} nodes lowered, {count} island{'s' * (count != 1)} in float32, {trials}"
    for name in lowered.islands:
        yield f"island: {name}: {lowered.reasons[name]}"
