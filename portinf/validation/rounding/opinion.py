"""Numbers out of the default tolerance -> whether only rounding makes them differ: a second opinion, in float64."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from portinf.core.batch import Array, Arrays, Batch
from portinf.core.errors import PortinfError
from portinf.core.signature import dtype_by_numpy
from portinf.runners.float64 import Float64
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.runners.protocol import Runner, file_of
from portinf.validation.batched import why_not_batched
from portinf.validation.check import CheckResult
from portinf.validation.checks.float64_distance import FACTOR
from portinf.validation.differences import out_of
from portinf.validation.domain import rows_of
from portinf.validation.limits import Limits
from portinf.validation.padding import undefined_places
from portinf.validation.results import Comparison
from portinf.validation.rounding.nudging import Nudged
from portinf.validation.rounding.own import OwnRounding
from portinf.validation.tolerance import Bound, judged_as, rounding

__all__ = ["ROUNDING", "Heard", "Opinion", "rounding_notes"]

ROUNDING = "rounding"  # how its results are called
ENOUGH = 3  # wrong cases
ELEMENTS = 4_000_000  # of the inputs on which the reference is measured
PARTS = 16  # in which the rows that are out of tolerance are looked at: each in float64 only as far as it must be
SECONDS = 60.0  # that the second opinion may take beside as many as the rest of the comparison takes
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(kw_only=True)
class _Excused:
    """Elements of one output that were out of tolerance and are right, by the reason."""

    near: int = 0
    computed: int = 0
    gap: float = 0.0
    own: float = 0.0
    ties: int = 0
    case: str = ""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a second opinion says of one case.

    Attributes:
        right: outputs that were out of tolerance, and are right.
        undefined: by output, the elements that are not to be compared.
        why: why there is no result; empty where the case was examined.
    """

    right: Collection[str] = ()
    undefined: Mapping[str, Bools] = field(default_factory=dict)
    why: str = ""


class _OutOfTimeError(Exception):
    """The second opinion has taken what it may."""


