"""Checks beyond single elements: the protocol of a check, its results, and the curves that reports draw from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from portinf.core.batch import Arrays, Batch
from portinf.validation.tally import Value, plain

__all__ = ["Check", "CheckResult", "CheckStatus", "Figure", "Series"]

CheckStatus = Literal["passed", "failed", "reported", "not applicable"]
Self = TypeVar("Self", bound="Check")


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One finding about one comparison.

    Attributes:
        name: of the check, for example ``batch invariance``.
        status: ``failed`` makes the comparison disagree; ``reported`` is for the reader alone, for example an invariance that the
            reference itself lacks; ``not applicable`` says that the check could not be made, and why.
        text: one line: the reason of a failure, else what was measured.
        output: name of the output that it is about; empty for the model as a whole.
        figures: numbers by name, for JSON.
        table: rows of values by column, best or worst first; in JSON each is a figure, ``1 case`` and so on.
    """

    name: str
    status: CheckStatus
    text: str
    output: str = ""
    figures: Mapping[str, Value] = field(default_factory=dict)
    table: Sequence[Mapping[str, Value]] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        rows = {f"{number} {column}": v for number, row in enumerate(self.table, start=1) for column, v in row.items()}
        head = {"name": self.name, "status": self.status, "output": self.output, "text": self.text}
        return {**head, "figures": {name: plain(value) for name, value in {**self.figures, **rows}.items()}}


@dataclass(frozen=True, kw_only=True)
class Series:
    """One curve or cloud of points.

    Attributes:
        name: for the legend.
        x, y: of equal length; points that are not finite are not drawn.
        errors: of y; empty for none.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    errors: Sequence[float] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON; points that are not finite are left out."""
        errors = list(self.errors) or [0.0] * len(self.x)
        kept = [
            (float(x), float(y), float(error) if math.isfinite(error) else 0.0)
            for x, y, error in zip(self.x, self.y, errors, strict=True)
            if math.isfinite(x) and math.isfinite(y)
        ]
        xs, ys, widths = [list(column) for column in zip(*kept, strict=True)] or [[], [], []]
        return {"name": self.name, "x": xs, "y": ys, "errors": widths if self.errors else []}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What a report draws.

    Attributes:
        kind: ``scatter`` (reference against candidate, with the diagonal), ``lines`` (curves), ``bars`` (one series whose x
            are positions; ``ticks`` names them), ``points`` (clouds without a diagonal).
        title: of the drawing.
        x_label, y_label: of the axes, with units where there are any.
        series: in the order of the legend.
        log_x, log_y: logarithmic axes.
        ticks: names of the positions 0, 1, ... of x; empty for numbers.
    """

    kind: Literal["scatter", "lines", "bars", "points"]
    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    log_x: bool = False
    log_y: bool = False
    ticks: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "kind": self.kind,
            "title": self.title,
            "x_label": self.x_label,
            "y_label": self.y_label,
            "log_x": self.log_x,
            "log_y": self.log_y,
            "ticks": list(self.ticks),
            "series": [series.to_json() for series in self.series],
        }


class Check(Protocol):
    """Accumulates over batches, in one pass or in parts that are merged; holds no more than a bounded number of rows."""

    def update(self, expected: Arrays, found: Arrays, batch: Batch) -> None:
        """Add the outputs of both sides, by name, to the inputs and columns of one batch; given and generated batches alike."""
        ...

    def merge(self: Self, other: Self) -> None:
        """Add all that another check of the same kind and options has seen."""
        ...

    def results(self) -> Sequence[CheckResult]:
        """Return what was found so far."""
        ...

    def figures(self) -> Sequence[Figure]:
        """Return what a report should draw."""
        ...
