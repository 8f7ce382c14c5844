"""Scores over classes of both sides -> whether the same class wins, and whether the tolerance explains it where not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from portinf.core.batch import Array, Arrays, Batch
from portinf.validation.check import CheckResult, Figure
from portinf.validation.limits import Judging
from portinf.validation.pairing import case_of, float_pairs, working
from portinf.validation.statistics.binomial import LEVEL, clopper_pearson
from portinf.validation.tally import Value
from portinf.validation.tolerance import Bound, Tolerance

__all__ = ["FLIPS", "Classes"]

FLIPS = "best class"  # how its results are called
TOP = 5
SAMPLE = 2048  # rows of each batch in which the best few are looked at: sorting costs more than the rest together


@dataclass(kw_only=True)
class _Output:
    """Counts of one output; ``unexplained`` flips have a margin larger than the bounds of both scores together."""

    classes: int
    rows: int = 0
    flips: int = 0
    unexplained: int = 0
    margin: float = 0.0
    excess: float = 0.0
    example: str = ""
    top_rows: int = 0
    top_same: int = 0

    def merge(self, other: _Output) -> None:
        """Add all that another one has seen; of equal excesses the first example stays."""
        if other.excess > self.excess or not self.example:
            self.example = other.example or self.example
        self.excess = max(self.excess, other.excess)
        self.margin = max(self.margin, other.margin)
        self.rows += other.rows
        self.flips += other.flips
        self.unexplained += other.unexplained
        self.top_rows += other.top_rows
        self.top_same += other.top_same


class Classes(Judging):
    """`Check`: flips of the winning class (last axis) in the given samples, for float outputs of at least two axes.

    The margin of a flip is the reference's score of its own winner less its score of the candidate's winner. A candidate
    within tolerance of every score can only flip what lies closer than the bounds of the two scores together.

    Args:
        tolerance: bounds the scores.
    """

    def __init__(self, tolerance: Tolerance) -> None:
        super().__init__(tolerance)
        self._seen: dict[str, _Output] = {}

    def update(self, expected: Arrays, found: Arrays, batch: Batch) -> None:
        """Add one batch; generated ones are left out, for their values are no events."""
        if batch.origin != "given":
            return
        for name, reference, candidate in float_pairs(expected, found):
            if reference.ndim < 2 or reference.shape[-1] < 2:
                continue
            single = _counted(reference, candidate, self._limits.of(name, reference, batch.inputs), batch)
            if name in self._seen:
                self._seen[name].merge(single)
            else:
                self._seen[name] = single

    def merge(self, other: Classes) -> None:
        """Add all that another check has seen."""
        for name, theirs in other._seen.items():
            self._seen.setdefault(name, _Output(classes=theirs.classes)).merge(theirs)

    def results(self) -> Sequence[CheckResult]:
        """Return one finding per output that looks like scores over classes."""
        return [_result(name, output) for name, output in self._seen.items()]

    def figures(self) -> Sequence[Figure]:
        """Return nothing."""
        return ()


def _counted(reference: Array, candidate: Array, bound: Bound, batch: Batch) -> _Output:
    classes = reference.shape[-1]
    r, c = (working(array).reshape(-1, classes) for array in (reference, candidate))
    output = _Output(classes=classes, rows=len(r))
    step = -(-len(r) // SAMPLE)
    if np.array_equal(r, c):
        output.top_rows = output.top_same = len(r[::step]) if classes > TOP else 0
        return output
    if classes > TOP:
        best = [np.sort(np.argpartition(a[::step], -TOP, axis=1)[:, -TOP:], axis=1) for a in (r, c)]
        output.top_rows = len(best[0])
        output.top_same = int((best[0] == best[1]).all(axis=1).sum())
    winner, other = r.argmax(axis=1), c.argmax(axis=1)
    rows = np.flatnonzero(winner != other)
    rows = rows[~(np.isnan(r[rows]).any(axis=1) | np.isnan(c[rows]).any(axis=1))]  # a NaN is judged as an element
    if rows.size:
        atol = np.broadcast_to(bound.absolute(reference.shape), reference.shape).reshape(-1, classes)
        allowed = [atol[rows, chosen[rows]] for chosen in (winner, other)]
        _flips(output, r, winner, other, rows, (bound.rtol, allowed[0] + allowed[1]), _places(reference, batch))
    return output


def _places(reference: Array, batch: Batch) -> tuple[str, int, tuple[int, ...]]:
    return case_of(batch), batch.first_row, reference.shape[:-1]


def _flips(
    output: _Output,
    r: Array,
    winner: Array,
    other: Array,
    rows: Array,
    bound: tuple[float, Array],
    places: tuple[str, int, tuple[int, ...]],
) -> None:
    rtol, atol = bound
    best, taken = (r[rows, chosen[rows]].astype(np.float64) for chosen in (winner, other))
    margin = best - taken
    excess = margin - (atol + rtol * (np.abs(best) + np.abs(taken)))
    output.flips = len(rows)
    output.unexplained = int((excess > 0).sum())
    output.margin = float(margin.max())
    worst = int(excess.argmax())
    output.excess = max(0.0, float(excess[worst]))
    case, first, shape = places
    place = [int(k) for k in np.unravel_index(int(rows[worst]), shape)]
    place[0] += first
    classes = f"class {int(winner[rows[worst]])} of the reference, {int(other[rows[worst]])} of the candidate"
    output.example = f"{case} [{', '.join(map(str, place))}]: {classes}, margin {margin[worst]:.3g}"


def _result(name: str, output: _Output) -> CheckResult:
    low, high = clopper_pearson(output.flips, output.rows)
    figures: dict[str, Value] = {
        "classes": output.classes,
        "rows": output.rows,
        "flips": output.flips,
        "flips beyond tolerance": output.unexplained,
        "rate": output.flips / max(1, output.rows),
        "rate at least": low,
        "rate at most": high,
        "largest margin": output.margin,
    }
    top = ""
    if output.top_rows:
        figures.update({"top 5 rows": output.top_rows, "top 5 same": output.top_same})
        top = f"; same top {TOP} in {output.top_same:,} of {output.top_rows:,} sampled rows"
    text = f"top-1 class changes in {output.flips:,} of {output.rows:,} rows ({LEVEL:.0%} upper limit {high:.2g})"
    if output.unexplained:
        text = f"top-1 class changes beyond tolerance in {output.unexplained:,} of {output.rows:,} rows; {output.example}"
    elif output.flips:
        text += f", all ties within tolerance, largest margin {output.margin:.2g}"
    status = "failed" if output.unexplained else "reported"
    return CheckResult(name=FLIPS, status=status, output=name, text=text + top, figures=figures)  # type: ignore[arg-type]
