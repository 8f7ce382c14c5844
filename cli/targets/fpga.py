"""The options of ``portinf optimize --target hls4ml``, and the text of its result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from portinf.cli.options import read_stream_options
from portinf.cli.progress import progress_line, tell

if TYPE_CHECKING:
    from portinf.targets.fpga.options import FpgaResult

__all__ = ["TARGET", "fpga_options", "run_fpga"]

TARGET = "hls4ml"
fpga_options = cloup.option_group(
    "FPGA (hls4ml)",
    click.option("--part", metavar="PART", help="Device. Default: xcvu13p-flga2577-2-e."),
    click.option(
        "--clock-ns", type=click.FloatRange(min=0, min_open=True), metavar="T", help="Clock period in ns. Default: 5."
    ),
    click.option("--reuse", type=click.IntRange(min=1), metavar="R", help="Reuse factor: products per multiplier. Default: 1."),
    click.option(
        "--strategy",
        type=click.Choice(["latency", "resource", "distributed_arithmetic"]),
        help="How products are implemented. Default: latency.",
    ),
    click.option("--io", type=click.Choice(["parallel", "stream"]), help="How data enters and leaves. Default: parallel."),
    click.option("--csim/--no-csim", default=None, help="Compile the C simulation with g++ and compare with it. Default: yes."),
    click.option(
        "--hdl", type=click.Choice(["verilog", "vhdl"]), help="Language of the RTL of distributed_arithmetic. Default: verilog."
    ),
    click.option(
        "--rtl/--no-rtl", default=None, help="Simulate that RTL and compare with it. Default: if Verilator is installed."
    ),
    click.option("--synth", is_flag=True, default=None, help="Count the LUTs and flip-flops of that RTL with yosys."),
)


def run_fpga(model: Path, output: Path, inputs: tuple[Path, ...], as_json: bool, given: Mapping[str, Any]) -> None:
    """Write the folder and print the result."""
    from portinf.targets.fpga.optimize import optimize_fpga
    from portinf.targets.fpga.options import TOLERANCE, FpgaOptions
    from portinf.validation import Tolerance

    chosen = {key: given[key] for key in ("part", "reuse", "strategy", "csim", "hdl", "rtl", "synth") if given[key] is not None}
    if given["precision"] is not None:
        chosen["precision"] = given["precision"]
    if given["clock_ns"] is not None:
        chosen["clock"] = given["clock_ns"]
    rtol, atol = (TOLERANCE if given[key] is None else given[key] for key in ("rtol", "atol"))
    options = FpgaOptions(
        inputs=inputs,
        streams=read_stream_options(given),
        tolerance=Tolerance.of(rtol, atol),
        stream=given["io"] == "stream",
        **chosen,
    )
    with progress_line() as progress:
        result = optimize_fpga(str(model), output, options, progress)
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2, allow_nan=False))
        return
    _print(result)


def _project(result: FpgaResult) -> str:
    kind = result.facts["kind"]
    for name in ("conifer", "hls4ml"):
        if kind.startswith(name):
            return f"{name} project, exact emulator"
    return kind


def _print(result: FpgaResult) -> None:
    tell(result.notes, as_json=False)
    click.echo(f"{result.folder}: {_project(result)}, {result.folder}/report.html")
    width = max(len(layer["name"]) for layer in result.layers)
    for layer in result.layers:
        roles = [f"{role} {layer[role]}" for role in ("weight", "scale", "bias", "alpha", "accum") if role in layer]
        click.echo(f"  {layer['name']:{width}}  {layer['result']}" + (f"  ({', '.join(roles)})" if roles else ""))
    click.echo(f"  {result.comparison.summary()}")
    for check in result.comparison.checks:
        if check.name in ("C simulation", "da4ml logic", "RTL", "hardware figures", "errors by layer", "leaves"):
            click.echo(f"  {check.name}: {check.text}")
    click.echo(f"  {', '.join(f'{name}: {tag}' for name, tag in result.tags.items())}")
