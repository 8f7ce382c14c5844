"""Answers of two sides and of a float64 run -> how much of their difference rounding alone explains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from portinf.errors import CannotError, RunnerError, first_line
from portinf.runners.protocol import Runner
from portinf.samples import Array, Arrays, Batch
from portinf.signature import dtype_by_numpy
from portinf.validation.checks import CheckResult, Figure
from portinf.validation.tolerance import rounding

__all__ = ["FACTOR", "HEADROOM", "Precision", "Truth", "bounds_of"]

FACTOR = 16.0  # how much further from fp64 than the reference a candidate may be and still only round otherwise
HEADROOM = 32.0  # bound of a difference, in units of the reference's own distance from fp64
SMALL = 0.1  # elements below this share of the largest one count for atol, the others for rtol


class Truth(Protocol):
    """Something that answers in float64."""

    def infer_double(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request in float64."""
        ...


@dataclass(kw_only=True)
class _Output:
    """Largest distances of one output over the cases so far."""

    reference: float = 0.0
    candidate: float = 0.0
    explained: float = 0.0
    ratio: float = 0.0
    case: str = ""


class Precision:
    """A check: measures both sides against a float64 run of the reference.

    Per case and output, rounding explains a distance from float64 of ``FACTOR`` times the reference's own, where that is
    counted as at least one rounding of the output's largest element: on a few elements the reference may be right by luck.

    Args:
        truth: the reference in float64.
    """

    def __init__(self, truth: Truth) -> None:
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
        ours, theirs = _distance(expected, exact), _distance(found, exact)
        kinds = [str(expected.dtype), *(str(array.dtype) for array in batch.inputs.values())]
        explained = FACTOR * max(ours, rounding(*kinds) * _largest(exact))
        ratio = theirs / explained if explained else float(np.inf if theirs else 0.0)
        output = self._outputs.setdefault(name, _Output())
        output.reference, output.candidate = max(output.reference, ours), max(output.candidate, theirs)
        if ratio >= output.ratio:
            output.ratio, output.explained, output.case = ratio, explained, batch.name

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
            return [
                CheckResult(name="fp64", status="not applicable", text="there is no float output with an answer in float64")
            ]
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


def bounds_of(reference: Runner, truth: Truth, batches: Iterable[Batch]) -> dict[str, tuple[float, float]]:
    """Derive (rtol, atol) of each float output from the reference's own distance from float64.

    ``rtol`` is HEADROOM times the largest relative distance among elements of at least SMALL times the largest one,
    ``atol`` HEADROOM times the largest distance among the others; each counts at least one rounding (of the largest element
    times SMALL for ``atol``).

    Args:
        reference: in its own precision.
        truth: the same in float64.
        batches: the cases.

    Raises:
        CannotError: it cannot be computed in float64.
    """
    bounds: dict[str, tuple[float, float]] = {}
    for batch in batches:
        try:
            plain, exact = reference.infer(batch.inputs), truth.infer_double(batch.inputs)
        except RunnerError:
            continue
        for name, array in plain.items():
            if name in exact and _comparable(array, array, exact[name]):
                found = _bounds(array, exact[name], rounding(str(array.dtype), *(str(a.dtype) for a in batch.inputs.values())))
                before = bounds.get(name, (0.0, 0.0))
                bounds[name] = max(before[0], found[0]), max(before[1], found[1])
    if not bounds:
        raise CannotError("no float output has an answer in float64: no tolerance can be derived")
    return bounds


def _bounds(plain: Array, exact: Array, eps: float) -> tuple[float, float]:
    e, p = exact.astype(np.float64).ravel(), plain.astype(np.float64).ravel()
    finite = np.isfinite(e) & np.isfinite(p)
    e, p = e[finite], p[finite]
    largest = float(np.max(np.abs(e), initial=0.0))
    apart, large = np.abs(p - e), np.abs(e) >= SMALL * largest
    with np.errstate(all="ignore"):
        relative = np.where(large & (e != 0), apart / np.abs(e), 0.0)
    rtol = max(float(np.max(relative, initial=0.0)), eps)
    atol = max(float(np.max(apart[~large], initial=0.0)), eps * SMALL * largest)
    return HEADROOM * rtol, HEADROOM * atol


def _comparable(*arrays: Array) -> bool:
    floats = all(array.dtype != object and dtype_by_numpy(str(array.dtype)).is_float for array in arrays)
    return floats and len({array.shape for array in arrays}) == 1 and bool(arrays[0].size)


def _distance(array: Array, exact: Array) -> float:
    a, e = array.astype(np.float64), exact.astype(np.float64)
    with np.errstate(all="ignore"):
        apart = np.where((a == e) | (np.isnan(a) & np.isnan(e)), 0.0, np.abs(a - e))
    return float(np.max(np.where(np.isnan(apart), np.inf, apart)))


def _largest(exact: Array) -> float:
    finite = exact[np.isfinite(exact)]
    return float(np.max(np.abs(finite), initial=0.0))
