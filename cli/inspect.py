"""The command `portinf inspect`: what a file holds and who can serve it."""

from __future__ import annotations

import json
from pathlib import Path

import click
import cloup

from portinf.cli.options import json_option

__all__ = ["command"]


@cloup.command("inspect")
@cloup.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@json_option
def command(path: Path, as_json: bool) -> None:
    """Describe an ONNX FILE or a packaged model.

    Shows names, types, axes, operators, size, provenance and the Triton releases that
    can load it. For the folder of a packaged model: its newest version, and whether
    files were changed since.

    \b
    Example:
      portinf inspect facile.onnx
      portinf inspect models/facile --json
    """
    from portinf.commands.inspect import inspect_path

    inspection = inspect_path(path)
    if as_json:
        click.echo(json.dumps(inspection.to_json(), indent=2, default=str))
        return
    from portinf.commands.inspect_text import render

    click.echo(render(inspection))
