"""Scores, labels and weights -> ROC curves of both sides, what they say, and the change between them with its error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from portinf.core.batch import Arrays, Batch
from portinf.validation.check import CheckResult, CheckStatus, Figure, Series
from portinf.validation.columns import Place, column, is_signal, numbers, place_of
from portinf.validation.statistics.binning import BlockHistogram
from portinf.validation.statistics.bootstrap import BLOCKS, REPLICAS, change_of, change_text, errors_of, replicate
from portinf.validation.statistics.roc_curve import AT_SIGNAL, group_ends, measures, roc, uncertain_area
from portinf.validation.tally import Value

__all__ = ["EXACT_ROWS", "Discrimination", "DiscriminationOptions"]

EXACT_ROWS = 1_000_000
DRAWN = 300  # points of a drawn curve
SIDES = ("reference", "candidate")
Floats = npt.NDArray[np.float64]
Statistics = Callable[[Floats], Floats]


@dataclass(frozen=True, kw_only=True)
class DiscriminationOptions:
    """What separates signal from background.

    Attributes:
        label: column of labels.
        signal: value of the label that counts as signal; everything else is background.
        score: ``OUTPUT[:INDEX]``; empty for the only float output, and for the class that ``signal`` numbers.
        weight: column of weights; empty for none.
        at_background: background efficiencies at which the signal efficiency is given, each between 0 and 1.
        replicas: draws of the bootstrap.
        max_auc_loss: the check fails if the area falls by more than this, one error of the change allowed for; None to report.
        exact_rows: rows up to which scores are kept.
    """

    label: str
    signal: str = "1"
    score: str = ""
    weight: str = ""
    at_background: Sequence[float] = (0.1, 0.01)
    replicas: int = REPLICAS
    max_auc_loss: float | None = None
    exact_rows: int = EXACT_ROWS


@dataclass(kw_only=True)
class _Rows:
    """Rows that are kept: scores of both sides (2, rows), label, weight, block."""

    scores: npt.NDArray[np.floating]
    signal: npt.NDArray[np.bool_]
    weight: Floats
    block: npt.NDArray[np.uint8]


class Discrimination:
    """`Check`: area under the ROC curve, signal efficiency and background rejection of both sides, over the given samples.

    Up to a million rows the scores are kept and everything is exact; errors come from rows drawn again. Beyond, weights are
    counted in fine bins of the score for 128 blocks of rows (row number modulo 128), and errors come from blocks drawn again.

    Args:
        options: what the user said.
        seed: of the draws.
    """

    def __init__(self, options: DiscriminationOptions, *, seed: int = 0) -> None:
        self._options, self._seed = options, seed
        self._place: Place | None = None
        self._kept: list[_Rows] = []
        self._histogram: BlockHistogram | None = None
        self._totals = {"rows": 0, "signal": 0, "left out": 0}

    def update(self, expected: Arrays, found: Arrays, batch: Batch) -> None:
        """Add one batch; generated ones have no labels.

        Raises:
            UsageError: an output or a column that the options name is not there, or does not fit; the message lists what is.
        """
        if batch.origin != "given":
            return
        if self._place is None:
            requested = self._options.signal
            preferred = int(requested) if requested.isdigit() and not self._options.score else None
            self._place = place_of(self._options.score, "--score", expected, preferred)
        name = self._place.output
        if name not in found or name not in expected or found[name].shape != expected[name].shape:
            return  # the comparison of elements fails for that
        self._add(self._rows(expected, found, batch, self._place))

    def merge(self, other: Discrimination) -> None:
        """Add all that another check has seen."""
        self._place = self._place or other._place
        for key, count in other._totals.items():
            self._totals[key] += count
        self._kept += other._kept
        if other._histogram is not None:
            self._spill()
            assert self._histogram is not None
            self._histogram.merge(other._histogram)
        self._bound()

    def results(self) -> Sequence[CheckResult]:
        """Return the area, then one finding per working point."""
        if not self._totals["signal"] or self._totals["signal"] == self._totals["rows"]:
            return [self._impossible()]
        curves, values, replicas = self._computed()
        errors = errors_of(np.concatenate([replicas, change_of(replicas[:, :1], replicas[:, 1:])], axis=1))
        blur = [uncertain_area(*curve) for curve in curves] if self._histogram is not None else [0.0, 0.0]
        titles = ["AUC", *(f"signal efficiency at background {e:g}" for e in self._options.at_background)]
        titles.append(f"background rejection at signal {AT_SIGNAL:g}")
        found = []
        for number, title in enumerate(titles):
            three = (float(errors[0, number]), float(errors[1, number]), float(errors[2, number]))
            found.append(self._result(title, float(values[0, number]), float(values[1, number]), three, blur))
        return found

    def figures(self) -> Sequence[Figure]:
        """Return the ROC curves of both sides, background efficiency over signal efficiency."""
        if not self._totals["signal"] or self._totals["signal"] == self._totals["rows"]:
            return ()
        series = [_series(side, curve) for side, curve in zip(SIDES, self._curves(), strict=True)]
        return [
            Figure(
                kind="lines",
                title=f"ROC of {self._place}, signal {self._options.label} = {self._options.signal}",
                x_label="signal efficiency",
                y_label="background efficiency",
                series=series,
                log_y=True,
            )
        ]

    def _rows(self, expected: Arrays, found: Arrays, batch: Batch, place: Place) -> _Rows:
        both = np.stack([place.of(expected), place.of(found)])
        count = both.shape[1]
        label = column(batch, self._options.label, "--label", count)
        signal = is_signal(label, self._options.signal)
        known = ~np.isnan(label) if label.dtype.kind == "f" else np.ones(count, np.bool_)
        weight = np.ones(count)
        if self._options.weight:
            weight = numbers(batch, self._options.weight, "--weight", count)
        block = ((batch.first_row + np.arange(count)) % BLOCKS).astype(np.uint8)
        good = known & np.isfinite(weight) & ~np.isnan(both).any(axis=0)
        self._totals["left out"] += int(count - good.sum())
        return _Rows(scores=both[:, good], signal=signal[good], weight=weight[good], block=block[good])

    def _add(self, rows: _Rows) -> None:
        self._totals["rows"] += len(rows.signal)
        self._totals["signal"] += int(rows.signal.sum())
        self._kept.append(rows)
        self._bound()

    def _bound(self) -> None:
        """Count what is too much to be kept."""
        if self._histogram is not None or self._totals["rows"] > self._options.exact_rows:
            self._spill()

    def _spill(self) -> None:
        if self._histogram is None:
            self._histogram = BlockHistogram(4)
        for rows in self._kept:
            for side in (0, 1):
                self._histogram.add(rows.block, 2 * side + rows.signal, rows.scores[side], rows.weight)
        self._kept = []

    def _curves(self) -> list[tuple[Floats, Floats]]:
        """Return (background, signal) efficiencies of both sides."""
        if self._histogram is not None:
            return _binned(self._histogram.counts.sum(axis=0))
        return _Exact(self._kept).curves(None)

    def _computed(self) -> tuple[list[tuple[Floats, Floats]], Floats, Floats]:
        """Return the curves, the measures (sides, measures) and those of each draw (draws, sides, measures)."""
        at = self._options.at_background
        if self._histogram is not None:
            counts = self._histogram.counts
            flat = counts.reshape(BLOCKS, -1)

            def of_blocks(drawn: Floats) -> Floats:
                return _measured(_binned((drawn @ flat).reshape(counts.shape[1:])), at)

            curves = _binned(counts.sum(axis=0))
            return curves, _measured(curves, at), self._replicas(of_blocks, BLOCKS)
        exact = _Exact(self._kept)
        curves = exact.curves(None)
        return curves, _measured(curves, at), self._replicas(lambda d: _measured(exact.curves(d), at), exact.rows)

    def _replicas(self, statistics: Statistics, units: int) -> Floats:
        return replicate(statistics, units, replicas=self._options.replicas, seed=self._seed)

    def _mode(self) -> str:
        left = f", {self._totals['left out']:,} with NaN left out" if self._totals["left out"] else ""
        rows = f"{self._totals['rows']:,} rows, {self._totals['signal']:,} signal{left}"
        return f"exact, {rows}" if self._histogram is None else f"binned in {BLOCKS} blocks, {rows}"

    def _result(
        self, title: str, reference: float, candidate: float, errors: tuple[float, float, float], blur: Sequence[float]
    ) -> CheckResult:
        status, text = self._judged(title, reference, candidate, errors)
        figures: dict[str, Value] = {
            "reference": reference,
            "reference error": errors[0],
            "candidate": candidate,
            "candidate error": errors[1],
            "change": float(change_of(np.array(reference), np.array(candidate))),
            "change error": errors[2],
            "rows": self._totals["rows"],
            "signal rows": self._totals["signal"],
            "rows left out": self._totals["left out"],
            "replicas": self._options.replicas,
            "exact": self._histogram is None,
        }
        if title == "AUC":
            figures |= {"binning bound of reference": blur[0], "binning bound of candidate": blur[1]}
            text += f" ({self._mode()}"
            text += f"; bins may hide {max(blur):.1g})" if self._histogram is not None else ")"
        return CheckResult(name=title, status=status, output=str(self._place), text=text, figures=figures)

    def _judged(
        self, title: str, reference: float, candidate: float, errors: tuple[float, float, float]
    ) -> tuple[CheckStatus, str]:
        text, most = change_text(reference, candidate, errors), self._options.max_auc_loss
        if title != "AUC" or most is None:
            return "reported", text
        loss, error = reference - candidate, errors[2]
        if not np.isfinite(loss) or not np.isfinite(error):
            return "failed", f"{text}: the loss cannot be judged: too few rows of one class"
        if loss - error > most:
            return "failed", f"loss {loss:.2g} less its error {error:.1g} is more than the {most:g} allowed; {text}"
        return "passed", text

    def _impossible(self) -> CheckResult:
        rows, signal = self._totals["rows"], self._totals["signal"]
        text = f"no ROC curve: {signal:,} of {rows:,} rows are signal ({self._options.label} = {self._options.signal})"
        status: CheckStatus = "not applicable" if self._options.max_auc_loss is None else "failed"
        return CheckResult(name="AUC", status=status, output=str(self._place or self._options.score), text=text)


def _binned(sums: Floats) -> list[tuple[Floats, Floats]]:
    """Return the curves of sums (4, bins), groups as 2 * side + signal, highest bin first."""
    falling = sums[:, ::-1]
    return [roc(falling[2 * side + 1], falling[2 * side]) for side in (0, 1)]


def _measured(curves: Sequence[tuple[Floats, Floats]], at: Sequence[float]) -> Floats:
    return np.array([measures(background, signal, at) for background, signal in curves])


def _series(side: str, curve: tuple[Floats, Floats]) -> Series:
    """Thin a curve to evenly spaced points of both efficiencies' logarithmic and linear course."""
    background, signal = (np.maximum.accumulate(values) for values in curve)
    shown = np.flatnonzero(background > 0)
    if len(shown) > DRAWN:
        half = DRAWN // 2
        by_signal = np.searchsorted(signal[shown], np.linspace(signal[shown[0]], 1.0, half))
        by_background = np.searchsorted(background[shown], np.geomspace(background[shown[0]], 1.0, half))
        places = np.unique(np.concatenate([[0], by_signal, by_background, [len(shown) - 1]]))
        shown = shown[np.minimum(places, len(shown) - 1)]
    return Series(name=side, x=signal[shown].tolist(), y=background[shown].tolist())


