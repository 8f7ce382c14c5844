"""Finds everything that can be reached from a model and changed by a call: containers with their entries, and tensors."""

from __future__ import annotations

import argparse
import functools
import queue
import sys
import sysconfig
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from portinf.sources.state.access import Access, Draw, Leaf, Part, Place

__all__ = ["MISSING", "SCALARS", "Holder", "Walk"]

MISSING: Any = object()
SCALARS = (bool, int, float, complex, str, bytes, type(None))
RECORDS = (types.SimpleNamespace, argparse.Namespace, queue.Queue)  # of the standard library: others of it are no state
CALLABLES = (types.FunctionType, types.MethodType, functools.partial)
DATA = (*SCALARS, list, tuple, dict, set, deque)  # what among the names of a class or a file is state
GLOBAL = 16_000_000  # bytes up to which an array among a file's global variables counts as state: a larger one is data
ENTRIES = 10_000  # a container with more entries is held by its length alone
BUDGET = 50_000  # containers and arrays that are looked at
FRAMEWORKS = ("torch", "tensorflow", "keras", "tf_keras", "numpy", "portinf", "typing_extensions", *sys.stdlib_module_names)


@dataclass(eq=False, kw_only=True)
class Holder:
    """A container and its entries as they were."""

    read: Callable[[], dict[Any, Any]]
    write: Callable[[dict[Any, Any]], None]
    place: Callable[[Any], Place]
    held: dict[Any, Any]


@dataclass(frozen=True, kw_only=True)
class _Spot:
    """How a value was reached.

    Attributes:
        compared: containers there are compared; else they only lead to others.
    """

    noun: str
    path: str
    owner: str
    compared: bool = True

    @property
    def place(self) -> Place:
        return Place(noun=self.noun, name=self.path.removesuffix("."), owner=self.owner)


