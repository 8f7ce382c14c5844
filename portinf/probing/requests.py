"""A request that both sides answer alike -> requests outside the samples' range: far out, tiny, constant, NaN, other whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from portinf.core.batch import Array, Arrays
from portinf.core.signature import Signature, TensorSpec, dtype_by_numpy

__all__ = [
    "ORDINARY",
    "SMALL_REQUEST",
    "Kind",
    "Probe",
    "Space",
    "far_probes",
    "general_probes",
    "infinite_probes",
    "integer_probes",
    "nan_probes",
]

Kind = Literal["far", "tie", "huge", "nan", "infinite", "integer"]

ORDINARY = 1e4  # up to this, or to a hundred times the largest sample, a number is an ordinary input of a model
MULTIPLE = 100.0
UP = (10.0, 100.0, 1e3, 1e4)
BEYOND = (1e6, 1e8)  # tried where nothing nearer reaches a danger
DOWN = (1e-2, 1e-5, 1e-8, 1e-20)
NEARLY = 1e-5  # relative distance of numbers that are nearly equal
HUGE = 1e20
COLUMNS = 8  # columns of an input of whole numbers that are tried singly
WIDE = 2**24 + 1  # whole numbers from here on are not all floats of 32 bits
SMALL_REQUEST = 100_000  # elements up to which a request costs little


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One request.

    Attributes:
        inputs: arrays by name.
        moved: names of the inputs that differ from the base.
        kind: what was done to them; ``tie``: equal or half numbers, where two right answers may differ by order or rounding.
        way: the pattern, as far as it matters whether a danger was reached by it.
        ordinary: all numbers are finite, and of ordinary size.
    """

    inputs: Arrays
    moved: tuple[str, ...]
    kind: Kind
    way: str = ""
    ordinary: bool = True


@dataclass(frozen=True, kw_only=True)
class Space:
    """Where probes may go.

    Attributes:
        signature: types and roles; inputs that are no plain values stay as they are.
        base: a request that both sides answer alike.
        samples: the user's; empty for none.
        ranges: lowest and highest number by input, as the user said.
        sized: inputs whose numbers become lengths inside: they stay small.
        loops: the model repeats something until its numbers say that it is done.
        half: the model computes in half precision inside, whose numbers end early.
        costly: one answer takes long: fewer requests are made.
    """

    signature: Signature
    base: Arrays
    samples: Sequence[Mapping[str, Array]] = ()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    sized: frozenset[str] = frozenset()
    loops: bool = False
    half: bool = False
    costly: bool = False

    @property
    def floats(self) -> list[str]:
        """Inputs of plain float values."""
        return [spec.name for spec in self._values() if dtype_by_numpy(spec.dtype).is_float]

    @property
    def integers(self) -> list[str]:
        """Inputs of plain whole numbers."""
        return [spec.name for spec in self._values() if dtype_by_numpy(spec.dtype).is_integer]

    def _values(self) -> Iterator[TensorSpec]:
        for spec in self.signature.inputs:
            if spec.role.kind == "value" and spec.name in self.base and self.base[spec.name].size:
                yield spec

    def seen(self, name: str) -> tuple[float, float]:
        """Return the least and largest finite number of an input among the samples, else in the base."""
        arrays = [sample[name] for sample in self.samples if name in sample and sample[name].size] or [self.base[name]]
        finite = np.concatenate([array[np.isfinite(array)].astype(np.float64).ravel() for array in arrays])
        return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)

    def size(self, name: str) -> float:
        """Return the largest absolute value seen; 1 where there are only zeros."""
        return max(map(abs, self.seen(name))) or 1.0

    def ordinary(self, name: str) -> float:
        """Return the largest absolute value that counts as ordinary."""
        if self.half:
            return min(ORDINARY, 10 * self.size(name))
        return max(ORDINARY, MULTIPLE * self.size(name))

    def free(self, name: str) -> bool:
        """Whether the user set no bounds for an input."""
        return name not in self.ranges

    def probe(self, changed: Mapping[str, Array], kind: Kind, way: str = "") -> Probe | None:
        """Return a request with some inputs changed, inside their bounds; None where nothing is left of the change."""
        kept: Arrays = {}
        ordinary = kind not in ("huge", "nan", "infinite")
        for name, array in changed.items():
            bounded = self._bounded(name, array)
            if bounded is None or np.array_equal(bounded, self.base[name], equal_nan=bounded.dtype.kind == "f"):
                continue
            kept[name] = bounded
            with np.errstate(invalid="ignore"):
                ordinary = ordinary and bool(np.nanmax(np.abs(bounded.astype(np.float64))) <= self.ordinary(name))
        if not kept:
            return None
        return Probe(inputs={**self.base, **kept}, moved=tuple(kept), kind=kind, way=way, ordinary=ordinary)

    def _bounded(self, name: str, array: Array) -> Array | None:
        """Return numbers inside the input's type and the user's range; None where they would not be the ones that were meant."""
        base = self.base[name]
        wide = array.astype(np.float64) if base.dtype.kind not in "iu" else array
        if not self.free(name):
            low, high = self.ranges[name]
            if not np.isfinite(wide).all():
                return None
            wide = np.clip(wide, low, high)
        if base.dtype.kind in "iu":
            limits = np.iinfo(base.dtype)
            return None if np.any((wide < limits.min) | (wide > limits.max)) else np.asarray(wide).astype(base.dtype)
        with np.errstate(over="ignore"):
            cast = np.asarray(wide).astype(base.dtype)
        return None if np.any(np.isfinite(wide) & ~np.isfinite(cast.astype(np.float64))) else cast


