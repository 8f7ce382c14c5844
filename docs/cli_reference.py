"""Turns the command line's own help into ``docs/cli.md``: run ``python docs/cli_reference.py`` after changing an option."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from portinf.cli.main import COMMANDS, cli

__all__ = ["PAGE", "commands", "reference"]

PAGE = Path(__file__).with_name("cli.md")
WIDTH = 79  # of a command's help on a terminal of 80 columns; the help of the group, which click writes, is one narrower
HEAD = """\
# Command line reference

Written by `docs/cli_reference.py` from the help of each command; do not edit. A test compares it with the commands.

Results go to stdout, progress and errors to stderr. How-to pages: [convert](howto/convert.md),
[tensorrt](howto/tensorrt.md), [validate](howto/validate.md), [package](howto/package.md), [serve](howto/serve.md),
[troubleshooting](howto/troubleshooting.md).
"""


def _context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    settings = command.context_settings if parent is None else {}
    names = settings.get("help_option_names", parent.help_option_names if parent else None)
    width = WIDTH - (parent is None)
    return command.context_class(
        command, parent=parent, info_name=name, terminal_width=width, max_content_width=width, help_option_names=names
    )


def commands() -> dict[str, tuple[click.Command, click.Context]]:
    """Return every command with the context in which its help is written, by its full name, ``portinf`` first."""
    top = _context(cli, "portinf")
    found: dict[str, tuple[click.Command, click.Context]] = {"portinf": (cli, top)}
    for name in COMMANDS:
        command = cli.get_command(top, name)
        assert command is not None
        found[f"portinf {name}"] = (command, _context(command, name, top))
    return found


def reference() -> str:
    """Return the text of the page."""
    parts = [HEAD]
    for name, (command, context) in commands().items():
        parts.append(f"## {name}\n\n```\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def main() -> int:
    """Write the page."""
    PAGE.write_text(reference(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
