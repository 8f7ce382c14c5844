"""The package list of setup.py against the tree, the links, and the names that are promised."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent


def _setup_argument(name: str) -> object:
    tree = ast.parse((ROOT / "setup.py").read_text())
    call = next(node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setup")
    return ast.literal_eval(next(keyword.value for keyword in call.keywords if keyword.arg == name))


def test_the_package_list_is_the_tree() -> None:
    found = {"portinf.cli", "portinf.converters"}
    for init in (ROOT / "portinf").rglob("__init__.py"):
        parts = init.relative_to(ROOT).parent.parts
        if parts[1:2] not in (("cli",), ("converters",)):
            found.add(".".join(parts))
    assert set(_setup_argument("packages")) == found  # type: ignore[call-overload]


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


def test_package_data_exists() -> None:
    for package, patterns in _setup_argument("package_data").items():  # type: ignore[attr-defined]
        for pattern in patterns:
            assert list((ROOT / package.replace(".", "/")).glob(pattern)), (package, pattern)
