"""The command `portinf doctor`: what works on this machine, and what is missing."""

from __future__ import annotations

import json

import click
import cloup

from portinf.cli.options import json_option

__all__ = ["command"]


@cloup.command("doctor")
@json_option
def command(as_json: bool) -> None:
    """Show what is installed and what works here.

    Lists packages, routes to ONNX, targets and servers, each with the reason if it does not work.

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
