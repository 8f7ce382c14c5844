"""Weights of signal and background in order of falling score -> ROC curve, its area and its working points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["AT_SIGNAL", "area", "group_ends", "measures", "rising", "roc", "uncertain_area"]

AT_SIGNAL = 0.5  # signal efficiency at which the background rejection is given
_SLACK = 1e-12  # of rounding when efficiencies are compared
Floats = npt.NDArray[np.float64]


def rising(values: Floats) -> Floats:
    """Return running sums as they are, or their running maximum where negative weights make them fall."""
    return values if bool((values[1:] >= values[:-1]).all()) else np.maximum.accumulate(values)


def group_ends(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.intp]:
    """Return the place of the last row of each run of equal scores, of scores that never rise."""
    return np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)


def roc(signal: Floats, background: Floats, ends: npt.NDArray[np.intp] | None = None) -> tuple[Floats, Floats]:
    """Return background and signal efficiency of every cut, from (0, 0) to (1, 1); NaN without signal or background.

    Args:
        signal, background: sum of weights per row or bin, highest score first. A row has its weight in one of them.
        ends: rows after which a cut can lie; None for all. Equal scores pass together, as in scikit-learn's ``roc_curve``.
    """
    found = []
    for weights in (background, signal):
        total = np.cumsum(weights)
        passed = total if ends is None else total[ends]
        whole = total[-1] if len(total) and total[-1] > 0 else np.nan
        found.append(np.concatenate([[0.0 * whole], passed / whole]))
    return found[0], found[1]


def area(background: Floats, signal: Floats) -> float:
    """Return the area under the ROC curve (trapezoids): P(signal above background) + P(equal) / 2."""
    return float(np.sum(np.diff(background) * (signal[1:] + signal[:-1])) / 2.0)


def uncertain_area(background: Floats, signal: Floats) -> float:
    """Return how far `area` may be off where each step of the curve is a bin that hides an order: half its rectangles."""
    return float(np.sum(np.abs(np.diff(background) * np.diff(signal))) / 2.0)


def measures(background: Floats, signal: Floats, at_background: Sequence[float]) -> Floats:
    """Return the area, the signal efficiency at each background efficiency, and the background rejection.

    The signal efficiency at E is the largest of any cut that lets at most E of the background through; the rejection is one
    over the smallest background efficiency of any cut that keeps at least half of the signal (infinite for none). With
    negative weights the curve is first made to rise only.
    """
    found = [area(background, signal)]
    if np.isnan(background[-1]) or np.isnan(signal[-1]):
        return np.full(len(at_background) + 2, np.nan)
    x, y = rising(background), rising(signal)
    for requested in at_background:
        found.append(float(y[np.searchsorted(x, requested * (1 + _SLACK), side="right") - 1]))
    least = float(x[np.searchsorted(y, AT_SIGNAL * (1 - _SLACK), side="left")])
    found.append(1.0 / least if least > 0 else np.inf)
    return np.array(found)