class Opinion:
    """Looks at the elements of one comparison that are out of the default tolerance.

    Such an element of a float output is right if both sides are the same function there, each in its best precision (float64
    where it can be computed), by the very rule that it failed, and if the candidate's own rounding is harmless: it is in the
    tolerance of numbers of size one, or no further from float64 than ``FACTOR`` times the reference itself, which counts as at
    least one rounding of the column's largest number. Where the candidate cannot be computed in float64 (a live model), it
    must be no further from float64 than that factor times the reference's usual distance in the column (or that of the element,
    if larger), and in that tolerance as well, unless the answers were recorded from the file that is served. Where the
    reference cannot, both must be roundings of the candidate's function, and within the tolerance of numbers of size one. Where
    neither side can, one file on both of them (or its recorded answers, and a live model) is taken for the same function.

    Labels, flags and other whole numbers are right where one of the sides gives the other's value once the last digits of its
    weights are changed: see `portinf.validation.rounding.nudging`; and in generated rows that are all padding, where the
    reference's answer depends on what the padding holds: see `portinf.validation.padding`.

    A large model takes several times as long in float64. So where rows can be given alone, those with such elements are, and the
    batch only where that does not settle it; the candidate is computed only where it is not in tolerance of the reference in
    float64; the reference is measured on other batches only where that may decide. After a few cases that are wrong, or when the
    time is spent, nothing more is looked at: what is out of tolerance stays wrong.

    Args:
        float64: opens the sides.
        reference: a runner, or the ONNX file that gave recorded outputs; None where there is none.
        candidate: what is judged.
        limits: the rules of the comparison.
        allow_nan: NaN at the same place on both sides is right.
        known: batches with the reference's answers, on which it is measured against itself in float64.
    """

    def __init__(
        self,
        *,
        float64: Float64,
        reference: Runner | Path | None,
        candidate: Runner,
        limits: Limits,
        allow_nan: bool,
        known: Sequence[tuple[Batch, Arrays]],
    ) -> None:
        self._float64, self._sides = float64, {"reference": reference, "candidate": candidate}
        self._limits, self._allow_nan, self._known = limits, allow_nan, known
        paths = [file_of(side) for side in (reference, candidate)]
        self._has_file = paths[1] is not None
        self._one_file = paths[0] is not None and (paths[0] == paths[1] or (reference is paths[0] and paths[1] is None))
        self._nudged = Nudged(reference, candidate)
        self._own: dict[str, OwnRounding] | None = None
        self._excused: dict[str, _Excused] = {}
        self._wrong = 0
        self._began, self._spent = time.monotonic(), 0.0
        self._last: tuple[Batch | None, dict[str, Arrays]] = (None, {})

    def heard(self, bad: Sequence[str], batch: Batch, expected: Arrays, found: Arrays) -> Heard:
        """Look at the outputs of one case that are out of tolerance: either all of them are right after all, or none is said to be."""
        if self._wrong >= ENOUGH or any(not _comparable(expected.get(name), found.get(name)) for name in bad):
            return Heard()
        try:
            alone = self._right_alone(bad, batch, expected, found)
            return Heard(right=set(bad)) if alone else self._whole(bad, batch, expected, found)
        except _OutOfTimeError:
            return Heard(why=f"whether that is rounding alone was not looked at: float64 took {self._spent:.0f} s already")

    def _right_alone(self, bad: Sequence[str], batch: Batch, expected: Arrays, found: Arrays) -> bool:
        """Whether the rows that are out of tolerance, given alone, get the same answers, and float64 of both sides says right."""
        reference = self._sides["reference"]
        if not self._has_file or reference is None or isinstance(reference, Path) or why_not_batched(reference.signature):
            return False
        arrays = [*batch.inputs.values(), *(answer[name] for answer in (expected, found) for name in bad)]
        if any(array.shape[:1] != (batch.rows,) for array in arrays):
            return False
        out = {name: self._out(name, batch, expected[name], found[name]) for name in bad}
        wrong = np.any([mask.reshape(batch.rows, -1).any(axis=1) for mask in out.values()], axis=0)
        if wrong.all():
            return False
        excused = []
        for rows in np.array_split(np.flatnonzero(wrong), min(PARTS, int(wrong.sum()))):
            part = replace(batch, inputs=rows_of(batch.inputs, rows))
            ours, theirs, places = (rows_of({name: arrays[name] for name in bad}, rows) for arrays in (expected, found, out))
            sides = ((reference, ours), (self._sides["candidate"], theirs))
            if not all(self._same_alone(side, part, answer, places) for side, answer in sides):
                return False
            for name in bad:
                excused.append((name, _Excused(case=batch.name)))
                if self._look(name, part, ours[name], theirs[name], excused[-1][1], expected[name]).any():
                    return False
        for name, one in excused:
            self._add(name, one)
        return True

    def _same_alone(self, side: Any, part: Batch, answer: Arrays, places: Mapping[str, Bools]) -> bool:
        """Whether a side gives rows alone the answers that it gave them in a batch, at some places."""
        try:
            alone = side.infer(part.inputs)
        except PortinfError:
            return False
        return all(
            _comparable(array, alone.get(name)) and not (self._out(name, part, array, alone[name]) & places[name]).any()
            for name, array in answer.items()
        )

    def _out(self, name: str, batch: Batch, reference: Array, candidate: Array) -> Bools:
        bound = self._limits.of(name, reference, batch.inputs)
        return out_of(reference, candidate, bound.rtol, bound.absolute(reference.shape), allow_nan=self._allow_nan)

    def _whole(self, bad: Sequence[str], batch: Batch, expected: Arrays, found: Arrays) -> Heard:
        excused: dict[str, _Excused] = {}
        undefined: dict[str, Bools] = {}
        for name in bad:
            excused[name] = _Excused(case=batch.name)
            left = self._look(name, batch, expected[name], found[name], excused[name], expected[name])
            if left.any() and batch.origin == "generated":
                bound = self._limits.of(name, expected[name], batch.inputs)
                samples = [known for known, _ in self._known]
                undefined[name] = undefined_places(self._sides["reference"], batch, name, expected[name], bound, samples)
                left &= ~undefined[name]
            if left.any():
                self._wrong += 1
                return Heard()
        if not undefined:  # else the case is heard again, without them
            for name, one in excused.items():
                self._add(name, one)
        return Heard(right=set(bad), undefined=undefined)

    def _look(self, name: str, batch: Batch, reference: Array, candidate: Array, excused: _Excused, whole: Array) -> Bools:
        """Return the elements of an output that stay wrong; the others are recorded in ``excused``.

        ``whole`` is the reference's answer in all rows, where the rest is about some of them.
        """
        bound = self._limits.of(name, reference, batch.inputs)
        left = self._out(name, batch, reference, candidate)
        if bound.scale is not None and name not in self._limits.tolerance.outputs:  # else it is the user's own, or exact
            left &= ~self._rounded(name, batch, reference, candidate, bound, left, excused, part=whole is not reference)
        tolerance = self._limits.tolerance
        if left.any() and _discrete(whole) and not tolerance.rtol == tolerance.atol == 0:
            with self._timed():
                ties = self._nudged.explain(name, batch, reference, candidate, bound, left)
            excused.ties = int(ties.sum())
            left &= ~ties
        return left

    def _rounded(
        self,
        name: str,
        batch: Batch,
        reference: Array,
        candidate: Array,
        bound: Bound,
        left: Bools,
        excused: _Excused,
        *,
        part: bool,
    ) -> Bools:
        """Say which elements differ by rounding alone; the measured values go to ``excused``.

        Where a side is not known in float64, what is usual in a column decides, which some rows (``part``) do not tell.
        """
        ours = self._exact("reference", name, batch, reference.shape)
        r, c = reference.astype(np.float64), candidate.astype(np.float64)
        fresh = self._fresh(batch, {name: r}).get(name, r)
        fresh = fresh if fresh.shape == r.shape else r
        near = np.zeros(left.shape, dtype=np.bool_)
        with np.errstate(all="ignore"):
            finite = np.isfinite(c) & np.isfinite(r) & left
            plain = _within(r, c, bound.rtol, np.maximum(bound.absolute(r.shape), bound.atol))
            if ours is not None and self._has_file:  # else nothing says that recorded answers are of this reference
                near = finite & plain & _within(ours, c, bound.rtol, bound.absolute(r.shape))
                excused.near = int(near.sum())
                excused.own = float(np.abs(fresh - ours)[near].max(initial=0.0))
            if not (finite & ~near).any():
                return near
            theirs = self._exact("candidate", name, batch, reference.shape)
            known = [side for side in (ours, theirs) if side is not None]
            if len(known) < 2 and (part or not (known or self._one_file)):
                return near
            exact = r if ours is None else ours
            eps = rounding(judged_as(str(reference.dtype), self._limits.kinds(name, batch.inputs)))
            alone = theirs is None and ours is not None  # nothing says that both sides are one function
            same = finite & self._one_function(exact, c, ours, theirs, bound, eps)
            right = near | (same & plain & (not alone))
            if alone and not self._one_file:
                same &= plain  # no excuse beyond the plain tolerance where the sides may be two functions
            own = OwnRounding.of(fresh, exact, bound.scale)
            for more in (False, True) if self._limits.tolerance.rtol is None else ():  # else what the user said is meant
                if not (same & ~right).any():
                    break
                own = self._measured(own, name) if more else own
                usual = np.maximum(own.usual, np.abs(fresh - exact)) if alone else own.most
                most = FACTOR * np.maximum(usual, eps * own.top)
                if alone and r.min() >= 0 and r.max() <= 1:
                    most = np.maximum(most, 2 * eps)  # a sigmoid is right to a rounding of 1, not of its value
                # recorded answers may be another model's
                right |= same & (np.abs(c - exact) <= most) & (np.abs(r - exact) <= most)
        computed = right & ~near
        if computed.any():
            excused.computed = int(computed.sum())
            excused.gap = 0.0 if theirs is None else float(np.abs(theirs - exact)[computed].max())
            excused.own = max(excused.own, float(np.max(own.most)))
        return np.asarray(right)

    def _one_function(
        self, exact: Floats, c: Floats, ours: Floats | None, theirs: Floats | None, bound: Bound, eps: float
    ) -> Bools:
        """Say where both sides are one function; where the candidate's alone is known, the reference may be a rounding of it."""
        if theirs is None:
            return np.ones(exact.shape, dtype=np.bool_)
        same = _within(exact, theirs, bound.rtol, bound.absolute(exact.shape))
        if ours is not None:
            return same
        rounds = OwnRounding.of(c, theirs, bound.scale)
        near = np.maximum(np.maximum(rounds.usual, np.abs(c - theirs)), eps * rounds.top)
        return same | (np.abs(theirs - exact) <= FACTOR * near)

    def _fresh(self, batch: Batch, answer: Arrays) -> Arrays:
        """Return the reference's answer; that of its file, where the answer was recorded."""
        side = self._sides["reference"]
        if not isinstance(side, Path):
            return answer
        try:
            with OnnxRuntimeRunner(side, level="none") as runner:
                return runner.infer(batch.inputs)
        except PortinfError:
            return answer

    def _exact(self, side: str, name: str, batch: Batch, shape: tuple[int, ...]) -> Floats | None:
        """Return an output of one side in float64; None where there is none."""
        if self._last[0] is not batch:
            self._last = batch, {}
        answers = self._last[1]
        if side not in answers:
            answers[side] = self._double(side, batch)
        return _shaped(answers[side].get(name), shape)

    def _double(self, side: str, batch: Batch) -> Arrays:
        with self._timed():
            try:
                return self._float64.of(self._sides[side]).infer_double(batch.inputs)
            except PortinfError:
                return {}

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Count the time of a step, which is not begun once the time is spent."""
        start = time.monotonic()
        if self._spent > SECONDS + (start - self._began - self._spent):
            raise _OutOfTimeError
        try:
            yield
        finally:
            self._spent += time.monotonic() - start

    def _measured(self, own: OwnRounding, name: str) -> OwnRounding:
        """Add to how far the reference is from its own float64 what it is on all that is known."""
        if self._own is None:
            self._own = {}
            elements = 0
            for batch, answer in self._known:
                elements += sum(array.size for array in batch.inputs.values())
                if elements > ELEMENTS:
                    break
                exact = self._double("reference", batch)
                for key, array in self._fresh(batch, answer).items():
                    double = _shaped(exact.get(key), array.shape) if _is_float(array) else None
                    if double is not None and array.size:
                        rule = self._limits.of(key, array, batch.inputs)
                        self._own[key] = OwnRounding.of(array, double, rule.scale).plus(self._own.get(key))
        return own.plus(self._own.get(name))

    def _add(self, name: str, more: _Excused) -> None:
        known = self._excused.setdefault(name, _Excused(case=more.case))
        known.near += more.near
        known.computed += more.computed
        known.ties += more.ties
        known.gap, known.own = max(known.gap, more.gap), max(known.own, more.own)

    def results(self) -> list[CheckResult]:
        """Say of each output what is out of the tolerance and right."""
        return [_result(name, excused) for name, excused in self._excused.items()]


def rounding_notes(comparison: Comparison) -> list[str]:
    """Return what a comparison's second opinion found, a line for each output."""
    return [f"output '{check.output}': {check.text}" for check in comparison.checks if check.name == ROUNDING]


