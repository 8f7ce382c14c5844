"""Predictions, truth and weights -> bias and resolution of both sides in bins of a variable, and their change with its error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from portinf.core.batch import Arrays, Batch
from portinf.core.errors import UsageError
from portinf.validation.check import CheckResult, CheckStatus, Figure, Series
from portinf.validation.checks.roc import EXACT_ROWS, SIDES
from portinf.validation.columns import Place, numbers, place_of
from portinf.validation.statistics.bootstrap import BLOCKS, REPLICAS, change_of, change_text, errors_of, replicate
from portinf.validation.statistics.residuals import MEASURES, RESOLUTION, BlockResiduals, RowResiduals
from portinf.validation.tally import Value

__all__ = ["BINS", "Regression", "RegressionOptions"]

BINS = 10
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RegressionOptions:
    """What is predicted.

    Attributes:
        truth: column of true values.
        prediction: ``OUTPUT[:INDEX]``; empty for the only float output.
        weight: column of weights; empty for none.
        bin_by: column of the variable whose bins are looked at; empty for all rows together only.
        edges: of the bins, rising; empty for ten bins of about as many rows each.
        relative: residuals are (prediction - truth) / truth, else prediction - truth.
        replicas: draws of the bootstrap.
        max_bias_change: the check fails if mean or median bias moves by more than this, over all rows or in any bin, one error
            of the change allowed for; None to report.
        exact_rows: rows up to which residuals are kept.
    """

    truth: str
    prediction: str = ""
    weight: str = ""
    bin_by: str = ""
    edges: Sequence[float] = ()
    relative: bool = False
    replicas: int = REPLICAS
    max_bias_change: float | None = None
    exact_rows: int = EXACT_ROWS


@dataclass(kw_only=True)
class _Rows:
    """Rows that are kept: residuals of both sides (2, rows), weight, variable, block."""

    residuals: Floats
    weight: Floats
    variable: Floats
    block: npt.NDArray[np.uint8]


class Regression:
    """`Check`: mean and median of the residuals, their standard deviation and the half-width of their central 68.27 %.

    Up to a million rows the residuals are kept and everything is exact; errors come from rows drawn again. Beyond, they are
    summed and counted in fine bins for 128 blocks of rows (row number modulo 128), and errors come from blocks drawn again.

    Args:
        options: what the user said.
        seed: of the draws.
    """

    def __init__(self, options: RegressionOptions, *, seed: int = 0) -> None:
        self._options, self._seed = options, seed
        self._place: Place | None = None
        self._kept: list[_Rows] = []
        self._blocks: BlockResiduals | None = None
        self._variable = np.zeros((0, 2))  # sum of weights and of weighted variable by bin, once rows are no longer kept
        self._edges: Floats = np.array(options.edges, dtype=np.float64)
        self._totals = {"rows": 0, "left out": 0, "outside the bins": 0}
        self._known: tuple[Floats, Floats, Floats] | None = None  # what was computed, until more rows come
        self._own_edges: Floats | None = None  # likewise

    def update(self, expected: Arrays, found: Arrays, batch: Batch) -> None:
        """Add one batch; generated ones have no truth.

        Raises:
            UsageError: an output or a column that the options name is not there, or does not fit; the message lists what is.
        """
        if batch.origin != "given":
            return
        if self._place is None:
            self._place = place_of(self._options.prediction, "--prediction", expected)
        name = self._place.output
        if name not in found or name not in expected or found[name].shape != expected[name].shape:
            return  # the comparison of elements fails for that
        rows = self._rows(expected, found, batch, self._place)
        self._totals["rows"] += len(rows.weight)
        self._kept.append(rows)
        self._bound()

    def merge(self, other: Regression) -> None:
        """Add all that another check has seen.

        Raises:
            UsageError: both have found edges of their own, and those differ.
        """
        self._place = self._place or other._place
        for key, count in other._totals.items():
            self._totals[key] += count
        self._kept += other._kept
        if other._blocks is not None:
            if self._blocks is None:
                self._edges = other._edges
            elif not np.array_equal(self._edges, other._edges):
                raise UsageError("parts of a sample found different bins: give the edges, --bin-by COLUMN:EDGES")
            self._spill()
            assert self._blocks is not None
            self._blocks.merge(other._blocks)
            self._variable = self._variable + other._variable
        self._bound()

    def results(self) -> Sequence[CheckResult]:
        """Return one finding per measure: over all rows, and the largest change in a bin."""
        if not self._totals["rows"]:
            status: CheckStatus = "not applicable" if self._options.max_bias_change is None else "failed"
            text = "no residuals: there is no row with a finite prediction, truth and weight"
            return [CheckResult(name=MEASURES[0], status=status, output=str(self._place or ""), text=text)]
        values, errors, changes = self._computed()
        return [self._result(number, values, errors, changes) for number in range(len(MEASURES))]

    def figures(self) -> Sequence[Figure]:
        """Return bias and resolution over the bins, both sides with their errors."""
        if not self._totals["rows"] or not self._options.bin_by:
            return ()
        values, errors, _ = self._computed()
        x = self._positions()
        return [self._figure(number, x, values, errors) for number in range(len(MEASURES))]

    def _rows(self, expected: Arrays, found: Arrays, batch: Batch, place: Place) -> _Rows:
        both = np.stack([place.of(expected), place.of(found)]).astype(np.float64)
        count = both.shape[1]
        truth = numbers(batch, self._options.truth, "--truth", count)
        weight = numbers(batch, self._options.weight, "--weight", count) if self._options.weight else np.ones(count)
        variable = numbers(batch, self._options.bin_by, "--bin-by", count) if self._options.bin_by else np.zeros(count)
        block = ((batch.first_row + np.arange(count)) % BLOCKS).astype(np.uint8)
        with np.errstate(all="ignore"):
            residuals = (both - truth) / truth if self._options.relative else both - truth
        good = np.isfinite(residuals).all(axis=0) & np.isfinite(weight) & np.isfinite(variable)
        self._totals["left out"] += int(count - good.sum())
        if len(self._options.edges):
            self._totals["outside the bins"] += int((_binned(variable[good], self._edges) < 0).sum())
        return _Rows(residuals=residuals[:, good], weight=weight[good], variable=variable[good], block=block[good])

    def _bound(self) -> None:
        """Sum up what is too much to be kept; what was computed before is out of date."""
        self._known = self._own_edges = None
        if self._blocks is not None or self._totals["rows"] > self._options.exact_rows:
            self._spill()

    def _spill(self) -> None:
        edges = self._found_edges()
        if self._blocks is None:
            self._edges = edges
            self._blocks = BlockResiduals(max(1, len(edges)))  # all rows, then each bin
            self._variable = np.zeros((max(0, len(edges) - 1), 2))
        for rows in self._kept:
            self._blocks.add(rows.residuals, rows.weight, rows.block, np.zeros(len(rows.weight), np.intp))
            number = _binned(rows.variable, edges)
            inside = number >= 0
            self._blocks.add(rows.residuals[:, inside], rows.weight[inside], rows.block[inside], number[inside] + 1)
            for power in (0, 1):
                np.add.at(self._variable[:, power], number[inside], (rows.weight * rows.variable**power)[inside])
        self._kept = []

    def _found_edges(self) -> Floats:
        """Return the given edges, else those of bins of about as many of the rows that are kept; empty without a variable."""
        if len(self._edges) or not self._options.bin_by:
            return self._edges
        if self._own_edges is not None:
            return self._own_edges
        variable = np.concatenate([rows.variable for rows in self._kept]) if self._kept else np.zeros(1)
        inner = np.unique(np.quantile(variable, np.linspace(0, 1, BINS + 1)[1:-1]))
        inner = inner[inner > variable.min()]
        self._own_edges = np.concatenate([[-np.inf], inner, [np.inf]])
        return self._own_edges

    def _groups(self) -> tuple[RowResiduals, Floats]:
        weight = np.concatenate([rows.weight for rows in self._kept])
        variable = np.concatenate([rows.variable for rows in self._kept])
        residuals = np.concatenate([rows.residuals for rows in self._kept], axis=1)
        edges = self._found_edges()
        number = _binned(variable, edges)
        groups = [np.arange(len(weight)), *(np.flatnonzero(number == k) for k in range(max(0, len(edges) - 1)))]
        with np.errstate(all="ignore"):
            x = [float(np.dot(weight[g], variable[g]) / weight[g].sum()) if len(g) else np.nan for g in groups[1:]]
        return RowResiduals(residuals, weight, groups), np.array(x)

    def _positions(self) -> Floats:
        """Return the mean of the variable in each bin."""
        if self._blocks is None:
            return self._groups()[1]
        with np.errstate(all="ignore"):
            return np.asarray(self._variable[:, 1] / self._variable[:, 0])

    def _computed(self) -> tuple[Floats, Floats, Floats]:
        """Return values (sides, groups, measures), their errors, and the errors of the changes (groups, measures)."""
        if self._known is not None:
            return self._known
        source: RowResiduals | BlockResiduals = self._blocks if self._blocks is not None else self._groups()[0]
        units = BLOCKS if self._blocks is not None else self._totals["rows"]
        replicas = replicate(source.measures, units, replicas=self._options.replicas, seed=self._seed)
        self._known = source.measures(None), errors_of(replicas), errors_of(change_of(replicas[:, 0], replicas[:, 1]))
        return self._known

    def _result(self, number: int, values: Floats, errors: Floats, changes: Floats) -> CheckResult:
        change = change_of(values[0, :, number], values[1, :, number])
        three = (float(errors[0, 0, number]), float(errors[1, 0, number]), float(changes[0, number]))
        status, reason = self._judged(number, change, changes[:, number])
        text = reason + change_text(float(values[0, 0, number]), float(values[1, 0, number]), three)
        judged = np.isfinite(change[1:]) & np.isfinite(changes[1:, number])
        if judged.any():
            worst = int(np.where(judged, np.abs(change[1:]), -1.0).argmax()) + 1
            text += f"; largest in {self._bin_name(worst)}: {change[worst]:+.2g} +- {changes[worst, number]:.1g}"
        figures: dict[str, Value] = {"rows": self._totals["rows"], "exact": self._blocks is None}
        figures |= {"rows left out": self._totals["left out"], "rows outside the bins": self._totals["outside the bins"]}
        for group in range(len(change)):
            name = self._bin_name(group)
            for side, title in enumerate(SIDES):
                figures[f"{name}: {title}"] = float(values[side, group, number])
                figures[f"{name}: {title} error"] = float(errors[side, group, number])
            figures |= {f"{name}: change": float(change[group]), f"{name}: change error": float(changes[group, number])}
        text += f" ({self._mode()})" if number == 0 else ""
        return CheckResult(name=MEASURES[number], status=status, output=str(self._place), text=text, figures=figures)

    def _judged(self, number: int, change: Floats, error: Floats) -> tuple[CheckStatus, str]:
        most = self._options.max_bias_change
        if most is None or "bias" not in MEASURES[number]:
            return "reported", ""
        filled = np.isfinite(change)
        if not filled[0] or not np.isfinite(error[0]):
            return "failed", "the change cannot be judged: too few rows; "
        excess = np.where(filled, np.abs(change) - np.where(np.isfinite(error), error, 0.0), -np.inf)
        worst = int(excess.argmax())
        if excess[worst] <= most:
            return "passed", ""
        size = f"change {abs(change[worst]):.2g} less its error {error[worst]:.1g}"
        return "failed", f"{self._bin_name(worst)}: {size} is more than the {most:g} allowed; "

    def _mode(self) -> str:
        totals = self._totals
        kind = "relative residuals" if self._options.relative else "residuals"
        left = f", {totals['left out']:,} not finite left out" if totals["left out"] else ""
        outside = f", {totals['outside the bins']:,} outside the bins" if totals["outside the bins"] else ""
        mode = "exact" if self._blocks is None else f"binned to {RESOLUTION:.0%} in {BLOCKS} blocks"
        return f"{kind}, {mode}, {totals['rows']:,} rows{left}{outside}"

    def _bin_name(self, group: int) -> str:
        if group == 0:
            return "all"
        low, high = self._found_edges()[group - 1 : group + 1]
        return f"{self._options.bin_by} [{low:.4g}, {high:.4g})"

    def _figure(self, number: int, x: Floats, values: Floats, errors: Floats) -> Figure:
        series = []
        for side, title in enumerate(SIDES):
            y, error = values[side, 1:, number], errors[side, 1:, number]
            good = np.isfinite(x) & np.isfinite(y)
            shown = np.where(np.isfinite(error), error, 0.0)[good]
            series.append(Series(name=title, x=x[good].tolist(), y=y[good].tolist(), errors=shown.tolist()))
        what = "relative residual" if self._options.relative else "residual"
        title = f"{MEASURES[number]} of {self._place}"
        return Figure(
            kind="lines", title=title, x_label=self._options.bin_by, y_label=f"{MEASURES[number]} of the {what}", series=series
        )


def _binned(variable: Floats, edges: Floats) -> npt.NDArray[np.intp]:
    """Return the bin of each value, the last edge included; -1 outside."""
    if not len(edges):
        return np.full(len(variable), -1)
    number = np.searchsorted(edges, variable, side="right") - 1
    number[variable == edges[-1]] = len(edges) - 2
    number[number > len(edges) - 2] = -1
    return number
