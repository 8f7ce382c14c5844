"""The command `portinf inspect`: what a file holds and who can serve it."""

from __future__ import annotations

import json

import click
import cloup

from portinf.cli.options import json_option

__all__ = ["command"]


@cloup.command("inspect")
@cloup.argument("model")
@json_option
def command(model: str, as_json: bool) -> None:
    """Describe MODEL: a file, a package, a folder of optimize or a live model.

    Shows names, types, axes, operators, size, provenance and the Triton releases that
    can load it. For the folder of a packaged model: its newest version, and whether
    files were changed since.

    \b
    Example:
      portinf inspect facile.onnx
      portinf inspect models/facile --json
    """
    from portinf.commands.inspect import inspect

    inspection = inspect(model)
    if as_json:
        click.echo(json.dumps(inspection.to_json(), indent=2, default=str))
        return
    from portinf.commands.inspect_text import render

    click.echo(render(inspection))
