"""Other values for a place of a model's state: larger counters, longer lists, flags turned over, other numbers in tensors."""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from portinf.sources.state.access import Leaf
from portinf.sources.state.snapshot import Content, State

__all__ = ["constants", "trials"]

FAR = (1_000_003, -1_000_003, 0, 2**20)  # values that a counter may reach
LONGEST = 10_000  # of a list that may grow
CONSTANTS = 60  # numbers of the model that are tried

Array = np.ndarray[Any, Any]


def constants(state: State) -> list[float]:
    """Return the numbers of the model's own code and attributes, and those beside them: what a counter may be compared with."""
    found: dict[float, None] = {}
    for own in (state.constants, {v for holder in state.holders for v in holder.held.values() if _is_number(v)}):
        chosen = sorted((v for v in own if math.isfinite(v) and abs(v) < 1e7), key=lambda v: (-abs(v), v))
        for value in chosen[:CONSTANTS]:
            found.update(dict.fromkeys((value, value - 1, value + 1)))
    return list(found)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def trials(state: State, name: str, near: Sequence[float]) -> Iterator[Callable[[], Any]]:
    """Yield what puts other values at a place of a state that was restored just before, the likeliest first."""
    for holder in state.holders:
        for key, value in holder.held.items():
            if holder.place(key).name != name:
                continue

            def put(other: Any, holder: Any = holder, key: Any = key) -> None:
                holder.write({**holder.held, key: other})

            leaf = state.leaf(value)
            if leaf is not None and not leaf.writable:
                for change in _changes(near):
                    yield functools.partial(_put_changed, put, leaf, value, change)
            elif isinstance(value, bool):
                yield functools.partial(put, not value)
            elif _is_number(value):
                for number in (value + 1, *FAR, *near):
                    yield functools.partial(_put_number, put, value, number)
            elif isinstance(value, list | deque):
                for length in sorted({int(c) for c in near if 1 <= c <= LONGEST} | {LONGEST}, reverse=True):
                    yield functools.partial(_put_longer, put, value, length)
    for content in state.contents:
        if content.place.name == name:
            for change in _changes(near):
                yield functools.partial(_fill_changed, content, change)


def _put_number(put: Callable[[Any], None], value: Any, number: float) -> None:
    put(type(value)(number))


def _put_longer(put: Callable[[Any], None], value: Any, length: int) -> None:
    items = list(value)
    put(type(value)((items * (length // len(items) + 1))[:length]))


def _put_changed(put: Callable[[Any], None], leaf: Leaf, value: Any, change: Callable[[Array], Array]) -> None:
    put(leaf.fill(value, change(leaf.array(value))))


def _fill_changed(content: Content, change: Callable[[Array], Array]) -> None:
    content.leaf.fill(content.value, change(content.leaf.array(content.value)))


def _changes(near: Sequence[float]) -> Iterator[Callable[[Array], Array]]:
    """Yield what makes other values of those of a tensor; flags are turned over."""
    yield lambda array: ~array if array.dtype.kind == "b" else (np.flip(array) * 3 + 1).astype(array.dtype)
    yield lambda array: np.asarray(np.random.default_rng(0).normal(size=array.shape)).astype(array.dtype)
    yield lambda array: (array + 1).astype(array.dtype)
    for number in (*FAR, *near):
        yield lambda array, number=number: np.full_like(array, number)  # type: ignore[misc]
