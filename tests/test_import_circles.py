"""The check of ``make lint`` finds a circle where there is one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.import_circles import find_circle


def test_no_file_imports_itself_through_others() -> None:
    assert find_circle() == []


def test_a_circle_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    imports = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}
    graph = SimpleNamespace(modules=set(imports), find_modules_directly_imported_by=imports.get)
    monkeypatch.setattr("grimp.build_graph", lambda _: graph)
    circle = find_circle()
    assert set(circle) == {"b", "c"} and circle[0] == circle[-1]
