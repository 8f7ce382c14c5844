"""The options of a lower precision in ``portinf optimize``, and the text of its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from portinf.cli.options.metrics import read_physics_options
from portinf.core.errors import UsageError

if TYPE_CHECKING:
    from portinf.mixed_precision.lower import Lowered
    from portinf.validation import PhysicsOptions

__all__ = ["PRECISION", "check_precision", "precision_lines", "read_precision_physics"]

PRECISIONS = ("fp16", "bf16", "int8")


PRECISION = click.option(
    "--precision",
    metavar="PRECISION",
    help="fp16, bf16 or int8: compute in lower precision; nodes stay in float32 as far as the tolerance needs it. int8 is "
    "calibrated on --inputs. hls4ml: 'ap_fixed<W,I>' for all numbers, or auto (the default): chosen by the ranges of the "
    "samples and the tolerance.",
)


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
        raise UsageError(f"{'--label' if given['label'] else '--truth'} requires --precision or --search")
    return physics


def precision_lines(lowered: Lowered) -> Iterator[str]:
    """Yield the text on a file in lower precision."""
    count = len(lowered.islands)
    trials = f"{lowered.trials} choice{'s' * (lowered.trials != 1)} tried"
    yield f"{lowered.precision}: {lowered.lowered} nodes in lower precision, {count} in float32, {trials}"
    for name in lowered.islands:
        yield f"float32: {name}: {lowered.reasons[name]}"
