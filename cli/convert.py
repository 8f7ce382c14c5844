"""``portinf convert``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import cloup

from portinf.cli.options import FILE, convert_options, json_option, read_convert_options
from portinf.cli.progress import progress_line, tell

__all__ = ["command"]


@cloup.command("convert")
@cloup.argument("source")
@cloup.option_group(
    "ONNX file",
    click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="OUT.onnx", help="File to write."),
    *FILE,
)
@convert_options
@json_option
def command(source: str, output: Path, as_json: bool, **given: Any) -> None:
    """Convert SOURCE to ONNX and check that the results agree.

    SOURCE is a path (.keras, .h5, a SavedModel folder, frozen .pb, .tflite,
    TorchScript, .pt2, .onnx, a model file of XGBoost or LightGBM; a pickled
    PyTorch model or scikit-learn estimator with --allow-pickle) or a callable
    that returns a model: file.py:factory or package.module:factory. The result
    is compared with the source on the samples and at other sizes. If they
    disagree, nothing is written and the exit code is 5.

    \b
    Examples:
      portinf convert model.keras -o model.onnx
      portinf convert net.py:build --weights net.pt \\
          --inputs event_a.npz --inputs event_b.npz -o net.onnx
    """
    from portinf.conversion.convert import convert
    from portinf.locate.resolve import take

    take(source, "convert")
    with progress_line() as progress:
        result = convert(source, output, read_convert_options(given), progress)
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2))
        return
    tell(result.notes, as_json=False)
    for name, why in result.tried:
        click.echo(f"note: route '{name}' failed: {why}", err=True)
    click.echo(f"{output}: opset {result.artifact.opset}, IR {result.artifact.ir_version}, by {result.route}")
    for kind, specs in (("input", result.artifact.signature.inputs), ("output", result.artifact.signature.outputs)):
        for spec in specs:
            role = "" if spec.role.kind == "value" else f"  ({spec.role})"
            click.echo(f"  {kind:6} {spec.name}  {spec.dtype} {spec.shape_text()}{role}")
    click.echo(f"  {result.comparison.summary()}")
