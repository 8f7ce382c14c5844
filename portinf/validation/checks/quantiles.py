"""Differences of every float output -> largest and quantiles in absolute, relative and ULP terms, with a bound each."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from portinf.core.batch import Array, Arrays, Batch
from portinf.validation.check import CheckResult, Figure
from portinf.validation.limits import Judging
from portinf.validation.pairing import case_of, float_pairs, rows_of, working
from portinf.validation.statistics.binomial import LEVEL, quantile_rank
from portinf.validation.statistics.quantile_sketch import RESOLUTION, Sketch
from portinf.validation.tally import Value
from portinf.validation.tolerance import Tolerance

__all__ = ["QUANTILES", "Quantiles", "distances"]

QUANTILES = (0.5, 0.9, 0.99, 0.999)
CHUNK = 32_768  # elements at a time: what is computed in between stays in the cache
SAMPLE = 16_384  # elements of each batch whose quantiles are taken; the largest is that of all
PART_SAMPLE = 4_096  # of a part of a file that is read in parts: there are many
FEWEST = 256  # rows that a sample has at least, where there are as many
KINDS = ("absolute", "relative", "ulp")
Floats = npt.NDArray[np.floating]


def distances(reference: Array, candidate: Array, atol: Floats | float) -> tuple[Floats, Floats, Floats]:
    """Return absolute, relative and ULP difference of each element, flat.

    A difference is 0 where both sides are the same, NaN included, and infinite where a NaN or an infinity is on one side
    only. The relative difference is ``|c - r| / max(|r|, atol)``; one ULP is the step from a number of the output's type to
    the next one, so that the ULP difference counts the numbers between the two (rounded to the width of the answer).

    Args:
        reference, candidate: floats of one type and shape.
        atol: as of the tolerance: for all elements, or one for each.
    """
    r, c = working(reference).ravel(), working(candidate).ravel()
    with np.errstate(all="ignore"):
        absolute = np.abs(c - r)
        size = np.maximum(np.abs(r), np.maximum(atol, np.finfo(r.dtype).tiny).astype(r.dtype))
        relative = absolute / size
    first, second = _order(reference.ravel()), _order(candidate.ravel())
    ulps = (np.maximum(first, second) - np.minimum(first, second)).astype(absolute.dtype)
    if not (np.isfinite(absolute.max()) and np.isfinite(relative.max())):
        same = (r == c) | (np.isnan(r) & np.isnan(c))
        odd = ~(np.isfinite(r) & np.isfinite(c))
        for values in (absolute, relative, ulps):
            values[odd] = np.where(same[odd], 0.0, np.inf)
    return absolute, relative, ulps


def _order(array: Array) -> npt.NDArray[np.unsignedinteger]:
    """Map floats to whole numbers of their width that rise with them by 1 per ULP; both zeros are one number."""
    width = array.dtype.itemsize
    unsigned, signed = np.dtype(f"u{width}"), np.dtype(f"i{width}")
    bits = np.ascontiguousarray(array).view(signed)
    sign = bits >> (8 * width - 1)  # 0 or -1
    bits = bits & np.iinfo(signed).max
    bits ^= sign
    bits -= sign
    return np.asarray(bits.view(unsigned) ^ unsigned.type(1 << (8 * width - 1)))


@dataclass(kw_only=True)
class _Output:
    """The sketches of one output; ``rows`` counts what may be taken as independent draws; both counts are of the sample."""

    wide: bool
    rows: int = 0
    elements: int = 0
    all_elements: int = 0
    sketches: tuple[Sketch, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Start with nothing seen."""
        self.sketches = tuple(Sketch(wide=self.wide) for _ in KINDS)

    def add(self, reference: Array, candidate: Array, atol: Floats | float, seed: int, requested: int = SAMPLE) -> None:
        """Add one pair of arrays: the largest of all elements, and all differences of a sample of the rows."""
        count = rows_of(reference)
        r, c = reference.reshape(count, -1), candidate.reshape(count, -1)
        step = max(1, min(-(-reference.size // requested), count // FEWEST))
        sampled = -(-count // step)
        self.rows += sampled
        self.elements += sampled * r.shape[1]
        self.all_elements += reference.size
        if np.array_equal(reference, candidate):
            for sketch in self.sketches:
                sketch.add_zeros(sampled * r.shape[1])
            return
        least = np.broadcast_to(np.asarray(atol, dtype=working(reference).dtype), reference.shape).reshape(count, -1)
        if step > 1:
            for parts in _chunks(r, c, least):
                for sketch, values in zip(self.sketches, distances(*parts), strict=True):
                    sketch.largest = max(sketch.largest, float(values.max()))
            chosen = _chosen(count, step, seed)
            r, c, least = r[chosen], c[chosen], least[chosen]
        for parts in _chunks(r, c, least):
            for sketch, values in zip(self.sketches, distances(*parts), strict=True):
                sketch.add(values)

    def merge(self, other: _Output) -> None:
        """Add all that another one has seen."""
        self.rows += other.rows
        self.elements += other.elements
        self.all_elements += other.all_elements
        for mine, theirs in zip(self.sketches, other.sketches, strict=True):
            mine.merge(theirs)


def _chunks(*arrays: Array) -> Iterator[list[Array]]:
    """Yield flat parts of arrays of one size."""
    flat = [array.ravel() for array in arrays]
    for start in range(0, flat[0].size, CHUNK):
        yield [array[start : start + CHUNK] for array in flat]


def _chosen(count: int, step: int, seed: int) -> npt.NDArray[np.intp]:
    """Draw one row of every ``step`` neighbours: no period in the rows can hide from it."""
    starts = np.arange(0, count, step)
    drawn = np.random.Generator(np.random.PCG64(seed)).integers(0, step, len(starts))
    return np.asarray(np.minimum(starts + drawn, count - 1))


class Quantiles(Judging):
    """`Check`: how the differences are distributed, over the given samples, else over the generated ones.

    Of a batch of more than 16,384 elements (4,096 of a part of a file) the quantiles are those of rows drawn evenly, one of
    every few neighbours; the draw depends on output, case and row alone. The largest differences are always those of all elements.

    Args:
        tolerance: its ``atol`` bounds the denominator of relative differences.
    """

    def __init__(self, tolerance: Tolerance) -> None:
        super().__init__(tolerance)
        self._seen: dict[tuple[str, str], _Output] = {}

    def update(self, expected: Arrays, found: Arrays, batch: Batch) -> None:
        """Add one batch."""
        for name, reference, candidate in float_pairs(expected, found):
            key = (batch.origin, name)
            output = self._seen.setdefault(key, _Output(wide=reference.dtype == np.float64))
            seed = zlib.crc32(f"{name}\n{case_of(batch)}\n{batch.first_row}".encode())
            output.add(
                reference,
                candidate,
                self._limits.of(name, reference, batch.inputs).absolute(reference.shape),
                seed,
                PART_SAMPLE if batch.stream else SAMPLE,
            )

    def merge(self, other: Quantiles) -> None:
        """Add all that another check has seen."""
        for key, theirs in other._seen.items():
            self._seen.setdefault(key, _Output(wide=theirs.wide)).merge(theirs)

    def results(self) -> Sequence[CheckResult]:
        """Return one finding per float output."""
        origins = [origin for origin, _ in self._seen]
        origin = "given" if "given" in origins else "generated"
        return [_result(name, output) for (its, name), output in self._seen.items() if its == origin]

    def figures(self) -> Sequence[Figure]:
        """Return nothing: the histogram of the output shows the same."""
        return ()


def _result(name: str, output: _Output) -> CheckResult:
    figures: dict[str, Value] = {
        "elements": output.all_elements,
        "sampled elements": output.elements,
        "sampled rows": output.rows,
    }
    exact = all(sketch.exact for sketch in output.sketches)
    figures["resolution"] = 0.0 if exact else RESOLUTION
    for kind, sketch in zip(KINDS, output.sketches, strict=True):
        for q in QUANTILES:
            figures[f"{kind} {q:.1%}"] = sketch.at_rank(max(1, math.ceil(q * output.elements)))
            upper = _upper(sketch, output, q)
            if upper is not None:
                figures[f"{kind} {q:.1%} at most"] = upper
        figures[f"{kind} largest"] = sketch.largest
    return CheckResult(name="quantiles", status="reported", output=name, text=_text(output, exact), figures=figures)


def _upper(sketch: Sketch, output: _Output, q: float) -> float | None:
    """Return the upper bound of a quantile; rows count as independent draws, the elements of one row as one."""
    rank = quantile_rank(output.rows, q)
    return None if rank is None else sketch.at_rank(math.ceil(rank / output.rows * output.elements))


def _text(output: _Output, exact: bool) -> str:
    absolute, relative, ulps = output.sketches
    if not absolute.largest and not ulps.largest:
        return f"no difference at all in {output.all_elements:,} elements"
    rank = math.ceil(0.99 * output.elements)
    upper = _upper(absolute, output, 0.99)
    sure = f" ({LEVEL:.0%} upper limit {upper:.2g})" if upper is not None else ""
    within = f"{absolute.at_rank(rank):.2g}{sure}, relative {relative.at_rank(rank):.2g}, {ulps.at_rank(rank):.3g} ULP"
    most = f"{absolute.largest:.2g}, relative {relative.largest:.2g}, {ulps.largest:.3g} ULP"
    return f"99 % within {within}; largest {most}" + ("" if exact else f"; in bins of {RESOLUTION:.0%}") + _sampled(output)


def _sampled(output: _Output) -> str:
    return "" if output.elements == output.all_elements else f" (quantiles of {output.elements:,} sampled elements)"
