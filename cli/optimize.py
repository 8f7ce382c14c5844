"""``portinf optimize``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from portinf.cli.options import COLUMNS, TOLERANCE, json_option, read_stream_options
from portinf.cli.options.metrics import METRICS
from portinf.cli.options.precision import PRECISION, check_precision, precision_lines, read_precision_physics
from portinf.cli.progress import progress_line
from portinf.cli.targets import check_options
from portinf.cli.targets.fpga import TARGET as FPGA
from portinf.cli.targets.fpga import fpga_options, run_fpga
from portinf.cli.targets.onnxruntime import onnxruntime_options, run_search
from portinf.cli.targets.tensorrt import read_tensorrt_options, tensorrt_lines, tensorrt_options
from portinf.core.errors import UsageError

if TYPE_CHECKING:
    from portinf.targets.onnxruntime.optimize import Step

__all__ = ["command"]


@cloup.command("optimize")
@cloup.argument("model", type=click.Path(path_type=Path))
@cloup.option_group(
    "General",
    click.option("--target", required=True, metavar="NAME", help="onnxruntime, tensorrt or hls4ml."),
    click.option(
        "-o",
        "--output",
        required=True,
        type=click.Path(path_type=Path),
        metavar="OUT",
        help="ONNX file to write. For tensorrt and hls4ml: the folder.",
    ),
    click.option("--inputs", multiple=True, type=click.Path(path_type=Path), metavar="FILE", help="Samples to compare on."),
    *COLUMNS,
    *TOLERANCE,
    PRECISION,
)
@onnxruntime_options
@tensorrt_options
@fpga_options
@cloup.option_group("Physics metrics", "Also required of a lower precision; only with --precision or --search.", *METRICS)
@json_option
def command(model: Path, target: str, output: Path, inputs: tuple[Path, ...], as_json: bool, **given: Any) -> None:
    """Optimise MODEL for a target and check that the results agree.

    onnxruntime: writes an ONNX file. If nothing can be improved, it is the
    original, byte for byte.

    tensorrt: writes a folder with the model, shapes, recorded answers and a
    script that builds and checks the engine on the machine with the GPU.

    hls4ml: MODEL is an ONNX file or a source (see convert). Writes a folder with
    an hls4ml project in fixed point, its C simulation, an exact emulator and a
    report; validate accepts it. Boosted trees go through conifer. Number formats
    are chosen and tested on --inputs, within --rtol and --atol (0.01 each). With
    --strategy distributed_arithmetic it also writes Verilog or VHDL, which is
    simulated if Verilator is installed.

    \b
    Examples:
      portinf optimize model.onnx --target onnxruntime -o fast.onnx
      portinf optimize model.onnx --target onnxruntime --precision int8 \\
          --inputs events.npz --atol 0.02 -o small.onnx
      portinf optimize model.onnx --target onnxruntime --search \\
          --inputs events.npz --atol 0.02 --report search.html -o best.onnx
      portinf optimize model.onnx --target tensorrt \\
          --triton-release 24.08 -o trt
      portinf optimize tagger.keras --target hls4ml --inputs jets.npz -o fpga/
    """
    check_options(target)
    if given["report"] is not None and not given["search"]:
        raise UsageError("--report requires --search; for the report of a comparison use portinf validate --report")
    if target != FPGA:
        check_precision(given)
    if target == FPGA:
        run_fpga(model, output, inputs, as_json, given)
        return
    if target == "tensorrt":
        _tensorrt(model, output, inputs, as_json, given)
        return
    _onnxruntime(model, target, output, inputs, as_json, given)


def _onnxruntime(
    model: Path, target: str, output: Path, inputs: tuple[Path, ...], as_json: bool, given: dict[str, Any]
) -> None:
    from portinf.targets.onnxruntime.optimize import optimize
    from portinf.validation import Tolerance

    tolerance = Tolerance.of(given["rtol"], given["atol"])
    physics = read_precision_physics(given)
    if given["search"]:
        run_search(model, output, inputs, given, physics, as_json=as_json)
        return
    with progress_line() as progress:
        result = optimize(
            model,
            target,
            output,
            inputs=inputs,
            streams=read_stream_options(given),
            tolerance=tolerance,
            threads=given["threads"],
            precision=given["precision"],
            physics=physics,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2))
        return
    for note in result.notes:
        click.echo(f"note: {note}", err=True)
    if result.comparison is None:
        click.echo(f"{output}: nothing to improve: the original, byte for byte")
        return
    before, after = result.operators
    click.echo(f"{output}: {before} operators before, {after} after")
    for step in result.steps:
        click.echo(f"  {_step(step)}")
    if result.lowered is not None:
        for line in precision_lines(result.lowered):
            click.echo(f"  {line}")
        click.echo("  {:.3g} ms before, {:.3g} ms after".format(*(seconds * 1e3 for seconds in result.timing)))
    click.echo(f"  {result.comparison.summary()}")


def _tensorrt(model: Path, output: Path, inputs: tuple[Path, ...], as_json: bool, given: dict[str, Any]) -> None:
    from portinf.targets.tensorrt.optimize import optimize_tensorrt
    from portinf.validation import Tolerance

    options = read_tensorrt_options(given, read_precision_physics(given))
    with progress_line() as progress:
        result = optimize_tensorrt(
            model,
            output,
            options,
            inputs=inputs,
            streams=read_stream_options(given),
            tolerance=Tolerance.of(given["rtol"], given["atol"]),
            progress=progress,
        )
    for note in result.notes:
        click.echo(f"note: {note}", err=True)
    lines = [*tensorrt_lines(result), *(f"  {line}" for line in (precision_lines(result.lowered) if result.lowered else ()))]
    click.echo(json.dumps(result.to_json(), indent=2) if as_json else "\n".join(lines))


def _step(step: Step) -> str:
    if not step.kept:
        return f"left out: {step.name}: {step.text}"
    return f"{step.name} ({step.guarantee}): {step.before * 1e3:.3g} ms before, {step.after * 1e3:.3g} ms after"
