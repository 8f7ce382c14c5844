"""Two answers to one probe -> where they differ by more than rounding explains, and how badly."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from portinf.core.batch import Array, Arrays
from portinf.core.errors import PortinfError, RunnerError
from portinf.core.signature import dtype_by_numpy
from portinf.probing.requests import Probe
from portinf.validation.tolerance import Tolerance

__all__ = ["Answerer", "Arbiter", "Difference", "Manner", "differences"]

Manner = Literal["not finite", "other", "finite", "discrete", "shape"]
GROSS = 1e-2  # relative difference that no later step makes good
DRAWS = 6  # answers to inputs that are rounded otherwise
FACTOR = 16.0  # how far beyond the spread of those a difference may lie and still be rounding
CLOSE = 1e-4  # relative difference of two scores that is a tie
SHARE = 0.05  # of whole numbers or flags that may differ because something lies on an edge


class Answerer(Protocol):
    """What answers a request."""

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Return outputs by name."""
        ...


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Where one output differs.

    Attributes:
        output: its name.
        manner: ``not finite`` (the source gives a number, the file none), ``other`` (another number), ``finite`` (the file gives a
            number, the source none), ``discrete`` (whole numbers, flags, texts), ``shape``.
        index: of the worst element.
        expected, found: the values there, as text.
        gross: neither rounding nor an edge explains it.
    """

    output: str
    manner: Manner
    index: tuple[int, ...] = ()
    expected: str = ""
    found: str = ""
    gross: bool = False


class Arbiter:
    """Results of both models for one probe with differently rounded inputs, computed when first needed.

    A difference that both sides show under a change of a few last digits is rounding: of a sum, on an edge, between ties.

    Args:
        source, file: the two sides.
        truth: what answers in float64; None where nothing does.
        probe: the request.
        eps: relative size of one rounding inside the model.
        zeros: size of the numbers of an input, by its name: its zeros are changed by roundings of it, which unties them.
    """

    def __init__(
        self, source: Answerer, file: Answerer, truth: Answerer | None, probe: Probe, eps: float, *, zeros: Mapping[str, float]
    ) -> None:
        self._sides, self._truth, self._probe, self._eps, self._zeros = (source, file), truth, probe, eps, zeros
        self._answers: list[tuple[Arrays, Arrays]] | None = None
        self._exact: Arrays | None = None

    def pairs(self, name: str, shape: tuple[int, ...]) -> list[tuple[Array, Array]]:
        """Return what source and file say of one output, one pair a draw; those of another shape are left out."""
        if self._answers is None:
            self._answers = [answer for answer in map(self._draw, range(DRAWS)) if answer is not None]
        found = [(s[name], f[name]) for s, f in self._answers if name in s and name in f]
        return [(s, f) for s, f in found if s.shape == f.shape == shape]

    def exact(self, name: str, shape: tuple[int, ...]) -> Array | None:
        """Return the output in float64, where that can be had."""
        if self._exact is None:
            try:
                self._exact = {} if self._truth is None else self._truth.infer(self._probe.inputs)
            except PortinfError:
                self._exact = {}
        array = self._exact.get(name)
        return array if array is not None and array.shape == shape else None

    def _draw(self, number: int) -> tuple[Arrays, Arrays] | None:
        rng = np.random.default_rng(number)
        inputs = {name: self._jittered(name, array, rng) for name, array in self._probe.inputs.items()}
        try:
            return self._sides[0].infer(inputs), self._sides[1].infer(inputs)
        except RunnerError:
            return None

    def _jittered(self, name: str, array: Array, rng: np.random.Generator) -> Array:
        if array.dtype == object or not dtype_by_numpy(str(array.dtype)).is_float or name not in self._probe.moved:
            return array
        steps = rng.integers(1, 4, array.shape) * rng.choice((-1, 1), array.shape)
        with np.errstate(all="ignore"):
            wide = array.astype(np.float64)
            untied = np.where(wide == 0, steps * self._eps * self._zeros.get(name, 0.0), wide * (1 + steps * self._eps))
            return np.asarray(untied).astype(array.dtype)


def differences(
    expected: Arrays, found: Arrays, probe: Probe, arbiter: Arbiter, tolerance: Tolerance, *, meant: Collection[str]
) -> list[Difference]:
    """Compare two answers.

    Args:
        expected: the source's.
        found: the file's.
        probe: the request.
        arbiter: of this request.
        tolerance: of the conversion; its absolute part grows with the numbers of a column.
        meant: outputs for which what is no number in this request is part of the model's domain: whatever is made of it counts.
    """
    kinds = [str(array.dtype) for array in probe.inputs.values()]
    result: list[Difference] = []
    for name in (name for name in expected if name in found):
        e, f = expected[name], found[name]
        if e.shape != f.shape:
            result += _shapes(name, e, f, probe, arbiter)
        elif e.dtype != object and dtype_by_numpy(str(e.dtype)).is_float:
            pair = _Floats(name=name, e=e, f=f, probe=probe, arbiter=arbiter, meant=name in meant)
            bound = tolerance.for_output(name, str(e.dtype), kinds)
            result += pair.differences(bound.rtol, bound.atol)
        else:
            result += _discrete(name, expected, f, probe, arbiter, name in meant)
    return result


def _shapes(name: str, e: Array, f: Array, probe: Probe, arbiter: Arbiter) -> list[Difference]:
    """Report another shape, unless the shape of one side hangs on the last digits of the inputs."""
    gross = probe.kind == "integer" and probe.ordinary
    if not gross and len(arbiter.pairs(name, e.shape)) < DRAWS and probe.kind == "far":
        return []
    return [Difference(output=name, manner="shape", expected=str(list(e.shape)), found=str(list(f.shape)), gross=gross)]


def _discrete(name: str, expected: Arrays, f: Array, probe: Probe, arbiter: Arbiter, meant: bool) -> list[Difference]:
    """Compare whole numbers, flags or texts; what hangs on the last digits of the inputs, or on a tie of the source's, is right."""
    e = expected[name]
    wrong = np.asarray(e != f)
    if not wrong.any() or probe.kind == "huge" or (probe.kind == "infinite" and not meant):
        return []
    if probe.kind == "far":
        for source, file in arbiter.pairs(name, e.shape):
            wrong = wrong & (source == e) & (file == f)
        wrong = wrong & ~_tied(expected, e.shape)
    if not wrong.any():
        return []
    gross = probe.ordinary and (probe.kind == "integer" or (probe.kind == "far" and float(wrong.mean()) > SHARE))
    return [_difference(name, "discrete", e, f, wrong, gross or meant)]


