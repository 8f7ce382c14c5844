"""Whether the answers of a loaded source are random: what it draws while it answers, and whether an answer depends on it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from portinf.core.batch import Array, Arrays
from portinf.core.errors import PortinfError
from portinf.sources.randomness.draws import Draw, line_of, refusal
from portinf.sources.randomness.generators import GLOBAL, TORCH, Generators, global_states, kept_states, seed_all, set_extreme
from portinf.sources.randomness.pytorch import watch_torch

__all__ = ["Randomness"]

Infer = Callable[[Mapping[str, Array]], Arrays]


class Randomness:
    """What is known of one source.

    The first answer is watched operation by operation; of the others only whether they moved a global generator (another branch
    of the model may draw where the first did not). Only where something was drawn is the source run again.

    Args:
        source: a loaded model; one whose draws can be read off a graph has a method ``random_reason``.

    Attributes:
        reason: why its answers are random; empty where nothing says so.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._generators: Generators | None = None
        self._closely, self._read = True, False
        self._harmless: set[tuple[str, int]] = set()  # generators of Python code from which is drawn without effect
        self.reason = ""

    def answer(self, infer: Infer, inputs: Mapping[str, Array]) -> Arrays:
        """Return a source's result, and record what it draws meanwhile.

        Args:
            infer: runs the source.
            inputs: arrays under its own names.
        """
        if self.reason:
            return infer(inputs)
        if self._closely:
            answer, drawn = self._watched(infer, inputs)
        else:
            before = global_states()
            answer = infer(inputs)
            drawn = global_states() != before
        if drawn and not self.reason and all(array.size for array in answer.values()):  # what is empty shows nothing
            self._closely = True
            self.reason = refusal(self._draws(infer, inputs, answer))
        return answer

    def _watched(self, infer: Infer, inputs: Mapping[str, Array]) -> tuple[Arrays, bool]:
        """Return an answer, and whether something was drawn on which it may depend."""
        empty = any(array.size == 0 for array in inputs.values())  # from which some models draw nothing
        generators = self._generators = self._generators or Generators()
        before = generators.states()
        drawn: Sequence[Any] = ()
        reaching: Sequence[int] = ()
        try:
            with generators.counting(), watch_torch(self._source.model) as watch:
                answer = infer(inputs)
            if watch is not None:
                drawn, reaching = watch.drawn, sorted(watch.read)
        except PortinfError:
            raise
        except Exception:  # noqa: BLE001 (some code does not run while it is watched; what fails anyway does so again)
            answer = infer(inputs)
        moved = {name for name, state in generators.states().items() if state != before[name]}
        self._closely = bool(empty or drawn or moved)
        if not empty and not self._read and hasattr(self._source, "random_reason"):
            self._read = True
            self.reason = self._source.random_reason(inputs)
        return answer, bool(reaching or moved - self._harmless)

    def _draws(self, infer: Infer, inputs: Mapping[str, Array], answer: Arrays) -> list[Draw]:
        """Ask twice more, from other seeds, and return what was drawn otherwise each time and reaches the answers."""
        generators = self._generators = self._generators or Generators()
        starts: list[list[bytes]] = []
        ends: list[Mapping[tuple[str, int], Any]] = []
        draws: list[Draw] = []
        answers = [answer]
        with kept_states(), generators.counting():
            for seed in (1, 2):
                seed_all(seed)
                before = generators.states()
                with watch_torch(self._source.model) as watch:
                    answers.append(infer(inputs))
                ends.append({name: state for name, state in generators.states().items() if state != before[name]})
                if watch is not None:
                    known = starts[0] if starts else []
                    draws = [watch.drawn[k] for k in sorted(watch.read) if watch.starts[k] not in known]
                    starts.append(watch.starts)
            moved = [name for name in ends[1] if name in ends[0] and ends[0][name] != ends[1][name]]
            if watch is not None and watch.drawn:
                moved = [name for name in moved if name[0] != TORCH]
            if not draws and all(name[0] in GLOBAL for name in moved) and not _changed_by_extremes(infer, inputs, answers):
                self._harmless |= set(ends[0])
                return []
            return draws + [Draw(what=name[0], place=_place(infer, inputs, generators, name)) for name in moved]


def _changed_by_extremes(infer: Infer, inputs: Mapping[str, Array], answers: list[Arrays]) -> bool:
    """Whether the answer changes if the global generators give their smallest or largest numbers: a rare draw shows then."""
    for high in (False, True):
        set_extreme(high=high)
        answers.append(infer(inputs))
    return any(
        not np.array_equal(array, other[name], equal_nan=array.dtype.kind == "f")
        for other in answers[1:]
        for name, array in answers[0].items()
    )


def _place(infer: Infer, inputs: Mapping[str, Array], generators: Generators, name: tuple[str, int]) -> str:
    """Return the user's line during which a generator moved."""
    at: Any = generators.states()[name]
    last, found = ("", 0), ("", 0)
    own: dict[str, bool] = {}

    def follow(frame: Any, event: str, value: Any) -> Any:
        nonlocal at, last, found
        now = generators.states()[name]
        if now != at and not found[0]:
            found = last
        at, last = now, (frame.f_code.co_filename, frame.f_lineno)
        return follow

    def enter(frame: Any, event: str, value: Any) -> Any:
        file = frame.f_code.co_filename
        if file not in own:
            own[file] = bool(line_of([(file, 1)]))
        return follow(frame, event, value) if own[file] else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        infer(inputs)
    finally:
        sys.settrace(before)
    return line_of([found]) if found[0] else ""
