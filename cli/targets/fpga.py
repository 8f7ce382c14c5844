"""What ``portinf optimize --target hls4ml`` takes beside the options of every target, and what it prints."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from portinf.cli.options import read_stream_options
from portinf.cli.options.metrics import read_physics_options
from portinf.cli.progress import progress_line, tell
from portinf.core.errors import UsageError

if TYPE_CHECKING:
    from portinf.targets.fpga.options import FpgaResult

__all__ = ["TARGET", "fpga_options", "refuse_fpga_options", "run_fpga"]

F = TypeVar("F", bound=Callable[..., Any])
TARGET = "hls4ml"
NAMES = {"part": "--part", "clock_ns": "--clock-ns", "reuse": "--reuse"}
NAMES |= {"strategy": "--strategy", "io": "--io", "csim": "--csim", "hdl": "--hdl", "rtl": "--rtl", "synth": "--synth"}


def fpga_options(function: F) -> F:
    """Add the options of the target hls4ml; None where one is not given."""
    options = (
        click.option("--part", metavar="PART", help="hls4ml: the device (xcvu13p-flga2577-2-e)."),
        click.option(
            "--clock-ns", type=click.FloatRange(min=0, min_open=True), metavar="T", help="hls4ml: clock period in ns (5)."
        ),
        click.option(
            "--reuse", type=click.IntRange(min=1), metavar="R", help="hls4ml: products that one multiplier computes (1)."
        ),
        click.option(
            "--strategy",
            type=click.Choice(["latency", "resource", "distributed_arithmetic"]),
            help="hls4ml: how products are built (latency).",
        ),
        click.option("--io", type=click.Choice(["parallel", "stream"]), help="hls4ml: how data enters and leaves (parallel)."),
        click.option(
            "--csim/--no-csim", default=None, help="hls4ml: compile the C simulation with g++ and check against it (yes)."
        ),
        click.option(
            "--hdl", type=click.Choice(["verilog", "vhdl"]), help="hls4ml: language of distributed_arithmetic's RTL (verilog)."
        ),
        click.option(
            "--rtl/--no-rtl",
            default=None,
            help="hls4ml: simulate that RTL and check against it (where Verilator is installed).",
        ),
        click.option("--synth", is_flag=True, default=None, help="hls4ml: count that RTL's LUTs and flip-flops with yosys."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def refuse_fpga_options(given: dict[str, Any], target: str) -> None:
    """Refuse these options where another target was given.

    Raises:
        UsageError: names the option.
    """
    for key, option in NAMES.items():
        if given[key] is not None:
            raise UsageError(f"{option} does not fit --target {target}: it is for --target {TARGET}")


def run_fpga(model: Path, output: Path, inputs: tuple[Path, ...], as_json: bool, given: Mapping[str, Any]) -> None:
    """Make the folder and print what came out."""
    from portinf.targets.fpga.optimize import optimize_fpga
    from portinf.targets.fpga.options import TOLERANCE, FpgaOptions
    from portinf.validation import Tolerance

    if given["threads"]:
        raise UsageError(f"--threads does not fit --target {TARGET}")
    physics = read_physics_options(given)
    if physics.discrimination is not None or physics.regression is not None:
        option = "--label" if given["label"] else "--truth"
        raise UsageError(f"{option} does not fit --target {TARGET}: the folder is judged by it with portinf validate")
    told = {key: given[key] for key in ("part", "reuse", "strategy", "csim", "hdl", "rtl", "synth") if given[key] is not None}
    if given["precision"] is not None:
        told["precision"] = given["precision"]
    if given["clock_ns"] is not None:
        told["clock"] = given["clock_ns"]
    rtol, atol = (TOLERANCE if given[key] is None else given[key] for key in ("rtol", "atol"))
    options = FpgaOptions(
        inputs=inputs,
        streams=read_stream_options(given),
        tolerance=Tolerance.of(rtol, atol),
        stream=given["io"] == "stream",
        **told,
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
    click.echo(f"  {result.hop.summary()}")
    for check in result.hop.checks:
        if check.name in ("C simulation", "da4ml logic", "RTL", "hardware figures", "errors by layer", "leaves"):
            click.echo(f"  {check.name}: {check.text}")
    click.echo(f"  {', '.join(f'{name}: {tag}' for name, tag in result.tags.items())}")
