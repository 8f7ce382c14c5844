"""Options of ``portinf optimize --target hls4ml``, and the text of its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click
import cloup

if TYPE_CHECKING:
    from portinf.targets.fpga.options import FpgaOptions, FpgaResult

__all__ = ["GROUPS", "OPTIONS", "lines", "read"]

GROUPS = ("FPGA (hls4ml)",)
OPTIONS = cloup.option_group(
    GROUPS[0],
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


def read(given: Mapping[str, Any]) -> FpgaOptions:
    """Turn the text of the options into data."""
    from portinf.targets.fpga.options import FpgaOptions

    chosen = {key: given[key] for key in ("part", "reuse", "strategy", "csim", "hdl", "rtl", "synth") if given[key] is not None}
    if given["precision"] is not None:
        chosen["precision"] = given["precision"]
    if given["clock_ns"] is not None:
        chosen["clock"] = given["clock_ns"]
    return FpgaOptions(stream=given["io"] == "stream", **chosen)


def lines(result: FpgaResult) -> Iterator[str]:
    """Yield the text on a written folder."""
    yield f"{result.folder}: {result.project}, {result.folder}/report.html"
    width = max(len(layer["name"]) for layer in result.layers)
    for layer in result.layers:
        roles = [f"{role} {layer[role]}" for role in ("weight", "scale", "bias", "alpha", "accum") if role in layer]
        yield f"  {layer['name']:{width}}  {layer['result']}" + (f"  ({', '.join(roles)})" if roles else "")
    yield f"  {result.comparison.summary()}"
    for check in result.comparison.checks:
        if check.name in ("C simulation", "da4ml logic", "RTL", "hardware figures", "errors by layer", "leaves"):
            yield f"  {check.name}: {check.text}"
    yield f"  {', '.join(f'{name}: {tag}' for name, tag in result.tags.items())}"