class Walk:
    """Everything that can be reached from some objects, at this moment.

    Args:
        roots: what to start from.
        access: how the framework's objects are looked into.

    Attributes:
        holders: containers that are compared.
        tensors: tensors with what is done with them, and where they are.
        draws: generators of random numbers.
        constants: numbers in the user's own code.
        iterators: what cannot be looked into without moving it on.
        ready: every part of the model is there: none is made by its first call.
    """

    def __init__(self, roots: Iterable[Any], access: Access) -> None:
        self._access = access
        access.ready = True
        self.holders: list[Holder] = []
        self.tensors: list[tuple[Any, Leaf, Place]] = []
        self.draws: list[Draw] = []
        self.constants: set[float] = set()
        self.iterators: list[Place] = []
        self._seen: dict[int, Any] = {}
        for root in roots:
            self._walk(root, _Spot(noun="attribute", path="", owner=""))
        self.ready = access.ready

    def leaf(self, value: Any) -> Leaf | None:
        """Return how a tensor is handled; None for what is none."""
        return self._access.leaf(value)

    def _walk(self, value: Any, spot: _Spot) -> None:
        if isinstance(value, SCALARS) or id(value) in self._seen or len(self._seen) > BUDGET:
            return
        if isinstance(value, type):
            self._class(value)
            return
        self._seen[id(value)] = value
        if isinstance(value, types.ModuleType):
            if _is_users(value.__name__):
                self._globals(value)
            return
        draw = self._access.draw(value)
        if draw is not None:
            self.draws.append(draw)
            return
        leaf = self._access.leaf(value)
        if leaf is not None:
            self._content(value, leaf, spot)
            return
        parts = self._access.parts(value, spot.path)
        if parts is not None:
            self.constants.update(self._access.numbers(value))
            for part in parts:
                self._part(part)
            self._class(type(value))
        elif isinstance(value, tuple | frozenset):
            for item in value:
                self._walk(item, spot)
        elif isinstance(value, CALLABLES) or "__wrapped__" in getattr(value, "__dict__", {}):
            self._callable(value, spot)
        else:
            self._container(value, spot)

    def _content(self, value: Any, leaf: Leaf, spot: _Spot) -> None:
        size = leaf.size(value)
        if spot.noun != "global variable" or size <= GLOBAL:
            self.tensors.append((value, leaf, replace(spot.place, noun=leaf.noun or spot.noun)))

    def _part(self, part: Part) -> None:
        def place(key: Any) -> Place:
            return Place(noun=part.noun, name=f"{part.path}{key}", owner=part.owner)

        entries = part.read()
        if part.write is not None:
            self.holders.append(Holder(read=part.read, write=part.write, place=place, held=entries))
        for key, item in entries.items():
            compared = part.write is not None
            self._walk(item, _Spot(noun=part.noun, path=f"{part.path}{key}", owner=part.owner, compared=compared))

    def _container(self, value: Any, spot: _Spot) -> None:
        """Look into a plain container, or an object of the user's own class."""
        spot = replace(spot, path=spot.path.removesuffix("."))
        if isinstance(value, types.CellType):
            self._add(_read_cell, _write_cell, value, spot, named=False)
        elif isinstance(value, dict):
            self._add(dict, _write_items, value, spot, named=True)
        elif isinstance(value, list | deque):
            self._add(_read_list, _write_list, value, spot, named=False)
        elif isinstance(value, set):
            self._add(_read_set, _write_set, value, spot, named=False)
        elif isinstance(value, Iterator):
            self.iterators.append(spot.place)
        elif isinstance(value, RECORDS) or type(value).__module__.partition(".")[0] not in FRAMEWORKS:
            self._add(_read_object, _write_object, value, spot, named=True, dot=True)
            self._class(type(value))

    def _add(
        self,
        read: Callable[[Any], dict[Any, Any]],
        write: Callable[[Any, dict[Any, Any]], None],
        owner: Any,
        spot: _Spot,
        *,
        named: bool,
        dot: bool = False,
    ) -> None:
        """Hold a container; its entries bear its name, with the key where ``named``."""

        def name(key: Any) -> str:
            return (f"{spot.path}.{key}".lstrip(".") if dot else f"{spot.path}[{key!r}]") if named else spot.path

        def place(key: Any) -> Place:
            return replace(spot.place, name=name(key))

        entries = read(owner)
        if not spot.compared:
            pass
        elif len(entries) > ENTRIES:
            self.holders.append(
                Holder(read=lambda: {0: len(owner)}, write=lambda held: None, place=place, held={0: len(owner)})
            )
        else:
            self.holders.append(
                Holder(
                    read=functools.partial(read, owner),
                    write=functools.partial(write, owner),
                    place=place,
                    held=entries,
                )
            )
        for key, item in entries.items() if len(entries) <= ENTRIES else ():
            self._walk(item, replace(spot, path=name(key) if spot.compared else f"{spot.path}[{key!r}]"))

    def _callable(self, value: Any, spot: _Spot) -> None:
        """Look into what a function keeps: its closure, its defaults, and the global variables of the user's file."""
        inner = getattr(value, "__wrapped__", None)
        if inner is not None:
            self._walk(inner, spot)
        if isinstance(value, types.MethodType):
            self._walk(value.__self__, spot)
            self._walk(value.__func__, spot)
        if isinstance(value, functools.partial):
            for item in (value.func, *value.args, *value.keywords.values()):
                self._walk(item, spot)
        if not isinstance(value, types.FunctionType) or not _is_users(value.__module__):
            return
        self.constants.update(_numbers(value.__code__))
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            if name != "__class__":
                self._walk(cell, _Spot(noun="variable", path=name, owner=value.__qualname__))
        defaults = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        for item in defaults:
            self._walk(item, _Spot(noun="default value", path=value.__qualname__, owner=""))
        if vars(value):
            self._walk(vars(value), _Spot(noun="attribute", path=value.__qualname__, owner=""))
        self._walk(sys.modules.get(value.__module__), spot)

    def _class(self, kind: type) -> None:
        """Look into the classes that the user wrote: data beside methods, the methods' closures, the file's global variables."""
        for base in kind.__mro__:
            if id(base) in self._seen or not _is_users(base.__module__):
                continue
            self._seen[id(base)] = base
            self._part(
                Part(
                    read=functools.partial(self._data, base),
                    write=functools.partial(self._put_data, base),
                    noun="class attribute",
                    path=f"{base.__name__}.",
                    owner="",
                )
            )
            for item in vars(base).values():
                inner = getattr(item, "__func__", getattr(item, "fget", item))
                if isinstance(inner, types.FunctionType):
                    self._walk(inner, _Spot(noun="attribute", path=base.__name__, owner=""))
            self._walk(sys.modules.get(base.__module__), _Spot(noun="global variable", path="", owner=base.__module__))

    def _globals(self, module: types.ModuleType) -> None:
        """Look into a file of the user's: its global variables, and what its functions, its classes and files beside it keep."""
        self._part(
            Part(
                read=functools.partial(self._data, module),
                write=functools.partial(self._put_data, module),
                noun="global variable",
                path="",
                owner=module.__name__,
            )
        )
        for value in list(vars(module).values()):
            if isinstance(value, types.FunctionType | type | types.ModuleType):
                self._walk(value, _Spot(noun="global variable", path="", owner=module.__name__))

    def _data(self, owner: Any) -> dict[str, Any]:
        """Return what is data among the names of a class or a file."""
        return {name: value for name, value in vars(owner).items() if not name.startswith("__") and self._is_data(value)}

    def _is_data(self, value: Any) -> bool:
        kind = type(value)
        if isinstance(value, DATA) or (_is_users(kind.__module__) and not isinstance(value, type)):
            return True
        return self._access.leaf(value) is not None or self._access.parts(value, "") is not None

    def _put_data(self, owner: Any, held: dict[str, Any]) -> None:
        for name in self._data(owner):
            if name not in held:
                delattr(owner, name)
        for name, value in held.items():
            if vars(owner).get(name, MISSING) is not value:
                setattr(owner, name, value)