class _Exact:
    """All rows, sorted by the reference's score (highest first), and the order of the candidate's scores among them."""

    def __init__(self, kept: Sequence[_Rows]) -> None:
        scores = np.concatenate([rows.scores for rows in kept], axis=1)
        signal = np.concatenate([rows.signal for rows in kept])
        weight = np.concatenate([rows.weight for rows in kept])
        first = np.argsort(-scores[0], kind="stable")
        scores, signal, weight = scores[:, first], signal[first], weight[first]
        second = np.argsort(-scores[1], kind="stable")
        self.rows = len(weight)
        self._orders: list[npt.NDArray[np.intp] | None] = [None, second]
        self._ends = [group_ends(scores[0]), group_ends(scores[1][second])]
        self._weights = [
            (np.where(s, w, 0.0), np.where(s, 0.0, w)) for s, w in ((signal, weight), (signal[second], weight[second]))
        ]

    def curves(self, drawn: Floats | None) -> list[tuple[Floats, Floats]]:
        """Return the curves of both sides with every row counted as often as it was drawn; None for once."""
        found = []
        for order, ends, (signal, background) in zip(self._orders, self._ends, self._weights, strict=True):
            times = drawn if drawn is None or order is None else drawn[order]
            if times is None:
                found.append(roc(signal, background, ends))
            else:
                found.append(roc(signal * times, background * times, ends))
        return found
