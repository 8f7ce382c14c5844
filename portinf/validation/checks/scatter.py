"""Float outputs of both sides -> a fair sample of points (reference, candidate) to draw, the worst one among them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from portinf.core.batch import Array, Arrays, Batch
from portinf.validation.check import CheckResult, Figure, Series
from portinf.validation.limits import Judging
from portinf.validation.pairing import case_of, float_pairs, scores
from portinf.validation.tolerance import Tolerance

__all__ = ["POINTS", "Scatter"]

POINTS = 1000
Floats = npt.NDArray[np.float64]


@dataclass(kw_only=True)
class _Output:
    """The points of smallest lot (a random number per element), and the worst point."""

    lots: Floats = field(default_factory=lambda: np.zeros(0))
    reference: Floats = field(default_factory=lambda: np.zeros(0))
    candidate: Floats = field(default_factory=lambda: np.zeros(0))
    score: float = 0.0
    worst: tuple[float, float] | None = None

    def merge(self, other: _Output) -> None:
        """Add all that another one has seen; of equally bad points the first one stays."""
        lots = np.concatenate([self.lots, other.lots])
        kept = np.argsort(lots, kind="stable")[:POINTS]
        self.lots = lots[kept]
        self.reference = np.concatenate([self.reference, other.reference])[kept]
        self.candidate = np.concatenate([self.candidate, other.candidate])[kept]
        if other.score > self.score:
            self.score, self.worst = other.score, other.worst


class Scatter(Judging):
    """`Check` without findings: draws at most 1000 elements of each float output, every element with equal chance.

    Each element draws a lot and the smallest lots are kept. The lots depend on seed, output, case and row alone, so that the
    sample is the same in one pass and in merged parts.

    Args:
        tolerance, allow_nan: say which element is the worst.
        seed: of the lots.
    """

    def __init__(self, tolerance: Tolerance, *, allow_nan: bool = False, seed: int = 0) -> None:
        super().__init__(tolerance)
        self._allow_nan, self._seed = allow_nan, seed
        self._seen: dict[str, _Output] = {}

    def update(self, expected: Arrays, found: Arrays, batch: Batch) -> None:
        """Add one batch."""
        for name, reference, candidate in float_pairs(expected, found):
            single = self._drawn(name, reference.ravel(), candidate.ravel(), batch)
            bound = self._limits.of(name, reference, batch.inputs)
            score = scores(reference, candidate, bound, allow_nan=self._allow_nan)
            worst = int(score.argmax())
            single.score = float(score.flat[worst])
            if single.score > 0:
                single.worst = float(reference.flat[worst]), float(candidate.flat[worst])
            self._seen.setdefault(name, _Output()).merge(single)

    def merge(self, other: Scatter) -> None:
        """Add all that another check has seen."""
        for name, theirs in other._seen.items():
            self._seen.setdefault(name, _Output()).merge(theirs)

    def results(self) -> Sequence[CheckResult]:
        """Return nothing: a drawing finds nothing."""
        return ()

    def figures(self) -> Sequence[Figure]:
        """Return one scatter plot per float output that has finite points."""
        return [figure for name, output in self._seen.items() if (figure := _figure(name, output)) is not None]

    def _drawn(self, name: str, reference: Array, candidate: Array, batch: Batch) -> _Output:
        """Draw the smallest lots of one batch: order statistics of uniform numbers, dealt to elements drawn at random."""
        text = f"{name}\n{case_of(batch)}\n{batch.first_row}".encode()
        rng = np.random.Generator(np.random.PCG64([self._seed, zlib.crc32(text)]))
        count = min(POINTS, reference.size)
        spacings = rng.standard_exponential(count) / np.arange(reference.size, reference.size - count, -1)
        places = rng.choice(reference.size, count, replace=False) if count < reference.size else rng.permutation(count)
        return _Output(
            lots=-np.expm1(-np.cumsum(spacings)),
            reference=reference[places].astype(np.float64),
            candidate=candidate[places].astype(np.float64),
        )


def _figure(name: str, output: _Output) -> Figure | None:
    finite = np.isfinite(output.reference) & np.isfinite(output.candidate)
    series = []
    points = POINTS - 1 if output.worst is not None else POINTS
    if finite.any():
        x, y = (values[finite][:points].tolist() for values in (output.reference, output.candidate))
        series.append(Series(name=f"{len(x)} elements drawn at random", x=x, y=y))
    if output.worst is not None and np.isfinite(output.worst).all():
        series.append(Series(name="worst element", x=[output.worst[0]], y=[output.worst[1]]))
    if not series:
        return None
    return Figure(kind="scatter", title=name, x_label=f"{name}, reference", y_label=f"{name}, candidate", series=series)