def _made(
    space: Space, names: Sequence[str], kind: Kind, change: Callable[[str, Array], Array], way: str = ""
) -> Iterator[Probe]:
    changed = {name: np.asarray(change(name, space.base[name])) for name in names}
    probe = space.probe(changed, kind, way) if names else None
    if probe is not None:
        yield probe


def _blocks(array: Array) -> Array:
    """Mark in each row (all axes but the last one) other columns: row i has those whose number is i modulo the rows."""
    width = array.shape[-1] if array.ndim > 1 else 1
    rows = array.size // width
    return np.reshape(np.arange(width)[None, :] % rows == (np.arange(rows) % width)[:, None] % rows, array.shape)


def _to(size: float, sign: float | None) -> Callable[[str, Array], Array]:
    """Scale so that the largest number has this size; with a sign for all of them where one is given. Zeros (padding) stay."""

    def change(_: str, array: Array) -> Array:
        wide = array.astype(np.float64)
        largest = float(np.nanmax(np.abs(np.where(np.isfinite(wide), wide, 0.0)))) or 1.0
        scaled = wide / largest * size
        return scaled if sign is None else sign * np.abs(scaled)

    return change


def _sizes(space: Space, names: Sequence[str]) -> list[float]:
    """Return the steps upwards: powers of ten above what was seen, then ten and a hundred times that; all ordinary."""
    seen = max(space.size(name) for name in names)
    end = max(space.ordinary(name) for name in names)
    steps = {size for size in UP if size > 2 * seen} | {10 * seen, 100 * seen}
    return sorted(size for size in steps if size <= end)


def general_probes(space: Space) -> list[Probe]:
    """Return the few that are tried whatever the graph is: branches and bounds that the samples never reached leave no trace in it."""
    names = _names(space)
    if not names:
        return []
    far = [10 * max(space.size(name) for name in names), max(space.ordinary(name) for name in names)]
    if _few(space):
        return list(_made(space, names, "far", _to(far[0], None), "up"))
    sizes = far[:1] if space.half else far
    return [probe for size in sizes for sign in (None, -1.0) for probe in _made(space, names, "far", _to(size, sign), "up")]


def _names(space: Space) -> list[str]:
    return [name for name in space.floats if name not in space.sized]


def _few(space: Space) -> bool:
    return space.costly or sum(array.size for array in space.base.values()) > SMALL_REQUEST


