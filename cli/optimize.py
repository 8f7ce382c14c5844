"""``portinf optimize``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from portinf.cli.optimize_fpga import TARGET as FPGA
from portinf.cli.optimize_fpga import fpga_options, refuse_fpga_options, run_fpga
from portinf.cli.options import column_options, json_option, read_stream_options, tolerance_options
from portinf.cli.progress import progress_line

if TYPE_CHECKING:
    from portinf.workflow.optimize import Step

__all__ = ["command"]


@click.command("optimize")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--target", required=True, metavar="NAME", help="onnxruntime or hls4ml; tensorrt is not there yet.")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="OUT", help="ONNX file to write; hls4ml: folder."
)
@click.option("--inputs", multiple=True, type=click.Path(path_type=Path), metavar="FILE", help="Samples to compare on.")
@column_options
@tolerance_options
@click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Intra-op threads on which it will run; 1 allows more.",
)
@fpga_options
@json_option
def command(model: Path, target: str, output: Path, inputs: tuple[Path, ...], as_json: bool, **given: Any) -> None:
    """Rewrite MODEL for a target; kept only if it computes the same.

    onnxruntime: an ONNX file is written; one that cannot be improved is returned
    as it is, byte for byte.

    hls4ml: MODEL is an ONNX file or a source (see convert). A folder is written
    with an hls4ml project in fixed point, its C simulation, an exact emulator and
    a report; validate takes it. Boosted trees go through conifer. Formats are
    chosen and judged on --inputs, within --rtol and --atol (0.01 each).

    \b
    Examples:
      portinf optimize model.onnx --target onnxruntime -o fast.onnx
      portinf optimize tagger.keras --target hls4ml --inputs jets.npz -o fpga/
    """
    if target == FPGA:
        run_fpga(model, output, inputs, as_json, given)
        return
    refuse_fpga_options(given, target)
    from portinf.validation import Tolerance
    from portinf.workflow.optimize import optimize

    tolerance = Tolerance.of(given["rtol"], given["atol"])
    with progress_line() as progress:
        result = optimize(
            model,
            target,
            output,
            inputs=inputs,
            streams=read_stream_options(given),
            tolerance=tolerance,
            threads=given["threads"],
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2))
        return
    for note in result.notes:
        click.echo(f"note: {note}", err=True)
    if result.hop is None:
        click.echo(f"{output}: nothing to improve: the original, byte for byte")
        return
    before, after = result.operators
    click.echo(f"{output}: {before} operators before, {after} after")
    for step in result.steps:
        click.echo(f"  {_step(step)}")
    click.echo(f"  {result.hop.summary()}")


def _step(step: Step) -> str:
    if not step.kept:
        return f"left out: {step.name}: {step.text}"
    return f"{step.name} ({step.proof}): {step.before * 1e3:.3g} ms before, {step.after * 1e3:.3g} ms after"
