"""Decides whether what a call changes in a model can alter a later answer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from portinf.core.batch import Array, Arrays
from portinf.sources.state.access import Access, Draw, Place
from portinf.sources.state.snapshot import Change, State
from portinf.sources.state.trials import constants, trials

__all__ = ["REQUEST", "Flows", "Judge", "Stateful", "Verdict", "difference"]

CALLS = 1100  # questions in a row, to see an effect that comes late
SECONDS = 2.0  # for all of them
VALUES = 5.0  # seconds for the trials with other values
SAME = 1e-6  # of the largest number of an output: below it two answers are the same, whatever the order of the sums
REQUEST = "<request>"  # the request, among the origins of a number

Ask = Callable[[Mapping[str, Array]], Arrays]


@dataclass(frozen=True, kw_only=True)
class Flows:
    """What one call does with the places that were named.

    Attributes:
        reached: those whose former numbers the outputs are computed from.
        fed: for each place what its new numbers are computed from: other places, and REQUEST.
    """

    reached: frozenset[str] = frozenset()
    fed: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def moved(self, evolving: set[str]) -> set[str]:
        """Return the places whose numbers depend on the requests before: those that evolve, and what is computed from them."""
        found = evolving | {name for name, origins in self.fed.items() if REQUEST in origins}
        while more := {name for name, origins in self.fed.items() if name not in found and origins & found}:
            found |= more
        return found


class Stateful(Protocol):
    """A loaded source whose state can be reached.

    Attributes:
        access: how.
        roots: the model.
        written: variables that its graph writes, whatever it writes.
        changing: a call was seen to change it.
    """

    access: Access
    roots: Sequence[Any]
    written: Sequence[Any]
    changing: bool

    def prepare(self, inputs: Mapping[str, Array]) -> None:
        """Make what the first call would make, without its numbers."""

    def flows(self, inputs: Mapping[str, Array], names: Sequence[str], now: Callable[[], State]) -> Flows:
        """Follow the numbers of one call from the present state.

        Args:
            inputs: the request.
            names: places to follow.
            now: captures the present state.
        """


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was decided.

    Attributes:
        harmful: places whose change can alter a later answer.
        why: what was seen.
        once: only the first call changes anything.
        lost: it cannot be put back.
    """

    harmful: Sequence[Place]
    why: str = ""
    once: bool = False
    lost: bool = False


def difference(left: Arrays | None, right: Arrays | None) -> str:
    """Say how two answers to one request differ; empty where they do not. None is an answer that failed."""
    if left is None or right is None:
        return "" if left is right else "the model fails"
    for name, array in left.items():
        other = right.get(name)
        if other is None or array.shape != other.shape:
            return f"output '{name}' has another shape"
        if array.dtype.kind not in "fc":
            if not np.array_equal(array, other):
                return f"output '{name}' has other values"
            continue
        wide = np.complex128 if array.dtype.kind == "c" else np.float64
        a, b = array.astype(wide), other.astype(wide)
        with np.errstate(invalid="ignore"):
            gap = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
        finite = np.abs(np.where(np.isfinite(a), a, 0.0))
        largest = float(np.max(gap, initial=0.0)) if not np.isnan(gap).any() else math.nan
        if not largest <= SAME * float(np.max(finite, initial=0.0)):
            return f"output '{name}' differs by up to {largest:.2g}"
    return ""


