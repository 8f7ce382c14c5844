"""The state of a model at one moment: captured once, compared after each call, put back where it differs."""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from portinf.sources.state.access import Access, Leaf, Place
from portinf.sources.state.walk import MISSING, SCALARS, Holder, Walk

__all__ = ["Change", "Content", "State"]

SMALL = 65_536  # bytes of a tensor that is compared after every call; a larger one if it was written, and now and then
LIMIT = 1_000_000_000  # bytes of copies; of tensors beyond it only the version is watched


@dataclass(eq=False, kw_only=True)
class Content:
    """A tensor and its numbers as they were; copy None where they are too many to keep."""

    value: Any
    leaf: Leaf
    place: Place
    size: int
    mark: Any
    copy: Any = None

    def state(self, full: bool) -> str:
        """Return ``changed``, ``written`` (with the same numbers) or nothing; large ones are compared if ``full`` or written."""
        mark = self.leaf.mark(self.value)
        written = mark != self.mark
        if self.copy is None:
            return "changed" if written else ""
        if (full or written or self.size <= SMALL) and not self.leaf.equal(self.value, self.copy):
            return "changed"
        self.mark = mark
        return "written" if written else ""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing that is not as it was.

    Attributes:
        place: where.
        same: it was written with the same numbers, or replaced by an object with the same content.
    """

    place: Place
    same: bool = False


class State(Walk):
    """The state of everything that can be reached from a model, at this moment.

    Args:
        roots: what to start from.
        access: how the framework's objects are looked into.
        base: an earlier state of the same model, whose copies are shared where nothing changed.

    Attributes:
        contents: the tensors with their numbers.
    """

    def __init__(self, roots: Iterable[Any], access: Access, base: State | None = None) -> None:
        super().__init__(roots, access)
        self.contents = [
            Content(value=value, leaf=leaf, place=place, size=leaf.size(value), mark=leaf.mark(value))
            for value, leaf, place in self.tensors
        ]
        self._copies = {id(content.value): content for content in self.contents}
        self._keep({} if base is None else base._copies)

    def _keep(self, known: Mapping[int, Content]) -> None:
        """Copy the tensors, small ones first, as far as the limit allows."""
        total = 0
        for content in sorted(self.contents, key=lambda content: content.size):
            total += content.size
            old = known.get(id(content.value))
            if old is not None and old.copy is not None and content.leaf.equal(content.value, old.copy):
                content.copy = old.copy
            elif total <= LIMIT:
                content.copy = content.leaf.copy(content.value)

    def changes(self, *, full: bool = True) -> list[Change]:
        """Return what is not as it was, each place once.

        Args:
            full: compare the numbers of large tensors too whose version says that nothing was written.
        """
        found: dict[str, Change] = {}
        for content in self.contents:
            state = content.state(full)
            if state:
                found[content.place.name] = Change(place=content.place, same=state == "written")
        for holder in self.holders:
            for key, same in _differing(holder, self._copies):
                place = holder.place(key)
                if place.name not in found or found[place.name].same:
                    found[place.name] = Change(place=place, same=same)
        return list(found.values())

    def restore(self) -> list[Place]:
        """Put everything back; return the tensors that were changed and are too large to have been kept."""
        for holder in self.holders:
            now = holder.read()
            if len(now) != len(holder.held) or any(holder.held.get(key, MISSING) is not value for key, value in now.items()):
                holder.write(holder.held)
        lost = []
        for content in self.contents:
            if content.copy is None:
                lost += [content.place] if content.state(True) else []
            elif not content.leaf.equal(content.value, content.copy):
                content.leaf.put(content.value, content.copy)
            content.mark = content.leaf.mark(content.value)
        return lost


def _differing(holder: Holder, copies: Mapping[int, Content]) -> Iterator[tuple[Any, bool]]:
    """Yield the keys of entries that are other objects now, and whether their content is the same."""
    now = holder.read()
    for key, value in now.items():
        old = holder.held.get(key, MISSING)
        if old is not value and not (isinstance(old, (*SCALARS, frozenset)) and _same(old, value, copies)):
            yield key, _same(old, value, copies)
    for key in holder.held:
        if key not in now:
            yield key, False


def _same(old: Any, new: Any, copies: Mapping[int, Content]) -> bool:
    """Say whether two objects have the same content, where ``old`` had the numbers in ``copies``."""
    if type(old) is not type(new):
        return False
    content = copies.get(id(old))
    if content is not None:
        return content.copy is not None and content.leaf.equal(new, content.copy)
    if old is new:
        return True
    if isinstance(old, float) and math.isnan(old):
        return math.isnan(new)
    if isinstance(old, SCALARS) or type(old) in (set, frozenset, types.MethodType):
        return bool(old == new)
    if isinstance(old, list | tuple):
        return len(old) == len(new) and all(_same(a, b, copies) for a, b in zip(old, new, strict=True))
    if isinstance(old, dict):
        return list(old) == list(new) and all(_same(old[key], new[key], copies) for key in old)
    return False
