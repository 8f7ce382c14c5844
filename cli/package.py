"""``portinf package``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import cloup

from portinf.cli.options import FILE, convert_options, json_option, read_convert_options
from portinf.cli.progress import progress_line, tell
from portinf.core.errors import UsageError

__all__ = ["command"]


@cloup.command("package")
@cloup.argument("source")
@cloup.option_group(
    "Repository",
    click.option(
        "--repository",
        required=True,
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Model repository; created if missing.",
    ),
    click.option("--name", metavar="NAME", help="Name of the model. Default: file name of SOURCE without suffix."),
    click.option("--version", default="next", show_default=True, metavar="N", help="Number of the version; never overwritten."),
    click.option(
        "--max-batch-size",
        type=click.IntRange(min=0),
        metavar="N",
        help="Rows that the server may batch. Default: 64 if rows are independent, else 0.",
    ),
    click.option("--force", is_flag=True, help="Package even if the numbers disagree; recorded in the manifest."),
)
@convert_options
@cloup.option_group("ONNX file", *FILE)
@json_option
def command(
    source: str,
    repository: Path,
    name: str | None,
    version: str,
    max_batch_size: int | None,
    force: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Add SOURCE to a Triton model repository, validated.

    SOURCE is an ONNX file, anything that "portinf convert" accepts (it is
    converted first), or a folder of "portinf optimize --target hls4ml" (its
    bit-exact emulation is served). The version appears in one step, with
    config.pbtxt, checksums and recorded answers. If the numbers disagree,
    nothing is written and the exit code is 5.

    \b
    Examples:
      portinf package facile.onnx --repository models --inputs event.npz
      portinf package net.py:build --weights net.pt --inputs event.npz \\
          --repository models --name net --max-batch-size 0
      portinf package fpga/ --inputs jets.npz --repository models --name jet_fpga
    """
    from portinf.commands.package import package
    from portinf.packaging.options import PackageOptions

    conversion = read_convert_options({**given, "force": force})
    options = PackageOptions(
        repository=repository,
        name=name,
        version=_version(version),
        max_batch_size=max_batch_size,
        force=force,
        tolerance=conversion.tolerance,
        recorded=_recorded({"source": source, "max_batch_size": max_batch_size, "force": force, **given}),
    )
    with progress_line() as progress:
        result = package(source, options, conversion, progress)
    tell(result.notes, as_json=as_json)
    if result.packaged.manifest.forced:
        click.echo(f"portinf: warning: packaged by --force although the numbers disagree: {result.summary}", err=True)
    click.echo(json.dumps(result.to_json(), indent=2) if as_json else result.text())


def _version(text: str) -> int | None:
    if text == "next":
        return None
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise UsageError(f"--version {text}: expected 'next' or a whole number from 1 on")
    return int(text)


def _recorded(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given, as plain data."""
    kept = {name: value for name, value in given.items() if value not in (None, (), False)}
    return {name: [str(v) for v in value] if isinstance(value, tuple) else _plain(value) for name, value in kept.items()}


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str)) else str(value)