class Judge:
    """Tries a model whose call from its loaded state changed something.

    Args:
        model: how its state is reached.
        start: the state as loaded.
        ask: runs the model.
        inputs: the request that changed something.
        changes: what it changed.
    """

    def __init__(self, model: Stateful, start: State, ask: Ask, inputs: Mapping[str, Array], changes: Sequence[Change]) -> None:
        self._model, self._start, self._ask = model, start, ask
        self._places = {change.place.name: change.place for change in changes}
        self._unchanged = all(change.same for change in changes)
        self._draws: Sequence[Draw] = [*model.access.general_draws(), *start.draws]
        self._seeds = [draw.get() for draw in self._draws]
        self._questions = [inputs, *_varied(inputs)]
        self._answers: list[Arrays | None] = []

    def verdict(self) -> Verdict:
        """Return what can alter a later answer; the model is left in its loaded state."""
        try:
            return self._verdict()
        finally:
            self._start.restore()

    def _verdict(self) -> Verdict:
        if self._unchanged:  # written with the numbers that were there: another request may write others
            named = sorted(self._reaching(self._start, set()))
            return self._guilty(named, "what is written there comes from the request and reaches the outputs")
        found = [(question, self._answer(question, self._start)) for question in self._questions]
        found = [found[0], *((question, answer) for question, answer in found[1:] if answer is not None)]
        self._questions, self._answers = [list(column) for column in zip(*found, strict=True)]
        random = bool(difference(self._answers[0], self._answer(self._questions[0], self._start)))
        if random and self._start.iterators:
            return Verdict(harmful=self._start.iterators, lost=True)
        self._answer(self._questions[0], self._start)
        after = self._now()
        evolving = self._evolving(after)
        named = sorted(self._reaching(after, evolving))
        late = "" if random else self._asked_again(evolving)
        end = time.monotonic() + VALUES
        felt = [name for name in sorted(evolving - set(named)) if not random and self._matters(name, after, end)]
        if late:
            guilty = self._guilty([*named, *felt] or sorted(evolving) or sorted(self._places), late)
            return replace(guilty, once=self._only_once(after))
        if named:
            return self._guilty([*named, *felt], "its former value reaches the outputs")
        return self._guilty(felt, "with another value there the same request gets another answer")

    def _only_once(self, after: State) -> bool:
        """Say whether no request changes anything once the first was answered."""
        for question in self._questions:
            self._answer(question, after)
            if any(not change.same for change in after.changes()):
                return False
        return True

    def _guilty(self, names: Sequence[str], why: str) -> Verdict:
        return Verdict(harmful=[self._places[name] for name in names if name in self._places], why=why)

    def _now(self) -> State:
        return State(self._model.roots, self._model.access, self._start)

    def _answer(self, question: Mapping[str, Array], state: State | None = None) -> Arrays | None:
        """Answer from a state, else from the present one, with the same random numbers each time; None where that fails."""
        if state is not None:
            state.restore()
        for draw, seed in zip(self._draws, self._seeds, strict=True):
            draw.put(seed)
        try:
            return self._ask(question)
        except Exception:  # noqa: BLE001 (a model's own error is an answer too)
            return None

    def _evolving(self, after: State) -> set[str]:
        """Return the places that do not stay as the first request left them, at the same sizes: no mere caches of sizes."""
        found: set[str] = set()
        for question, state in [(self._questions[0], after), *((other, self._start) for other in self._questions[1:])]:
            self._answer(question, state)
            changes = [change for change in after.changes() if not change.same]
            found |= {change.place.name for change in changes}
            self._places.update(
                {change.place.name: change.place for change in changes if change.place.name not in self._places}
            )
        return found

    def _reaching(self, after: State, evolving: set[str]) -> set[str]:
        """Return the places that depend on the requests before, and whose numbers reach the outputs, at once or through another."""
        found: set[str] = set()
        moved = evolving
        flows = []
        for state in dict.fromkeys((self._start, after)):
            state.restore()
            try:
                flows.append(self._model.flows(self._questions[0], list(self._places), self._now))
            except Exception:  # noqa: BLE001 (what cannot be followed is in doubt)
                return evolving & {content.place.name for content in after.contents}
            moved = flows[-1].moved(moved)
            found |= flows[-1].reached
        found &= moved & set(self._places)
        while more := {origin for flow in flows for name in found for origin in flow.fed.get(name, ())} & moved - found:
            found |= more
        return found & set(self._places)

    def _asked_again(self, evolving: set[str]) -> str:
        """Ask on and on without going back to the loaded state; say at which call an answer changes."""
        self._start.restore()
        most = CALLS if evolving else 4 * len(self._questions)
        end = time.monotonic() + SECONDS
        for call in range(most):
            number = call % len(self._questions)
            found = difference(self._answers[number], self._answer(self._questions[number]))
            if found:
                return f"the {_ordinal(call + 1)} call answers a repeated request differently ({found})"
            if time.monotonic() > end and call > 3 * len(self._questions):
                break
        return ""

    def _matters(self, name: str, after: State, end: float) -> bool:
        """Say whether other values at a place change the answer; what the model cannot run with is not reached either."""
        near = constants(self._start)
        for state in (after, self._start):
            usual = self._answer(self._questions[0], state)
            for change in trials(state, name, near):
                state.restore()  # for `change`, which reads what is there
                try:
                    change()
                except Exception:  # noqa: BLE001 (such a value cannot be put there)
                    continue
                answer = self._answer(self._questions[0])
                if answer is not None and difference(usual, answer):
                    return True
                if time.monotonic() > end:
                    return False
        return False


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending}"


def _varied(inputs: Mapping[str, Array]) -> list[Arrays]:
    """Return requests of the same sizes with other numbers: larger ones, and of the other sign; indices in another order."""
    found = []
    for factor, shift in ((1.7, 0.3), (-3.1, 0.0)):
        other = {}
        for name, array in inputs.items():
            if array.dtype.kind == "f" and array.size:
                largest = np.nanmax(np.where(np.isfinite(array), np.abs(array), 0))
                other[name] = np.flip(array * factor + shift * (largest or 1.0)).astype(array.dtype)
            else:
                other[name] = np.ascontiguousarray(np.flip(array, -1)) if factor < 0 and array.ndim else array
        if any(not np.array_equal(other[name], array) for name, array in inputs.items()):
            found.append(other)
    return found
