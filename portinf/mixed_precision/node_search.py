"""Nodes and a trial of any choice of them -> the few that must stay in float32 for the trial to pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

__all__ = ["Found", "Trial", "find_islands"]

TRIALS = 48
HOPELESS = 14  # trials of parts of which none held
_Part = tuple[float, list[str]]  # excess of some nodes in lower precision on their own, and these nodes


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one choice gave.

    Attributes:
        holds: the tolerance holds.
        excess: largest difference over its bound; 1 or less where all elements are within theirs.
    """

    holds: bool
    excess: float


@dataclass(frozen=True, kw_only=True)
class Found:
    """The outcome of a search.

    Attributes:
        islands: nodes that stay in float32; None where no choice held.
        trials: how many choices were tried.
        first: what the first one gave, with the guess alone as islands.
        alone: excess of the parts that were lowered on their own, by their first node; a part of one node is that node's own.
    """

    islands: frozenset[str] | None
    trials: int
    first: Trial
    alone: dict[str, float] = field(default_factory=dict)


class _Spent(Exception):
    """No trial is left."""


class _Counter:
    """Tries choices, each once, and remembers the smallest that held."""

    def __init__(self, trial: Callable[[frozenset[str]], Trial], most: int) -> None:
        self._trial, self._most = trial, most
        self.known: dict[frozenset[str], Trial] = {}
        self.best: frozenset[str] | None = None

    def __call__(self, islands: Iterable[str]) -> Trial:
        key = frozenset(islands)
        if key not in self.known:
            if len(self.known) >= self._most:
                raise _Spent
            self.known[key] = self._trial(key)
        if self.known[key].holds and (self.best is None or len(key) < len(self.best)):
            self.best = key
        return self.known[key]


def find_islands(
    nodes: Sequence[str],
    trial: Callable[[frozenset[str]], Trial],
    *,
    guess: Collection[str] = (),
    delicate: Collection[str] = (),
    most: int = TRIALS,
) -> Found:
    """Search for few nodes that must stay in float32.

    First the guess alone; then the guess with the delicate nodes, halved as long as it holds; then blame: parts of the
    graph are lowered on their own and the worst part is halved, until the parts whose errors add up (in squares) to less
    than the tolerance may be lowered together.

    Args:
        nodes: all that could be lowered, in the graph's order.
        trial: says whether the tolerance holds with these nodes in float32.
        guess: nodes that stay in float32 in any case.
        delicate: nodes that often need float32, as a second guess.
        most: trials.
    """
    fixed = frozenset(guess) & frozenset(nodes)
    free = [node for node in nodes if node not in fixed]
    counter = _Counter(trial, most)
    first = counter(fixed)
    alone: dict[str, float] = {}
    if not first.holds and free:
        try:
            soft = [node for node in free if node in frozenset(delicate)]
            if soft and len(soft) < len(free) and counter({*fixed, *soft}).holds:
                _shrink(counter, fixed, soft)
            else:
                _blame(counter, fixed, free, alone)
        except _Spent:
            pass
    lowered_none = counter.best is not None and counter.best >= frozenset(nodes)
    islands = None if lowered_none else counter.best
    return Found(islands=islands, trials=len(counter.known), first=first, alone=alone)


def _shrink(counter: _Counter, fixed: frozenset[str], islands: Sequence[str]) -> None:
    """Lower parts of the islands again, halves first, as long as the rest holds."""
    kept = list(islands)
    parts = _halves(kept)
    while parts:
        part = parts.pop(0)
        rest = [node for node in kept if node not in part]
        if counter({*fixed, *rest}).holds:
            kept = rest
        else:
            parts += _halves(part)


def _halves(part: Sequence[str]) -> list[list[str]]:
    middle = len(part) // 2
    return [list(part[:middle]), list(part[middle:])] if len(part) > 1 else []


def _blame(counter: _Counter, fixed: frozenset[str], free: Sequence[str], alone: dict[str, float]) -> None:
    """Find the parts that break the tolerance, and keep them in float32."""
    everything = {*fixed, *free}
    parts: list[_Part] = [(math.inf, list(free))]
    held, limit = False, 1.0
    while True:
        worst = max((part for part in parts if len(part[1]) > 1), key=lambda part: part[0], default=None)
        chosen = _chosen(parts, limit)
        if chosen and len(chosen) < len(parts) and (worst is None or worst[0] <= 1 or all(len(p[1]) == 1 for p in chosen)):
            if counter({*fixed, *(node for _, nodes in chosen for node in nodes)}).holds:
                break
            limit /= 4  # their errors add up to more than was thought
        elif worst is None:
            return
        if worst is None:
            continue
        if not held and len(counter.known) > HOPELESS:
            return
        parts.remove(worst)
        for half in _halves(worst[1]):
            tried = counter(everything - set(half))
            held = held or tried.holds
            alone[half[0]] = tried.excess
            parts.append((tried.excess, half))
    certain = {nodes[0] for excess, nodes in parts if len(nodes) == 1 and excess > 1}
    assert counter.best is not None
    doubtful = [node for node in free if node in counter.best and node not in certain]
    _shrink(counter, frozenset(counter.best - set(doubtful)), doubtful)


def _chosen(parts: Sequence[_Part], limit: float) -> list[_Part]:
    """Return the worst parts, as many as must stay in float32 for the squares of the others to add up to no more than a limit."""
    rest = sorted(parts, key=lambda part: part[0])
    total, kept = 0.0, 0
    for excess, _ in rest:
        total += excess * excess
        if total > limit:
            break
        kept += 1
    return rest[kept:]