def far_probes(space: Space) -> Iterator[Probe]:
    """Yield steps up and down, from the samples outwards: as the sample, all positive, all negative; then single inputs and columns."""
    names = _names(space)
    if not names:
        return
    few = _few(space)
    ups = _sizes(space, names)
    yield from _made(space, names, "far", _zero, "zero")
    for size in ups[-1:] if few else ups:
        for sign in (None, 1.0, -1.0):
            yield from _made(space, names, "far", _to(size, sign), "up")
    for size in DOWN[1:2] if few else DOWN:
        yield from _made(space, names, "far", _to(size, None), "down")
    if few:
        return
    for value in (*(sign * size for size in (ups[0], ups[-1]) for sign in (1.0, -1.0)), 0.0):
        yield from _made(space, names, "far", _columns(space, value), "columns")
    for name in names if len(names) > 1 else ():
        yield from _made(space, [name], "far", _zero, f"{name} zero")
        for sign in (1.0, -1.0):
            yield from _made(space, [name], "far", _to(ups[-1], sign), f"{name} up")
    yield from _made(space, names, "far", lambda name, x: np.where(x != 0, space.size(name) * _nearly_one(x), x), "equal")
    yield from _made(space, names, "tie", lambda name, x: np.where(x != 0, space.size(name), x))
    yield from _made(space, names, "tie", lambda _, x: np.where(x != 0, np.trunc(x) + np.where(x < 0, -0.5, 0.5), x))
    for size in () if space.half else BEYOND:
        yield from _made(space, names, "far", _to(size, None), "up")
    if not space.half and not space.loops:
        yield from _made(space, names, "huge", _to(HUGE, None))


def _zero(_: str, array: Array) -> Array:
    return np.zeros_like(array)


def _nearly_one(array: Array) -> Array:
    return np.reshape(1 + NEARLY * (np.arange(array.size) % 5), array.shape)


def _columns(space: Space, value: float) -> Callable[[str, Array], Array]:
    return lambda _, x: np.where(_blocks(x) & (x != 0), value, x)


def nan_probes(space: Space) -> Iterator[Probe]:
    """Yield NaN in other columns of each row, then in whole rows, every second one; zeros (padding) stay."""
    names = _names(space) if not space.loops else []
    if not _few(space):
        yield from _made(space, names, "nan", _columns(space, np.nan))
    yield from _made(space, names, "nan", lambda _, x: np.where(_every_second(x) & (x != 0), np.nan, x))


def infinite_probes(space: Space) -> Iterator[Probe]:
    """Yield infinities of both signs in other columns of each row."""
    names = [] if space.loops or _few(space) else _names(space)
    for sign in (1.0, -1.0):
        yield from _made(space, names, "infinite", _columns(space, sign * np.inf))


def _every_second(array: Array) -> Array:
    rows = np.arange(len(array)) % 2 == 0 if array.ndim else np.ones((), bool)
    return np.broadcast_to(rows.reshape((-1,) + (1,) * (array.ndim - 1)) if array.ndim else rows, array.shape)


def integer_probes(space: Space, name: str) -> Iterator[Sequence[Probe]]:
    """Yield alternatives of which the first that the source answers is enough: negatives, then numbers beyond the samples.

    Args:
        space: with the input.
        name: of an input of whole numbers.
    """
    low, high = (int(number) for number in space.seen(name))
    base = space.base[name].astype(np.int64) if space.base[name].dtype != np.uint64 else space.base[name]
    bounds = space.ranges[name] if not space.free(name) else None

    def made(array: Array) -> list[Probe]:
        return list(_made(space, [name], "integer", lambda *_: array))

    if low >= 0 and base.dtype != np.uint64 and not space.loops:
        columns = [np.where(np.arange(base.shape[-1]) == k, -1 - base, base) for k in range(min(COLUMNS, base.shape[-1]))]
        yield [probe for array in (-1 - base, *(columns if base.ndim > 1 else ())) for probe in made(array)]
    if low > 0:
        yield made(np.zeros_like(base))
    above = base + (high - low + 1)
    yield made(above)
    if name in space.sized or space.loops:
        return
    yield made((base - low + 1) * 101)
    yield made(base + WIDE)
    if bounds is not None:
        yield made(np.where(np.arange(base.size).reshape(base.shape) % 2 == 0, int(bounds[0]), int(bounds[1])))
