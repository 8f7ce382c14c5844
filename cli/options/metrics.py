"""The options of physics metrics, and how their text is read."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import click

from portinf.core.errors import UsageError

if TYPE_CHECKING:
    from portinf.validation import PhysicsOptions

__all__ = ["METRICS", "read_physics_options"]

_FRACTION = click.FloatRange(min=0, max=1, min_open=True, max_open=True)
_BOUND = click.FloatRange(min=0)


METRICS = (
    click.option("--label", metavar="COLUMN", help="Column with the labels. Computes ROC curves of both models."),
    click.option("--signal", metavar="VALUE", help="Label of the signal. Default: 1."),
    click.option("--score", metavar="OUTPUT[:INDEX]", help="Output that separates signal. Default: the only output."),
    click.option("--weight", metavar="COLUMN", help="Column with the weight of each row."),
    click.option(
        "--at-background",
        type=_FRACTION,
        multiple=True,
        metavar="E",
        help="Report the signal efficiency at this background efficiency. Default: 0.1 and 0.01.",
    ),
    click.option("--truth", metavar="COLUMN", help="Column with the true values. Computes bias and resolution."),
    click.option("--prediction", metavar="OUTPUT[:INDEX]", help="Output with the prediction. Default: the only output."),
    click.option("--bin-by", metavar="COLUMN[:EDGES]", help="Column to bin by, with edges such as 0,10,50."),
    click.option("--relative", is_flag=True, help="Use residuals relative to the truth."),
    click.option("--bootstrap", type=click.IntRange(min=20), metavar="N", help="Bootstrap replicas. Default: 200."),
    click.option("--max-auc-loss", type=_BOUND, metavar="X", help="Fail if the AUC drops by more than X plus its error."),
    click.option("--max-bias-change", type=_BOUND, metavar="X", help="Fail if a bias changes by more than X plus its error."),
)


def read_physics_options(given: Mapping[str, Any]) -> PhysicsOptions:
    """Read the options on physics metrics.

    Raises:
        UsageError: an option needs another one, or the edges do not increase.
    """
    from portinf.validation import PhysicsOptions
    from portinf.validation.checks.regression import RegressionOptions
    from portinf.validation.checks.roc import DiscriminationOptions
    from portinf.validation.statistics.bootstrap import REPLICAS

    for names, needed in (
        (("signal", "score", "at_background", "max_auc_loss"), "label"),
        (("prediction", "bin_by", "relative", "max_bias_change"), "truth"),
    ):
        for name in names:
            if given[name] not in (None, (), False) and given[needed] is None:
                raise UsageError(f"--{name.replace('_', '-')} requires --{needed} COLUMN")
    for name in ("weight", "bootstrap"):
        if given[name] is not None and given["label"] is None and given["truth"] is None:
            raise UsageError(f"--{name} requires --label COLUMN or --truth COLUMN")
    replicas = given["bootstrap"] or REPLICAS
    weight = given["weight"] or ""
    discrimination = regression = None
    if given["label"] is not None:
        discrimination = DiscriminationOptions(
            label=given["label"],
            signal=given["signal"] or "1",
            score=given["score"] or "",
            weight=weight,
            at_background=given["at_background"] or DiscriminationOptions.at_background,
            replicas=replicas,
            max_auc_loss=given["max_auc_loss"],
        )
    if given["truth"] is not None:
        column, edges = _bins(given["bin_by"] or "")
        regression = RegressionOptions(
            truth=given["truth"],
            prediction=given["prediction"] or "",
            weight=weight,
            bin_by=column,
            edges=edges,
            relative=given["relative"],
            replicas=replicas,
            max_bias_change=given["max_bias_change"],
        )
    return PhysicsOptions(discrimination=discrimination, regression=regression)


def _bins(text: str) -> tuple[str, tuple[float, ...]]:
    """Read ``COLUMN[:EDGES]``; a name may itself hold colons, for edges are numbers."""
    column, sign, rest = text.rpartition(":")
    try:
        edges = tuple(float(part) for part in rest.split(","))
    except ValueError:
        return text, ()
    if not sign:
        return text, ()
    if len(edges) < 2 or any(not low < high for low, high in pairwise(edges)):
        raise UsageError(f"--bin-by {text}: expected at least two increasing edges, for example {column}:0,10,50")
    return column, edges
