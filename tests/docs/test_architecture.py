"""The picture of the layers against pyproject.toml and the tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")


def _picture() -> list[list[str]]:
    """Return the layers as drawn, top first; the names on one line do not import each other."""
    found = re.search(r"^```layers\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None
    return [line.split(" | ") for line in found.group(1).splitlines()]


def test_the_picture_is_the_contract() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no tomllib")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(one for one in settings["tool"]["importlinter"]["contracts"] if one["type"] == "layers")
    assert _picture() == [[name.removeprefix("portinf.") for name in line.split(" | ")] for line in contract["layers"]]


@pytest.mark.parametrize("name", [name for line in _picture() for name in line])
def test_what_the_picture_names_exists(name: str) -> None:
    place = ROOT / "portinf" / name
    assert place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def test_every_top_level_module_is_in_the_picture_and_the_table() -> None:
    entries = [path for path in (ROOT / "portinf").iterdir() if not path.name.startswith("__")]
    modules = {path.stem for path in entries if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert modules == {name for line in _picture() for name in line}
    for name in modules:
        assert any(f"`{place}`" in TEXT for place in (f"portinf/{name}.py", f"portinf/{name}/", f"{name}/")), name


def test_the_contracts_are_where_the_table_says() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([\w./]+)` \|", TEXT, re.MULTILINE)
    assert rows
    for name, place in rows:
        assert re.search(rf"^class {name}\b", (ROOT / place).read_text(encoding="utf-8"), re.MULTILINE), (name, place)
