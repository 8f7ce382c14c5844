"""Answers of two sides and of a float64 run -> how much of their difference rounding alone explains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from portinf.core.batch import Array, Arrays, Batch
from portinf.core.errors import CannotError, RunnerError, first_line
from portinf.core.signature import dtype_by_numpy
from portinf.runners.protocol import Float64Runner, Runner
from portinf.validation.check import CheckResult, Figure
from portinf.validation.limits import Judging
from portinf.validation.scale import Scale, Sizes
from portinf.validation.tolerance import Bound, Tolerance, judged_as, rounding

__all__ = ["FACTOR", "HEADROOM", "Precision", "across", "bounds_of", "distance", "largest"]

Floats = npt.NDArray[np.float64]

FACTOR = 16.0  # how much further from fp64 than the reference a candidate may be and still only round otherwise
HEADROOM = 32.0  # bound of a difference, in units of the reference's own distance from fp64
SMALL = 0.1  # elements below this share of the largest one count for atol, the others for rtol


@dataclass(kw_only=True)
class _Output:
    """Largest distances of one output over the cases so far."""

    reference: float = 0.0
    candidate: float = 0.0
    explained: float = 0.0
    ratio: float = 0.0
    case: str = ""


class Precision(Judging):
    """A check: measures both sides against a float64 run of the reference.

    Per case and column of an output, rounding explains a distance from float64 of ``FACTOR`` times the reference's own, where
    that is counted as at least one rounding of the column's largest element: on a few elements the reference may be right by
    luck.

    Args:
        truth: the reference in float64.
    """

    def __init__(self, truth: Float64Runner) -> None:
        super().__init__(Tolerance())
        self._truth = truth
        self._outputs: dict[str, _Output] = {}
        self._reason = ""

    def update(self, expected: Arrays, found: Arrays, batch: Batch) -> None:
        """Add the answers to one batch; what has no answer in float64 is left out, and why is kept."""
        if self._reason:
            return
        try:
            exact = self._truth.infer_double(batch.inputs)
        except CannotError as error:
            self._reason = first_line(error)
            return
        except RunnerError:
            return
        for name in expected:
            if name in found and name in exact and _comparable(expected[name], found[name], exact[name]):
                self._add(name, expected[name], found[name], exact[name], batch)

    def _add(self, name: str, expected: Array, found: Array, exact: Array, batch: Batch) -> None:
        axes = across(self._limits.scales.get(name), exact)
        ours, theirs = distance(expected, exact, axes), distance(found, exact, axes)
        eps = rounding(judged_as(str(expected.dtype), self._limits.kinds(name, batch.inputs)))
        explained = FACTOR * np.maximum(ours, eps * largest(exact, axes))
        with np.errstate(all="ignore"):
            ratios = np.where(theirs == 0, 0.0, theirs / explained)
        worst = np.unravel_index(int(ratios.argmax()), ratios.shape)
        output = self._outputs.setdefault(name, _Output())
        output.reference, output.candidate = (
            max(output.reference, float(ours.max())),
            max(output.candidate, float(theirs.max())),
        )
        if ratios[worst] >= output.ratio:
            output.ratio, output.explained, output.case = float(ratios[worst]), float(explained[worst]), batch.name

    def merge(self: Precision, other: Precision) -> None:
        """Add all that another check of the same reference has seen."""
        self._reason = self._reason or other._reason
        for name, theirs in other._outputs.items():
            mine = self._outputs.setdefault(name, _Output())
            worse = theirs if theirs.ratio > mine.ratio else mine
            self._outputs[name] = _Output(
                reference=max(mine.reference, theirs.reference),
                candidate=max(mine.candidate, theirs.candidate),
                explained=worse.explained,
                ratio=worse.ratio,
                case=worse.case,
            )

    def results(self) -> Sequence[CheckResult]:
        """Return one result per float output."""
        if self._reason:
            return [CheckResult(name="fp64", status="not applicable", text=self._reason)]
        if not self._outputs:
            return [CheckResult(name="fp64", status="not applicable", text="no float output has a float64 result")]
        return [_result(name, output) for name, output in self._outputs.items()]

    def figures(self) -> Sequence[Figure]:
        """Return nothing: the numbers stand in the results."""
        return ()


def _result(name: str, output: _Output) -> CheckResult:
    right = output.ratio <= 1.0
    verdict = "as rounding explains" if right else "more than rounding explains: something else differs"
    text = (
        f"from fp64 the reference is {output.reference:.2g}, the candidate {output.candidate:.2g}; rounding alone explains "
        f"{output.explained:.2g} ({output.case}): {verdict}"
    )
    figures: dict[str, float | int | bool | str] = {
        "reference": output.reference,
        "candidate": output.candidate,
        "explained": output.explained,
        "share": output.ratio,
    }
    return CheckResult(name="fp64", status="passed" if right else "failed", text=text, output=name, figures=figures)


@dataclass(kw_only=True)
class _Measured:
    """Largest distances of one output over the cases so far: relative of large elements, absolute of small ones by column."""

    axes: tuple[int, ...]
    lengths: tuple[int, ...]
    relative: float
    absolute: Floats
    whole: float


def bounds_of(reference: Runner, truth: Float64Runner, batches: Iterable[Batch]) -> dict[str, Bound]:
    """Derive the rule of each float output from the reference's own distance from float64.

    ``rtol`` is HEADROOM times the largest relative distance among elements of at least SMALL times the largest one of their
    column, the absolute part of a column HEADROOM times the largest distance among its others; each counts at least one rounding
    (of the largest element times SMALL for the absolute part).

    Args:
        reference: in its own precision.
        truth: the same in float64.
        batches: the cases.

    Raises:
        CannotError: it cannot be computed in float64.
    """
    sizes = Sizes(reference)
    known: dict[str, _Measured] = {}
    kinds: dict[str, str] = {}
    for batch in batches:
        try:
            plain, exact = reference.infer(batch.inputs), truth.infer_double(batch.inputs)
        except RunnerError:
            continue
        for name, array in plain.items():
            if name not in exact or not _comparable(array, array, exact[name]):
                continue
            kinds.setdefault(name, judged_as(str(array.dtype), {str(given.dtype) for given in batch.inputs.values()}))
            if name not in known:
                axes = sizes.axes(name, [array])
                lengths = tuple(array.shape[axis] for axis in axes)
                known[name] = _Measured(axes=axes, lengths=lengths, relative=0.0, absolute=np.zeros(lengths).ravel(), whole=0.0)
            _measure(known[name], array, exact[name], rounding(kinds[name]))
    if not known:
        raise CannotError("no float output has a float64 result, so no tolerance can be derived")
    return {name: _bound(measured, rounding(kinds[name])) for name, measured in known.items()}


def _measure(known: _Measured, plain: Array, exact: Array, eps: float) -> None:
    """Add one answer."""
    e, p = exact.astype(np.float64), plain.astype(np.float64)
    finite = np.isfinite(e) & np.isfinite(p)
    e, p = np.where(finite, e, 0.0), np.where(finite, p, 0.0)
    fits = all(axis < e.ndim for axis in known.axes) and tuple(e.shape[axis] for axis in known.axes) == known.lengths
    axes = tuple(axis for axis in range(e.ndim) if not fits or axis not in known.axes)
    top = largest(e, axes)
    gap, large = np.abs(p - e), np.abs(e) >= SMALL * top
    with np.errstate(all="ignore"):
        relative = np.where(large & (e != 0), gap / np.abs(e), 0.0)
    known.relative = max(known.relative, float(np.max(relative, initial=0.0)))
    absolute = np.maximum(np.max(np.where(large, 0.0, gap), axis=axes, initial=0.0), eps * SMALL * top.squeeze(axes))
    known.whole = max(known.whole, float(np.max(absolute)))
    if fits:
        known.absolute = np.maximum(known.absolute, np.asarray(absolute).ravel())


def _bound(measured: _Measured, eps: float) -> Bound:
    """Return the rule: the scale counts roundings of a number of size one."""
    scale = Scale(
        axes=measured.axes,
        lengths=measured.lengths,
        values=tuple(float(value) for value in measured.absolute / eps),
        whole=measured.whole / eps,
    )
    return Bound(rtol=HEADROOM * max(measured.relative, eps), atol=HEADROOM * eps, scale=scale)


def _comparable(*arrays: Array) -> bool:
    floats = all(array.dtype != object and dtype_by_numpy(str(array.dtype)).is_float for array in arrays)
    return floats and len({array.shape for array in arrays}) == 1 and bool(arrays[0].size)


def across(scale: Scale | None, array: Array) -> tuple[int, ...]:
    """Return the axes along which the elements of one column lie."""
    kept = scale.axes if scale is not None and scale.fits(array.shape) else ()
    return tuple(axis for axis in range(array.ndim) if axis not in kept)


def distance(array: Array, exact: Array, axes: tuple[int, ...]) -> Floats:
    """Return the largest distance of each column; infinite where a NaN or an infinity is on one side only."""
    a, e = array.astype(np.float64), exact.astype(np.float64)
    with np.errstate(all="ignore"):
        gap = np.where((a == e) | (np.isnan(a) & np.isnan(e)), 0.0, np.abs(a - e))
    return np.asarray(np.max(np.where(np.isnan(gap), np.inf, gap), axis=axes, keepdims=True))


def largest(exact: Array, axes: tuple[int, ...]) -> Floats:
    """Return the largest finite number of each column."""
    return np.asarray(np.max(np.where(np.isfinite(exact), np.abs(exact), 0.0), axis=axes, keepdims=True, initial=0.0))
