"""``portinf sample``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import cloup

from portinf.cli.options import json_option, read_sourcing_options, source_options
from portinf.cli.progress import progress_line
from portinf.core.errors import UsageError

__all__ = ["command"]


@cloup.command("sample")
@cloup.argument("source")
@cloup.option_group(
    "Output",
    click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="S.npz", help="File to write."),
    click.option("--size", "sizes", multiple=True, metavar="AXIS=N", help="Length of a dynamic axis."),
)
@source_options
@json_option
def command(source: str, output: Path, sizes: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Write example inputs for a model.

    SOURCE is an ONNX file, a packaged model, a folder of optimize, a live model
    (see validate), or a source as for convert.

    \b
    Example:
      portinf sample model.onnx --size batch=16 -o s.npz
    """
    from portinf.commands.sample import sample

    with progress_line() as progress:
        batch = sample(source, output, _sizes(sizes), read_sourcing_options(given), progress)
    shapes = {name: list(array.shape) for name, array in batch.inputs.items()}
    if as_json:
        types = {name: str(array.dtype) for name, array in batch.inputs.items()}
        click.echo(json.dumps({"output": str(output), "shapes": shapes, "types": types}, indent=2))
        return
    click.echo(f"{output}:")
    for name, array in batch.inputs.items():
        click.echo(f"  {name}  {array.dtype} {list(array.shape)}")


def _sizes(texts: tuple[str, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for text in texts:
        label, sign, value = text.rpartition("=")
        if not sign or not value.isdigit():
            raise UsageError(f"--size {text}: expected AXIS=N, for example batch=16")
        found[label] = int(value)
    return found
