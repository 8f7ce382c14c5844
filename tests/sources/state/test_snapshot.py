"""The state of plain Python objects: what is compared, and what is put back."""

from __future__ import annotations

import random
import types
from collections import deque
from typing import Any

import numpy as np
import pytest

from portinf.sources.state.access import Access
from portinf.sources.state.judging import difference
from portinf.sources.state.snapshot import State


class Slotted:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 1


class Model:
    kept: Any = None

    def __init__(self) -> None:
        self.number, self.text, self.nothing = 1, "a", None
        self.nan = float("nan")
        self.array = np.arange(4.0)
        self.items = [1, [2, {"deep": np.zeros(2)}]]
        self.table = {"a": 1, 2: (np.ones(2),)}
        self.seen, self.last = {1, 2}, deque([1, 2], maxlen=3)
        self.slotted, self.itself = Slotted(), self
        self.random = random.Random(1)


def _change(model: Model) -> None:
    model.number += 1
    model.nothing, model.new = 1, 2  # type: ignore[attr-defined]
    del model.text
    model.array[0] = 7
    model.items[1][1]["deep"][:] = np.nan  # type: ignore[index]
    model.items.append(3)
    model.table[2][0][0] = 9  # type: ignore[index]
    del model.table["a"]
    model.seen.add(3)
    model.last.extend([3, 4])
    model.slotted.value = 5
    Model.kept = [1]
    model.random.random()


def test_every_change_is_found_named_and_put_back() -> None:
    model = Model()
    state = State([model], Access())
    assert state.changes() == []
    _change(model)
    names = {change.place.name for change in state.changes() if not change.same}
    assert {"number", "nothing", "new", "text", "array", "seen", "last", "slotted.value", "Model.kept", "items"} <= names
    assert {"items['deep']", "table[2]", "table['a']"} <= names
    assert not any("random" in name for name in names)  # randomness is no state
    later = State([model], Access(), state)
    assert state.restore() == []
    assert state.changes() == []
    assert (model.number, model.text, model.nothing, model.seen, list(model.last)) == (1, "a", None, {1, 2}, [1, 2])
    assert not hasattr(model, "new")
    assert model.array[0] == 0
    assert model.items[1][1]["deep"].tolist() == [0, 0]  # type: ignore[index]
    assert list(model.table) == ["a", 2]
    assert Model.kept is None
    later.restore()
    assert (model.number, model.slotted.value, Model.kept, list(model.last)) == (2, 5, [1], [2, 3, 4])
    state.restore()


def test_what_is_replaced_by_its_equal_is_no_change() -> None:
    model = Model()
    state = State([model], Access())
    model.array, model.number, model.nan = model.array.copy(), 1, float("nan")
    model.items = [1, [2, {"deep": np.zeros(2)}]]
    model.array[:] = model.array
    assert {change.same for change in state.changes()} == {True}
    assert {change.place.name for change in state.changes()} == {"array", "items"}


def test_closures_and_defaults_of_the_users_functions() -> None:
    calls, table = 0, np.zeros(2)

    def function(x: int, held: list[int] = []) -> int:  # noqa: B006
        nonlocal calls
        calls += 1
        table[0] += 1
        held.append(x)
        return calls

    state = State([types.MethodType(function, 3)], Access())
    function(1)
    assert {change.place.name for change in state.changes()} >= {"calls", "table"}
    state.restore()
    assert function(2) == 1
    assert function.__defaults__ == ([2],)
    assert 1 in state.constants


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        ({"y": np.array([1.0, np.nan, np.inf])}, {"y": np.array([1.0, np.nan, np.inf])}, ""),
        ({"y": np.array([1.0, 2.0])}, {"y": np.array([1.0, 2.0000001])}, ""),
        ({"y": np.array([1.0, 2.0])}, {"y": np.array([1.0, 2.001])}, "output 'y' differs by up to 0.001"),
        ({"y": np.array([1.0, 2.0])}, {"y": np.array([1.0, np.nan])}, "output 'y' differs by up to nan"),
        ({"y": np.array([1.0, 2.0])}, {"y": np.array([[1.0, 2.0]])}, "output 'y' has another shape"),
        ({"y": np.array([1, 2])}, {"y": np.array([1, 3])}, "output 'y' has other values"),
        ({"y": np.array([1, 2])}, None, "the model fails"),
        (None, None, ""),
    ],
)
def test_the_difference_of_two_answers(left: Any, right: Any, said: str) -> None:
    assert difference(left, right) == said
