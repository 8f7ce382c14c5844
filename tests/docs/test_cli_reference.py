"""The documentation against the command line: nothing stale, no command and no option left out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from docs.cli_reference import PAGE, commands, reference
from portinf.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HOWTO = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs/howto").glob("*.md")))
NAMES = list(commands())


def _options(name: str) -> list[str]:
    """Return the long options of a command."""
    command, context = commands()[name]
    options = [parameter for parameter in command.get_params(context) if isinstance(parameter, click.Option)]
    return [text for option in options for text in option.opts if text.startswith("--")]


def _section(name: str) -> str:
    """Return the part of the reference that is about one command."""
    return PAGE.read_text(encoding="utf-8").split(f"\n## {name}\n")[1].split("\n## ")[0]


def test_the_page_is_what_the_script_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "docs/cli.md is stale: run python docs/cli_reference.py"


def test_every_command_has_a_section() -> None:
    assert ["portinf", *(f"portinf {name}" for name in COMMANDS)] == NAMES
    for name in NAMES:
        assert _section(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_has_every_option(name: str) -> None:
    assert [option for option in _options(name) if option not in _section(name)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_and_a_page_of_the_howtos_name_the_command(name: str) -> None:
    assert f"`{name}`" in README
    assert f"portinf {name}" in HOWTO


def test_the_howtos_explain_every_option() -> None:
    every = {option for name in NAMES for option in _options(name)} - {"--help", "--version"}
    assert sorted(option for option in every if f"{option}" not in HOWTO) == []


def test_the_shown_help_is_what_a_terminal_shows() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "portinf", "doctor", "--help"], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT
    )
    assert done.stdout.strip() in _section("portinf doctor")
