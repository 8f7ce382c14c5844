"""Rows, or blocks of rows, drawn again and again -> the error of any number that is computed from them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["BLOCKS", "REPLICAS", "change_of", "change_text", "errors_of", "replicate"]

REPLICAS = 200
BLOCKS = 128  # into which rows are dealt where they are too many to be kept
Floats = npt.NDArray[np.float64]


def replicate(statistics: Callable[[Floats], Floats], units: int, *, replicas: int, seed: int = 0) -> Floats:
    """Compute numbers on samples of equal size drawn with replacement (Efron's bootstrap).

    Both sides of a comparison are computed from the same draw: what they have in common cancels in the error of their change.

    Args:
        statistics: takes how often each unit was drawn, (units,), and returns an array of fixed shape; NaN where a draw
            does not define a number.
        units: rows or blocks.
        replicas: number of draws.
        seed: of the draws.

    Returns:
        The numbers of each draw, (replicas, ...).
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(replicas):
        drawn = np.bincount(rng.integers(0, units, units), minlength=units)
        found.append(statistics(drawn.astype(np.float64)))
    return np.array(found)


def errors_of(replicas: Floats) -> Floats:
    """Return the standard deviation over axis 0; NaN where more than a tenth of the draws define no number."""
    finite = np.isfinite(replicas)
    count = finite.sum(axis=0)
    with np.errstate(all="ignore"):
        mean = np.where(finite, replicas, 0.0).sum(axis=0) / count
        squares = np.where(finite, replicas - mean, 0.0) ** 2
        error = np.sqrt(squares.sum(axis=0) / (count - 1))
    return np.asarray(np.where((count >= 0.9 * len(replicas)) & (count > 1), error, np.nan))


def change_of(reference: Floats, candidate: Floats) -> Floats:
    """Return candidate less reference; 0 where both are the same (infinities, too) to the rounding of a sum."""
    with np.errstate(invalid="ignore"):
        change = candidate - reference
        same = (reference == candidate) | (np.abs(change) <= 1e-13 * np.abs(reference))
    return np.where(same, 0.0, change)


def change_text(reference: float, candidate: float, errors: tuple[float, float, float]) -> str:
    """Say both numbers and their change, each with its error.

    Args:
        reference, candidate: the numbers.
        errors: of the reference, of the candidate, of the change.
    """
    sides = [_digits(reference, errors[0]), _digits(candidate, errors[1])]
    change = float(change_of(np.array(reference), np.array(candidate)))
    said = f"change {change:+.2g} +- {errors[2]:.1g}" if np.isfinite([change, errors[2]]).all() else f"change {change:+.2g}"
    return f"reference {sides[0]}, candidate {sides[1]}; {said}"


def _digits(value: float, error: float) -> str:
    """Round to two digits of the error."""
    if not np.isfinite(error) or error <= 0 or not np.isfinite(value):
        return f"{value:.6g}"
    places = int(np.clip(1 - np.floor(np.log10(error)), 0, 15))
    return f"{value:.{places}f} +- {error:.{places}f}"
