"""``portinf optimize``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import cloup

from portinf.cli.options import COLUMNS, TOLERANCE, json_option, read_stream_options
from portinf.cli.options.metrics import METRICS
from portinf.cli.options.precision import PRECISION
from portinf.cli.progress import progress_line, tell
from portinf.cli.targets import check_options, page_of, target_options
from portinf.targets import find_target

__all__ = ["command"]


@cloup.command("optimize")
@cloup.argument("model")
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
@target_options
@cloup.option_group("Physics metrics", "Also required of a lower precision; only with --precision or --search.", *METRICS)
@json_option
def command(model: str, target: str, output: Path, inputs: tuple[Path, ...], as_json: bool, **given: Any) -> None:
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
    from portinf.commands.optimize import optimize
    from portinf.validation import Tolerance

    chosen = find_target(target)
    check_options(chosen)
    page = page_of(chosen)
    options, tolerance = page.read(given), Tolerance.of(given["rtol"], given["atol"])
    with progress_line() as progress:
        result = optimize(
            model,
            output,
            target,
            options,
            inputs=inputs,
            streams=read_stream_options(given),
            tolerance=tolerance,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2))
        return
    tell(result.notes, as_json=False)
    for line in page.lines(result):
        click.echo(line)
