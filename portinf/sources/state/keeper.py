"""Keeps a loaded source as it was loaded: every question and every export starts there, and a model that needs a memory is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from portinf.core.batch import Array, Arrays
from portinf.core.errors import StateError
from portinf.sources.state.access import Place
from portinf.sources.state.judging import Ask, Judge, Stateful, Verdict, difference
from portinf.sources.state.snapshot import Change, State
from portinf.sources.state.texts import STORED, frozen, harmless, refusal, too_large

__all__ = ["Keeper"]


class Keeper:
    """Puts a source back into its loaded state after everything that is done with it.

    A model whose calls change nothing is run as if there were no keeper. Where a call changes something, it is tried whether
    that can alter a later answer. If so, the model is refused, or, with the user's permission, taken as it was loaded. If not,
    every request is run a second time from the state that the requests before have left.

    Args:
        source: a loaded source; one without ``stateful`` is left alone.
        freeze: the user says that the state as loaded is right.
    """

    def __init__(self, source: Any, *, freeze: bool) -> None:
        self._framework: str = source.framework
        self._model: Stateful | None = getattr(source, "stateful", None)
        self._freeze = freeze
        self._start: State | None = None
        self._gone_on: State | None = None
        self._asked, self._made = 0, False
        self._last: tuple[Ask, Mapping[str, Array]] | None = None
        self._judged: set[str] = set()  # places that were changed
        self._followed: set[str] = set()  # places that were written with the numbers that were there
        self._frozen: set[str] = set()
        self.notes: list[str] = []

    def ask(self, infer: Ask, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request from the loaded state.

        Raises:
            StateError: the answer changes the model in a way that alters later answers.
        """
        if self._model is None:
            return infer(inputs)
        start = self._begin(self._model, inputs)
        self._asked += 1
        self._last = infer, inputs
        seeds = [(draw, draw.get()) for draw in self._draws(start)] if self._gone_on is not None else []
        try:
            answer = infer(inputs)
        except Exception:
            start.restore()
            raise
        if not start.ready and not self._made:  # the call has made weights: they belong to the model as loaded
            start.restore()
            self._start, self._made = State(self._model.roots, self._model.access), True
            return answer
        self._settle(start, full=self._freeze or self._asked & (self._asked - 1) == 0)
        if self._gone_on is not None and seeds:
            self._compare(start, answer, seeds)
        return answer

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Do something else with the model, such as an export, from its loaded state.

        Raises:
            StateError: it had been changed unseen.
        """
        if self._start is not None:
            self._settle(self._start, full=True)
        try:
            yield
        finally:
            if self._start is not None:
                self._start.restore()

    def _begin(self, model: Stateful, inputs: Mapping[str, Array]) -> State:
        if self._start is None:
            model.prepare(inputs)
            self._start = State(model.roots, model.access)
        return self._start

    def _draws(self, start: State) -> Sequence[Any]:
        assert self._model is not None
        return [*self._model.access.general_draws(), *start.draws]

    def _settle(self, start: State, *, full: bool) -> None:
        """Put back what the last request has changed, and judge it where it was not seen before."""
        changes = start.changes(full=full)
        assert self._model is not None
        known = {False: self._judged, True: self._judged | self._followed}
        changes += [Change(place=place) for place in start.iterators]  # whether they were moved on cannot be seen
        new = [change for change in [*self._written(start), *changes] if change.place.name not in known[change.same]]
        if not changes and not new:
            return
        self._judged |= {change.place.name for change in new if not change.same}
        self._followed |= {change.place.name for change in new if change.same}
        self._model.changing |= bool(self._judged)
        try:
            judged = [change for change in new if not self._freeze or change.place in start.iterators]
            if judged:
                self._judge(start, judged)
            if self._freeze:
                self._note_frozen([change.place for change in new if not change.same and change not in judged])
        finally:
            lost = start.restore()
        if lost:
            raise StateError(too_large(lost))

    def _note_frozen(self, places: Sequence[Place]) -> None:
        """Note what is frozen, of a container with many entries the first alone."""
        new = {place.name.partition("[")[0]: place for place in reversed(places)}
        unsaid = [place for name, place in reversed(new.items()) if name not in self._frozen]
        self._frozen |= set(new)
        if unsaid:
            self.notes.append(frozen(unsaid))

    def _written(self, start: State) -> list[Change]:
        """Return the variables that the model's graph writes, whatever it has written this time."""
        assert self._model is not None
        written = {id(variable) for variable in self._model.written}
        return [Change(place=content.place, same=True) for content in start.contents if id(content.value) in written]

    def _judge(self, start: State, new: Sequence[Change]) -> None:
        assert self._model is not None
        assert self._last is not None
        left = State(self._model.roots, self._model.access, start)
        verdict = Judge(self._model, start, *self._last, new).verdict()
        if verdict.harmful:
            raise self._refused(verdict)
        changed = [change.place for change in new if not change.same]
        if changed:
            self._gone_on = self._gone_on or left
        stored = [place for place in changed if place.noun in STORED]
        if stored:
            self.notes.append(harmless(stored))

    def _compare(self, start: State, answer: Arrays, seeds: Sequence[tuple[Any, Any]]) -> None:
        """Ask the last request again, from the state that all requests before it have left."""
        assert self._gone_on is not None
        assert self._model is not None
        found = difference(answer, self._again(self._gone_on, seeds))
        changed = [change.place for change in start.changes() if not change.same]
        self._gone_on = State(self._model.roots, self._model.access, start)
        random = bool(found) and bool(difference(answer, self._again(start, seeds)))
        start.restore()
        if found and not random:
            raise self._refused(
                Verdict(harmful=changed, why=f"after other requests a request is answered differently ({found})")
            )

    def _again(self, state: State, seeds: Sequence[tuple[Any, Any]]) -> Arrays | None:
        assert self._last is not None
        infer, inputs = self._last
        state.restore()
        for draw, seed in seeds:
            draw.put(seed)
        try:
            return infer(inputs)
        except Exception:  # noqa: BLE001 (a model's own error is an answer too)
            return None

    def _refused(self, verdict: Verdict) -> StateError:
        assert self._last is not None
        return refusal(verdict, self._framework, self._last[1])
