"""Numbers that the documentation repeats: exit codes, tolerances, versions, engines and targets."""

from __future__ import annotations

import re
from pathlib import Path

from portinf.cli.main import BUG, INTERRUPTED
from portinf.core import errors
from portinf.serving.engines import ENGINES
from portinf.targets import targets
from portinf.triton.releases import DEFAULT_IR, DEFAULT_OPSET, ranges, readers
from portinf.validation.tolerance import DEFAULTS

ROOT = Path(__file__).parents[2]


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _pins(name: str) -> dict[str, str]:
    lines = [line.split("==") for line in _read(name).splitlines() if "==" in line and not line.startswith("#")]
    return {line[0]: line[1] for line in lines}


def _codes() -> set[int]:
    kinds = [getattr(errors, name) for name in errors.__all__]
    return {kind.exit_code for kind in kinds if isinstance(kind, type)} | {0, BUG, INTERRUPTED}


def test_the_readme_lists_every_exit_code() -> None:
    section = _read("README.md").split("## Exit codes")[1].split("\n## ")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)} == _codes()


def test_the_troubleshooting_page_has_a_section_for_every_error_code() -> None:
    page = _read("docs/howto/troubleshooting.md")
    assert {int(code) for code in re.findall(r"^## Exit code (\d+)", page, re.MULTILINE)} == _codes() - {0}


def test_the_tolerances_are_the_defaults() -> None:
    rows = re.findall(r"^\| (\w+) \| ([\de.-]+) \| ([\de.-]+) \|$", _read("docs/howto/validate.md"), re.MULTILINE)
    assert {name: (float(rtol), float(atol)) for name, rtol, atol in rows} == DEFAULTS


def test_the_changelog_names_the_pinned_versions() -> None:
    tables = _read("CHANGELOG.md").split("### Tested versions")[1].split("The serving environment")
    for table, pins in zip(tables, ("constraints.txt", "portinf/serving/engines/pytriton/requirements.txt"), strict=True):
        rows = dict(re.findall(r"^\| ([\w-]+) \| (\d[\w.]*) \|$", table, re.MULTILINE))
        known = _pins(pins)
        assert rows
        assert rows == {name: known.get(name) for name in rows}
    assert set(_pins("portinf/serving/engines/pytriton/requirements.txt")) <= set(rows)


def test_the_pages_name_every_engine_and_target() -> None:
    assert [name for name in ENGINES if f"| `{name}` |" not in _read("docs/howto/serve.md")] == []
    assert [target.name for target in targets() if f"`{target.name}`" not in _read("README.md")] == []


def test_the_default_opset_and_its_readers_are_as_said() -> None:
    text = _read("docs/howto/convert.md")
    assert f"opset {DEFAULT_OPSET} and IR {DEFAULT_IR}" in text
    assert ranges(readers(DEFAULT_OPSET, DEFAULT_IR)) in text
