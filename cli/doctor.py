"""The command `portinf doctor`: what works on this machine, and what is missing."""

from __future__ import annotations

import json

import click

from portinf.cli.options import json_option

__all__ = ["command"]


@click.command("doctor")
@json_option
def command(as_json: bool) -> None:
    """Say what is installed and which routes, targets and servers work here, and why the others do not.

    Nothing is imported, started or changed.

    \b
    Example:
      portinf doctor
      portinf doctor --json
    """
    from portinf.commands.doctor import diagnose

    diagnosis = diagnose()
    if as_json:
        click.echo(json.dumps(diagnosis.to_json(), indent=2))
        return
    from portinf.commands.doctor_text import render

    click.echo(render(diagnosis))
