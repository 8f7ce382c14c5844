"""How state is reached from Python objects: places, tensors, random numbers, and the entries of a framework's objects."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

__all__ = ["Access", "Draw", "Leaf", "NumpyLeaf", "Part", "Place"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a piece of state is.

    Attributes:
        noun: ``buffer``, ``parameter``, ``variable``, ``attribute``, ``global variable`` ...
        name: path from the model, for example ``encoder.line``.
        owner: class of the layer that holds it.
    """

    noun: str
    name: str
    owner: str = ""

    def __str__(self) -> str:
        return f"{self.noun} '{self.name}'" + (f" of {self.owner}" if self.owner else "")


class Leaf(Protocol):
    """What is done with tensors of one kind.

    Attributes:
        writable: their numbers can be changed in place.
        noun: of their place, whatever holds them; empty for the holder's.
    """

    writable: bool
    noun: str

    def copy(self, value: Any) -> Any:
        """Return a copy of the numbers."""

    def equal(self, value: Any, copy: Any) -> bool:
        """Say whether the numbers are still those of a copy, bit for bit."""

    def put(self, value: Any, copy: Any) -> None:
        """Write a copy back."""

    def mark(self, value: Any) -> Any:
        """Return what differs after a usual change, cheaply; None where there is no such thing."""

    def size(self, value: Any) -> int:
        """Return the number of bytes."""

    def array(self, value: Any) -> np.ndarray[Any, Any]:
        """Return the numbers as an array that may be changed."""

    def fill(self, value: Any, array: np.ndarray[Any, Any]) -> Any:
        """Write an array of the same shape; return the tensor, or another in its place where it cannot be written."""


class NumpyLeaf:
    """Arrays of numpy; see `Leaf`."""

    writable = True
    noun = ""

    def copy(self, value: Any) -> Any:
        return value.copy()

    def equal(self, value: Any, copy: Any) -> bool:
        if value.shape != copy.shape or value.dtype != copy.dtype:
            return False
        if value.dtype.hasobject:
            return bool(np.all(value == copy))
        left, right = (np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (value, copy))
        return bool(np.array_equal(left, right))

    def put(self, value: Any, copy: Any) -> None:
        value.resize(copy.shape, refcheck=False)
        value[...] = copy

    def mark(self, value: Any) -> Any:
        return None

    def size(self, value: Any) -> int:
        return int(value.nbytes)

    def array(self, value: Any) -> np.ndarray[Any, Any]:
        return np.array(value)

    def fill(self, value: Any, array: np.ndarray[Any, Any]) -> Any:
        value[...] = array
        return value


@dataclass(frozen=True, kw_only=True)
class Draw:
    """A source of random numbers: no state of the model, but to be set back where two answers are compared.

    Attributes:
        get, put: read and write its own state.
    """

    get: Callable[[], Any]
    put: Callable[[Any], None]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Entries of an object of a framework.

    Attributes:
        read: the entries by key.
        write: puts all of them back; None where they are not compared and only lead to others.
        noun: of a place among them.
        path: in front of the key.
        owner: class of the layer.
    """

    read: Callable[[], dict[Any, Any]]
    write: Callable[[dict[Any, Any]], None] | None
    noun: str
    path: str
    owner: str


class Access:
    """How state is reached from Python objects; a framework's own adds its tensors and layers.

    Attributes:
        ready: false where a part of the model is made by its first call only.
    """

    def __init__(self) -> None:
        self.ready = True

    def leaf(self, value: Any) -> Leaf | None:
        """Return how a tensor is handled; None for what is none."""
        return NumpyLeaf() if type(value) is np.ndarray else None

    def draw(self, value: Any) -> Draw | None:
        """Return a generator of random numbers as one; None for what is none."""
        if isinstance(value, np.random.Generator):
            bits: Any = value.bit_generator
            return Draw(get=lambda: bits.state, put=lambda state: setattr(bits, "state", state))
        if isinstance(value, random.Random):
            return Draw(get=value.getstate, put=value.setstate)
        return None

    def parts(self, value: Any, path: str) -> list[Part] | None:
        """Return the entries of an object of the framework; None for any other."""
        return None

    def numbers(self, value: Any) -> Iterable[float]:
        """Return the numbers in the code of an object of the framework, where that is no Python."""
        return ()

    def general_draws(self) -> list[Draw]:
        """Return the generators of random numbers that belong to no model."""
        return [
            Draw(get=random.getstate, put=random.setstate),
            Draw(get=np.random.get_state, put=np.random.set_state),
        ]
