"""Class labels of two sides that differ only where the tolerance of the scores explains it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from portinf.core.batch import Array, Arrays
from portinf.validation.limits import Limits

__all__ = ["explained"]


def explained(
    expected: Arrays, found: Arrays, labels: Mapping[str, tuple[str, Array]], limits: Limits, inputs: Arrays
) -> Arrays:
    """Give rows the reference's label where its scores of both labels lie closer than their bounds together.

    Args:
        expected: the reference's outputs.
        found: the candidate's.
        labels: output with scores [rows, classes] and the class of each column, by the output with labels [rows].
        limits: the rules of the comparison.
        inputs: of the request.

    Returns:
        the candidate's outputs; labels that the tolerance does not explain stay as they are.
    """
    made = dict(found)
    for name, (scores, classes) in labels.items():
        if any(key not in side for key in (name, scores) for side in (expected, found)):
            continue
        theirs, own, real = expected[name], found[name], expected[scores]
        if theirs.shape != own.shape or real.ndim != 2 or real.shape != (theirs.size, len(classes)):
            continue
        rows = np.flatnonzero(theirs.ravel() != own.ravel())
        bound = limits.of(scores, real, inputs)
        allowed = bound.rtol * np.abs(real.astype(np.float64)) + bound.absolute(real.shape)
        made[name] = _settled(theirs, own, (real.astype(np.float64), allowed), classes, rows)
    return made


def _settled(theirs: Array, own: Array, judged: tuple[Array, Array], classes: Array, rows: Array) -> Array:
    scores, allowed = judged
    places = {label: place for place, label in enumerate(classes.tolist())}
    taken = own.copy()
    for row in rows.tolist():
        pair = [places.get(side.ravel()[row : row + 1].tolist()[0]) for side in (theirs, own)]
        if None in pair:
            continue
        if abs(scores[row, pair[0]] - scores[row, pair[1]]) <= allowed[row, pair[0]] + allowed[row, pair[1]]:
            taken.reshape(-1)[row] = theirs.ravel()[row]
    return taken