def _tied(expected: Arrays, shape: tuple[int, ...]) -> Array:
    """Mark rows in which the source's own scores, one a class, have two that are the largest: either may be taken."""
    tied = np.zeros(shape, bool)
    for scores in expected.values():
        if scores.ndim == 2 and scores.dtype.kind == "f" and shape and scores.shape[0] == shape[0] and scores.shape[1] > 1:
            top = np.sort(np.nan_to_num(scores.astype(np.float64)), axis=1)
            close = top[:, -1] - top[:, -2] <= CLOSE * np.abs(top[:, -1])
            tied |= close.reshape(-1, *(1,) * (len(shape) - 1))
    return tied


class _Floats:
    """Two answers of one float output.

    Args:
        name: of the output.
        e, f: the source's and the file's.
        probe: the request.
        arbiter: of it.
        meant: what is no number in this request is part of the model's domain.
    """

    def __init__(self, *, name: str, e: Array, f: Array, probe: Probe, arbiter: Arbiter, meant: bool) -> None:
        self._name, self._e, self._f, self._probe, self._arbiter = name, e, f, probe, arbiter
        self._wide, self._other = e.astype(np.float64), f.astype(np.float64)
        self._number = np.isfinite(self._wide) & (np.abs(self._wide) < _largest(str(e.dtype)) / 10)
        self._counts = (probe.ordinary or meant) and probe.kind != "tie"

    def differences(self, rtol: float, atol: float) -> list[Difference]:
        """Return at most one of each manner."""
        with np.errstate(all="ignore"):
            found = [self._lost()]
            if self._probe.kind != "huge":
                found += [self._apart(rtol, atol), self._made_up()]
        return [one for one in found if one is not None]

    def _lost(self) -> Difference | None:
        """The source gives a number, the file none."""
        lost = self._number & ~np.isfinite(self._other)
        if not lost.any():
            return None
        firm = lost if self._probe.kind in ("nan", "infinite") else lost & ~self._on_edge()
        gross = self._counts and bool(firm.any()) and not (self._probe.ordinary and self._source_is_off(firm))
        return self._report("not finite", firm if firm.any() else lost, gross)

    def _apart(self, rtol: float, atol: float) -> Difference | None:
        """Both give numbers, and rounding does not explain their difference."""
        wide, gap = self._wide, np.abs(self._other - self._wide)
        scale = _by_column(np.where(np.isfinite(wide), np.abs(wide), 0.0))
        wrong = self._number & np.isfinite(self._other) & (gap > rtol * np.abs(wide) + atol * np.maximum(1.0, scale))
        if wrong.any() and self._probe.kind != "tie":
            wrong &= gap > FACTOR * self._spread()
        if not wrong.any():
            return None
        coarse = wrong & (gap > GROSS * np.maximum(np.abs(wide), np.abs(self._other)))
        return self._report("other", coarse if coarse.any() else wrong, self._counts and bool(coarse.any()))

    def _made_up(self) -> Difference | None:
        """The file gives a number, the source none."""
        if self._probe.kind == "nan":
            made_up = np.isnan(self._wide) & np.isfinite(self._other)
        elif self._probe.ordinary:
            made_up = ~np.isfinite(self._wide) & (np.abs(self._other) < 1e30)
            made_up = made_up & ~self._on_edge() if made_up.any() else made_up
        else:
            return None
        return self._report("finite", made_up, False) if made_up.any() else None

    def _report(self, manner: Manner, where: Array, gross: bool) -> Difference:
        return _difference(self._name, manner, self._e, self._f, where, gross)

    def _on_edge(self) -> Array:
        """Mark columns in which a change of a few last digits makes the source lose a number, or find one."""
        edge = np.zeros(self._wide.shape, bool)
        for source, _ in self._arbiter.pairs(self._name, self._wide.shape):
            edge |= np.isfinite(source.astype(np.float64)) != np.isfinite(self._wide)
        return _by_column(edge)

    def _source_is_off(self, where: Array) -> bool:
        """Whether the source itself is far from its own answer in float64 at these elements."""
        exact = self._arbiter.exact(self._name, self._wide.shape)
        return exact is not None and not np.any(np.abs(exact - self._wide)[where] <= 0.1 * np.abs(exact[where]) + 1e-30)

    def _spread(self) -> Array:
        """Return how far rounding moves the answers, the largest of each column; and the source's distance from float64."""
        pairs = self._arbiter.pairs(self._name, self._wide.shape)
        moved = [(self._wide, source) for source, _ in pairs] + [(self._other, file) for _, file in pairs]
        exact = self._arbiter.exact(self._name, self._wide.shape)
        spread = np.zeros(self._wide.shape)
        for answer, other in moved if exact is None else [*moved, (self._wide, exact)]:
            gap = np.abs(other.astype(np.float64) - answer)
            spread = np.maximum(spread, np.where(np.isfinite(gap), gap, 0.0))
        return _by_column(spread)


def _by_column(array: Array) -> Array:
    """Return the largest number of each entry of the last axis; of all where there is one axis or none."""
    if not array.size:
        return array
    axes = tuple(range(array.ndim - 1)) if array.ndim > 1 else None
    return np.asarray(np.broadcast_to(array.max(axis=axes, keepdims=True), array.shape))


def _largest(dtype: str) -> float:
    return 3e38 if dtype == "bfloat16" else float(np.finfo(dtype).max)


def _difference(name: str, manner: Manner, e: Array, f: Array, where: Array, gross: bool) -> Difference:
    with np.errstate(all="ignore"):
        if manner == "other":
            size = np.where(where, np.abs(f.astype(np.float64) - e.astype(np.float64)), -1.0)
            flat = int(size.argmax())
        else:
            flat = int(where.ravel().argmax())
    index = tuple(int(k) for k in np.unravel_index(flat, e.shape))
    return Difference(output=name, manner=manner, index=index, expected=_shown(e, flat), found=_shown(f, flat), gross=gross)


def _shown(array: Array, flat: int) -> str:
    element = array.ravel()[flat]
    if array.dtype == object or array.dtype.kind in "iub":
        return str(element)
    return format(float(element), ".6g")