def _result(name: str, excused: _Excused) -> CheckResult:
    parts = []
    if excused.near:
        parts.append(
            f"{excused.near:,} elements exceed the tolerance by rounding only: there the candidate is within tolerance of the "
            f"reference in float64, which is up to {excused.own:.2g} from the reference itself"
        )
    if excused.computed:
        parts.append(
            f"{excused.computed:,} elements exceed the tolerance by rounding only: in float64 the models differ by at most "
            f"{excused.gap:.2g} there; the reference is up to {excused.own:.2g} from its own float64"
        )
    if excused.ties:
        parts.append(f"{excused.ties:,} elements differ where the last digits of the weights decide")
    figures: dict[str, float | int | bool | str] = {
        "by rounding": excused.near + excused.computed,
        "difference in float64": excused.gap,
        "reference from float64": excused.own,
        "decided by the last digits": excused.ties,
    }
    text = f"{'; '.join(parts)} (first: {excused.case})"
    return CheckResult(name=ROUNDING, status="passed", output=name, text=text, figures=figures)


def _within(reference: Floats, candidate: Floats, rtol: float, atol: Floats | float) -> Bools:
    return np.asarray(np.abs(candidate - reference) <= rtol * np.abs(reference) + atol)


def _shaped(array: Array | None, shape: tuple[int, ...]) -> Floats | None:
    return array.astype(np.float64) if array is not None and array.shape == shape else None


def _comparable(reference: Array | None, candidate: Array | None) -> bool:
    known = reference is not None and candidate is not None and bool(reference.size)
    return known and reference.shape == candidate.shape and reference.dtype == candidate.dtype  # type: ignore[union-attr]


def _discrete(array: Array) -> bool:
    """Whether an output holds labels, counts or flags: no float, or whole numbers alone."""
    return not _is_float(array) or bool((array == np.rint(array)).all())


def _is_float(array: Array) -> bool:
    return dtype_by_numpy(str(array.dtype)).is_float
