"""Whether the parameters of a factory's model are random: it is called a second time, as another process would, and compared."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from portinf.core.batch import Array
from portinf.sources.detect import Factory
from portinf.sources.factory import load
from portinf.sources.randomness.generators import global_states, kept_states, seed_all
from portinf.sources.randomness.parameters import changed, fingerprint, takes_weights, unsaved

__all__ = ["Untrained"]

SLOW = 10.0  # seconds of CPU: a factory that takes longer is called again only if it moved a global generator


class Untrained:
    """The model of a factory, which is called twice.

    The first call's model is the one that is used, as the second call leaves it.

    Args:
        factory: what the user named.
        weighted: weights are given: only what they do not hold is looked at.

    Attributes:
        model: what the factory returned.
    """

    def __init__(self, factory: Factory, *, weighted: bool) -> None:
        self._factory, self._weighted = factory, weighted
        before, began = global_states(), time.process_time()
        self._make = load(factory)
        self._imported = global_states() != before  # the file itself draws, or sets seeds: another process would do so again
        self.model: Any = self._make()
        self._slow = time.process_time() - began > SLOW and global_states() == before
        self._first = fingerprint(self.model)
        self._found: list[str] = []
        requested = set(unsaved(self.model)) if weighted else set(self._first)
        if requested and not self._slow:
            self._found = [name for name in self._differing(lambda model: fingerprint(model), self._first) if name in requested]

    @property
    def note(self) -> str:
        """Which parameters are random, and what to do; empty for none."""
        if not self._found:
            return ""
        more = f" and {len(self._found) - 1} more" if len(self._found) > 1 else ""
        what = f"two calls gave different values of '{self._found[0]}'{more}"
        if self._weighted:
            return (
                f"warning: the weights do not hold everything, the rest is random: {what}: "
                "save it with the weights (register_buffer), or fix its seed"
            )
        if takes_weights(self.model):
            cure = "give --weights FILE or load trained weights in the factory; fix the seed if untrained weights are what you want"
        else:
            cure = "load a trained model in the factory, or fix the seed (random_state)"
        return f"warning: the factory's parameters are random: {what}: {cure}"

    def look_again(self, answer: Callable[[Any], object]) -> str:
        """Compare what the first answer made as well (layers that are built by their first call), and return the note on that.

        Args:
            answer: lets a model of this factory give the same answer.
        """
        now = fingerprint(self.model)
        new = now.keys() - self._first.keys()
        if self._found or self._slow or not new:
            return ""

        def answered(model: Any) -> dict[str, Array]:
            answer(model)
            return fingerprint(model)

        self._found = [name for name in self._differing(answered, now) if name in new]
        return self.note

    def _differing(self, look: Callable[[Any], dict[str, Array]], known: dict[str, Array]) -> list[str]:
        """Return the names of what another call of the factory, from another seed, makes otherwise."""
        try:
            with kept_states():
                seed_all(20250713)
                return changed(known, look(self._again()))
        except Exception:  # noqa: BLE001 (a factory that cannot be called twice)
            return []

    def _again(self) -> Any:
        """Call the factory once more; run its file again, too, where that draws or sets seeds, or where it hands out one model."""
        if not self._imported:
            model = self._make()
            if model is not self.model:
                return model
        name = str(self._factory.module or (self._factory.file and self._factory.file.stem))
        before = sys.modules.pop(name, None)
        try:
            return load(self._factory)()
        finally:
            if before is not None:
                sys.modules[name] = before
