"""A fixed-point network -> da4ml's combinational logic (DAIS) and its Verilog or VHDL, registers between stages."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from decimal import localcontext
from pathlib import Path
from typing import Any

import numpy as np

from portinf.core.child import run_module
from portinf.core.errors import CannotError, PortinfError, first_line
from portinf.core.optional import require
from portinf.fixedpoint.network import Network, load
from portinf.targets.fpga.tools.da4ml_casts import FINEST
from portinf.targets.fpga.tools.da4ml_layers import LAYERS, Tracing

__all__ = [
    "DEEPEST",
    "DIGITS",
    "FIGURES",
    "LOGIC",
    "SECONDS",
    "TOP",
    "LogicOptions",
    "exact_numbers",
    "network_logic",
    "run_da4ml",
    "write_hdl",
    "write_logic",
]

TOP = "portinf_model"
LOGIC = "model/comb.json"
FIGURES = "figures.json"
SECONDS = 3600.0
DIGITS = 200  # of the decimal numbers that da4ml counts ranges with: 28 would round some
DEEPEST = 200_000  # calls that da4ml's collecting of variables may nest


@dataclass(frozen=True, kw_only=True)
class LogicOptions:
    """Options of da4ml.

    Attributes:
        part: the device, for the vendor's build script.
        clock: nanoseconds; a stage holds as many of da4ml's units of depth, which it takes for about a nanosecond each.
        hdl: ``verilog`` or ``vhdl``.
    """

    part: str
    clock: float
    hdl: str = "verilog"


def write_logic(network: Path, folder: Path, options: LogicOptions) -> Mapping[str, Any]:
    """Write logic, HDL and figures of a saved network into a folder, in a process of its own.

    Args:
        network: folder that `portinf.fixedpoint.network.save` wrote.
        folder: made: ``model/comb.json``, ``src``, ``sim``, the vendors' build scripts, ``figures.json``.
        options: part, clock and language.

    Returns:
        da4ml's own figures: ``cost`` (LUTs, its estimate), ``registers`` (bits), ``stages``, ``operations``; and what the
        simulation's runner reads: ``hdl``, ``given`` and ``found`` (sign, integer and fraction bits).

    Raises:
        MissingPackageError: da4ml is not installed.
        CannotError: a layer that is not laid out, or numbers that da4ml does not hold exactly; the message names the layer.
    """
    return run_da4ml("portinf.targets.fpga.tools.da4ml", [str(network), str(folder), json.dumps(asdict(options))], folder)


def run_da4ml(
    module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run a module that lays logic out into a folder in a separate process, and return the figures that it left there.

    Raises:
        MissingPackageError: what it imports is not installed.
        CannotError: it cannot lay the model out, fails, or takes too long.
    """
    run_module(module, *arguments, tool="da4ml", task="lay the network out", seconds=SECONDS, environment=environment)
    found: dict[str, Any] = json.loads((folder / FIGURES).read_text(encoding="utf-8"))
    return found


def main(network: str, folder: str, options: str) -> None:
    """Write here: the child's side."""
    sys.setrecursionlimit(DEEPEST)
    write_hdl(network_logic(load(Path(network))), Path(folder), LogicOptions(**json.loads(options)))


@contextmanager
def exact_numbers() -> Iterator[None]:
    """Let da4ml 0.6 count with as many digits as its numbers need.

    Its decimals have 28 digits, and it looks for the last bit of a constant between 2**-32 and 2**32 alone. Its variables carry
    powers of two that pile up from layer to layer; constants beyond come out on another grid than the Verilog takes them for.
    """
    modules = [require(f"da4ml.trace.{name}", "fpga") for name in ("fixed_variable", "tracer")]
    before = [module._const_f for module in modules]
    with localcontext() as context:
        context.prec = DIGITS
        for module in modules:
            module._const_f = _last_bit
        try:
            yield
        finally:
            for module, function in zip(modules, before, strict=True):
                module._const_f = function


def _last_bit(value: Any) -> int:
    """Return how many fraction bits a constant has; negative where its last integer bits are 0."""
    mantissa, exponent = math.frexp(float(value))
    whole = abs(int(mantissa * 2**53))
    return 53 - exponent - ((whole & -whole).bit_length() - 1) if whole else -FINEST


