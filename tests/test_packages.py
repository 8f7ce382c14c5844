"""The package list of setup.py against the tree, the links, and the names that are promised."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def _setup_arguments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    told: dict[str, Any] = {}
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("setuptools.setup", lambda **given: told.update(given))
    runpy.run_path("setup.py")
    return told


def test_the_package_list_is_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [path.parent.relative_to(ROOT / "portinf") for path in (ROOT / "portinf").rglob("__init__.py")]
    for name in ("cli", "converters"):
        found += [path.parent.relative_to(ROOT) for path in (ROOT / name).rglob("__init__.py")]
    expected = {".".join(("portinf", *path.parts)) for path in found}
    packages = _setup_arguments(monkeypatch)["packages"]
    assert sorted(packages) == sorted(expected)


def test_the_links_make_the_checkout_look_like_the_install() -> None:
    for name in ("cli", "converters"):
        link = ROOT / "portinf" / name
        assert link.is_symlink()
        assert link.resolve() == ROOT / name


def test_every_module_states_its_public_names() -> None:
    modules = [
        p
        for d in ("portinf", "cli", "converters")
        for p in (ROOT / d).rglob("*.py")
        if not p.is_relative_to(ROOT / "portinf/cli")
    ]
    exempt = {"__main__.py", "model.py"}  # model.py of the backend is loaded by Triton by its name
    missing = [
        str(path.relative_to(ROOT))
        for path in modules
        if "__all__" not in path.read_text()
        and path.name not in exempt
        and path.read_text().count("\n") > 1
        and "backends" not in path.parts
    ]
    assert missing == []


def test_package_data_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    for package, patterns in _setup_arguments(monkeypatch)["package_data"].items():
        for pattern in patterns:
            assert list((ROOT / package.replace(".", "/")).glob(pattern)), (package, pattern)