@functools.cache
def _is_users(module: str) -> bool:
    """Say whether a module is the user's own file, not an installed package."""
    if module.partition(".")[0] in FRAMEWORKS:
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return False
    parts = Path(file).parts
    return (
        "site-packages" not in parts and "dist-packages" not in parts and not file.startswith(sysconfig.get_paths()["stdlib"])
    )


def _numbers(code: types.CodeType) -> Iterator[float]:
    """Yield the numbers that a function's code holds, those of inner functions and tuples too."""
    todo = list(code.co_consts)
    while todo:
        value = todo.pop()
        if isinstance(value, types.CodeType):
            todo += value.co_consts
        elif isinstance(value, tuple | frozenset):
            todo += value
        elif isinstance(value, int | float):
            yield value


def _write_items(owner: dict[Any, Any], held: dict[Any, Any]) -> None:
    owner.clear()
    owner.update(held)


def _read_list(owner: Any) -> dict[Any, Any]:
    return dict(enumerate(owner))


def _write_list(owner: Any, held: dict[Any, Any]) -> None:
    owner.clear()
    owner.extend(held.values())


def _read_set(owner: set[Any]) -> dict[Any, Any]:
    return {0: frozenset(owner)}


def _write_set(owner: set[Any], held: dict[Any, Any]) -> None:
    owner.clear()
    owner.update(held[0])


def _read_cell(owner: types.CellType) -> dict[Any, Any]:
    try:
        return {0: owner.cell_contents}
    except ValueError:
        return {}


def _write_cell(owner: types.CellType, held: dict[Any, Any]) -> None:
    if held:
        owner.cell_contents = held[0]
    else:
        del owner.cell_contents


def _slots(owner: Any) -> list[str]:
    names = [name for base in type(owner).__mro__ for name in _as_names(vars(base).get("__slots__", ()))]
    return [name for name in names if not name.startswith("__") and hasattr(owner, name)]


def _as_names(slots: Any) -> list[str]:
    return [slots] if isinstance(slots, str) else list(slots)


def _read_object(owner: Any) -> dict[Any, Any]:
    found = dict(getattr(owner, "__dict__", {}))
    return {**found, **{name: getattr(owner, name) for name in _slots(owner)}}


def _write_object(owner: Any, held: dict[Any, Any]) -> None:
    inside = getattr(owner, "__dict__", {})
    slots = set(_slots(owner)) | (set(held) - set(inside) if not inside else set())
    for name in [name for name in inside if name not in held]:
        del inside[name]
    for name, value in held.items():
        if name in slots:
            object.__setattr__(owner, name, value)
        else:
            inside[name] = value