def write_hdl(logic: Any, folder: Path, options: LogicOptions) -> None:
    """Write the HDL, the logic and its figures into a folder.

    Raises:
        CannotError: da4ml cannot.
    """
    rtl = require("da4ml.codegen", "fpga").RTLModel
    try:
        with exact_numbers():
            model = rtl(
                logic,
                TOP,
                folder,
                flavor=options.hdl,
                latency_cutoff=max(1.0, options.clock),
                print_latency=False,
                part_name=options.part,
                clock_period=options.clock,
            )
            model.write()
    except Exception as error:
        raise CannotError(f"da4ml cannot write {options.hdl} of the network: {first_line(error)}") from error
    for path in (folder / "src").glob(f"{TOP}*.v"):
        path.write_text(_sized(path.read_text(encoding="utf-8")), encoding="utf-8")
    for path in (folder / "src" / "memfiles").glob("*.mem"):
        path.write_text(
            path.read_text(encoding="utf-8").rstrip() + "\n", encoding="utf-8"
        )  # else Verilator drops the last number
    logic.save(folder / LOGIC)
    stages = model._pipe
    figures = {
        "hdl": options.hdl,
        "given": _widest(logic.inp_kifs),
        "found": _widest(logic.out_kifs),
        "cost": round(logic.cost),
        "registers": int(stages.reg_bits),
        "stages": len(stages.solutions),
        "operations": len(logic.ops),
        "tables": len(logic.lookup_tables or ()),
    }
    (folder / FIGURES).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _widest(formats: Any) -> list[int]:
    """Return sign, integer bits without it, and fraction bits that hold all numbers of one side of the wrapper."""
    return [int(row.max()) for row in np.asarray(formats)]


def _sized(text: str) -> str:
    """Give constants their width: da4ml 0.6 writes ``'b1...``, which Verilog takes up to 32 bits alone."""
    return re.sub(
        r"assign (v\d+)\[(\d+):0\] = 'b([01]+);", lambda m: f"assign {m[1]}[{m[2]}:0] = {int(m[2]) + 1}'b{m[3]};", text
    )


def network_logic(network: Network) -> Any:
    """Lay a network out as da4ml's ``CombLogic``: its inputs in their formats one after another, then its outputs' layers.

    Raises:
        MissingPackageError: da4ml is not installed.
        CannotError: see `write_logic`.
    """
    trace = require("da4ml.trace", "fpga")
    with exact_numbers():
        config = trace.HWConfig(1, -1, -1)
        options = {"hard_dc": 2}
        variable = require("da4ml.trace.fixed_variable", "fpga").FixedVariable
        tracing = Tracing(
            lambda items: trace.FixedVariableArray(items, options, hwconf=config),
            lambda value: variable.from_const(value, config),
        )
        given = {item.name: _input(trace, item.format, item.inner_shape, config) for item in network.inputs}
        values = dict(given)
        for layer in network.layers:
            if layer.kind not in LAYERS:
                raise CannotError(f"{layer.name}: a layer '{layer.kind}' is not laid out; there are: {', '.join(LAYERS)}")
            formats = [network.format_of(name) for name in layer.inputs]
            try:
                values[layer.name] = LAYERS[layer.kind](layer, [values[name] for name in layer.inputs], formats, tracing)
            except PortinfError:
                raise
            except Exception as error:
                raise CannotError(f"{layer.name}: da4ml does not lay it out: {first_line(error)}") from error
        outputs = [values[name].ravel() for name in dict.fromkeys(network.outputs.values())]
        inputs = np.concatenate([array.ravel() for array in given.values()])
        return trace.comb_trace(list(inputs), list(np.concatenate(outputs)), keep_dead_inputs=True)


def _input(trace: Any, format: Any, shape: tuple[int, ...], config: Any) -> Any:
    if format.fraction > FINEST:
        raise CannotError(f"an input of {format}: da4ml holds up to {FINEST} fraction bits")
    bits = (int(format.signed), format.integer - format.signed, format.fraction)
    return trace.FixedVariableArray.from_kif(*(np.full(shape, number) for number in bits), hwconf=config)._vars
