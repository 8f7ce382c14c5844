"""A judged network -> da4ml's logic and HDL in its folder, held bit for bit against the emulator, and the open tools' figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_dir

from portinf.core.batch import Arrays
from portinf.core.errors import CannotError, DisagreementError, MissingPackageError
from portinf.core.optional import available
from portinf.core.progress import Progress
from portinf.core.signature import Signature
from portinf.fixedpoint.emulator import Emulator
from portinf.fixedpoint.network import Network
from portinf.targets.fpga.folder import NETWORK, RTL
from portinf.targets.fpga.options import FpgaOptions
from portinf.targets.fpga.quantize.choose import Judged
from portinf.targets.fpga.runners.da4ml import DaisRunner, LogicRunner, RtlRunner
from portinf.targets.fpga.tools.da4ml import LogicOptions, write_logic
from portinf.targets.fpga.tools.rule4ml import predicted
from portinf.targets.fpga.tools.verilator import build_simulation, missing_tools
from portinf.targets.fpga.tools.yosys import mapped
from portinf.validation import CheckResult

__all__ = ["ROWS", "Hardware", "Logic", "hold_rtl", "rows_of", "write_rtl"]

ROWS = 10_000  # of the samples, on which logic and RTL are compared with the emulator
ANYWHERE = 1_000  # rows more, drawn over the whole range of the inputs' formats
WIDEST = 32  # bits of a number that da4ml's simulation takes in or gives out


@dataclass(kw_only=True)
class Hardware:
    """What was found out.

    Attributes:
        checks: equality of logic and RTL, and the figures in words.
        facts: figures by name.
        tags: the source of each, by the same names.
    """

    checks: list[CheckResult] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def figure(self, name: str, text: str, tag: str) -> None:
        """Add one."""
        self.facts[name], self.tags[name] = text, tag

    def text(self) -> str:
        """Say all figures in one line, each with its source."""
        return "; ".join(f"{name}: {text} ({self.tags[name]})" for name, text in self.facts.items())


@dataclass(frozen=True, kw_only=True)
class Logic:
    """da4ml's logic of a network, and what it must answer.

    Attributes:
        network, signature: of what it computes.
        folder: with its HDL.
        figures: that da4ml logic_options of it.
        rows: requests.
        expected: the exact answers to them, by output.
    """

    network: Network
    signature: Signature
    folder: Path
    figures: Mapping[str, Any]
    rows: Arrays
    expected: Mapping[str, object]


def write_rtl(folder: Path, judged: Judged, signature: Signature, options: FpgaOptions, progress: Progress) -> Hardware:
    """Write ``rtl`` into a folder that has its network already.

    Raises:
        MissingPackageError: da4ml is not installed, or a tool that was asked for.
        CannotError: a layer is not laid out, or a build fails.
        DisagreementError: logic or RTL is not equal to the emulator.
    """
    if not judged.emulated:
        raise CannotError(f"{judged.why_not}: da4ml's logic is compared with the exact emulator, which cannot compute it")
    progress("implementing the network (da4ml)")
    logic_options = LogicOptions(part=options.part, clock=options.clock, hdl=options.hdl)
    figures = write_logic(folder / NETWORK, folder / RTL, logic_options)
    found, network, rows = Hardware(), judged.network, rows_of(judged.network, judged.samples)
    expected = Emulator(network).run(rows)
    logic = Logic(network=network, signature=signature, folder=folder / RTL, figures=figures, rows=rows, expected=expected)
    _equal(found, "da4ml logic", "emulated", DaisRunner(logic.folder, network, signature, "da4ml logic"), logic)
    hold_rtl(found, logic, options, progress)
    _predicted(found, judged.network, options, progress)
    found.checks.append(CheckResult(name="hardware figures", status="reported", text=found.text()))
    return found


def hold_rtl(found: Hardware, logic: Logic, options: FpgaOptions, progress: Progress) -> None:
    """Simulate the RTL, compare it with what is expected, and add the open tools' figures.

    Raises:
        MissingPackageError: a tool that was asked for is not installed.
        CannotError: a build fails.
        DisagreementError: the RTL is not equal.
    """
    simulated, figures = _simulated(found, logic, options, progress), logic.figures
    found.figure("LUT (da4ml's cost)", f"{figures['cost']:,}", "estimated")
    found.figure("FF (da4ml's register bits)", f"{figures['registers']:,}", "estimated")
    clocks = f"{figures['stages'] + 1} clocks to the output, one row a clock"
    found.figure("latency of the RTL", clocks, "measured-rtl" if simulated else "estimated")
    _synthesised(found, logic.folder, options, progress)


def rows_of(network: Network, samples: Arrays, given: int = ROWS, anywhere: int = ANYWHERE) -> Arrays:
    """Return the first rows of the samples, and rows drawn anywhere in the formats, a tenth as many at their ends."""
    draw = np.random.default_rng(0)
    rows: Arrays = {}
    for item in network.inputs:
        drawn = draw.integers(item.format.low, item.format.high + 1, (anywhere, *item.shape)) * item.format.step
        ends = draw.choice([item.format.smallest, item.format.largest], (anywhere // 10, *item.shape))
        rows[item.name] = np.concatenate([samples[item.name][:given].astype(np.float64), drawn, ends])
    return rows


def _equal(found: Hardware, name: str, tag: str, runner: LogicRunner, logic: Logic) -> None:
    """Demand equality, bit for bit."""
    answers = runner.infer_double(logic.rows)
    count = len(next(iter(logic.rows.values())))
    for output, numbers in answers.items():
        differing = np.any((numbers != logic.expected[output]).reshape(count, -1), axis=1)
        if differing.any():
            raise DisagreementError(
                f"{name}: output '{output}' differs from the exact emulation in {int(differing.sum()):,} of {count:,} rows, the "
                f"first row {int(differing.argmax())}: it is not written"
            )
    text = f"equal to the emulation bit for bit on {count:,} rows ({tag})"
    found.checks.append(CheckResult(name=name, status="passed", text=text, figures={"rows": count}))
    found.tags[name] = tag


def _simulated(found: Hardware, logic: Logic, options: FpgaOptions, progress: Progress) -> bool:
    """Build the RTL's simulation and compare it with the emulator, if requested and possible."""
    why = _why_not(options, logic.figures)
    if why:
        found.checks.append(CheckResult(name="RTL", status="not applicable", text=f"not run here ({why})"))
        found.tags["RTL"] = "not-run"
        return False
    progress(f"building the simulation of the RTL ({options.hdl}, Verilator): minutes")
    build_simulation(logic.folder, options.hdl, (options.cache or Path(user_cache_dir("portinf"))) / "rtl")
    progress("comparing the RTL with the emulator")
    _equal(found, "RTL", "measured-rtl", RtlRunner(logic.folder, logic.network, logic.signature, "RTL"), logic)
    return True


def _why_not(options: FpgaOptions, figures: Mapping[str, Any]) -> str:
    """Say why the RTL is not simulated; nothing where it is."""
    if options.rtl is False:
        return "--no-rtl"
    wide = max(sum(figures["given"]), sum(figures["found"]))
    if wide > WIDEST:
        text = f"numbers of {wide} bits go in or out; the simulation supports up to {WIDEST}"
        if options.rtl:
            raise CannotError(f"--rtl: {text}")
        return text
    gone = missing_tools(options.hdl)
    return f"missing: {', '.join(gone)}; Debian: apt install {' '.join(gone)}" if gone and options.rtl is None else ""


def _synthesised(found: Hardware, rtl: Path, options: FpgaOptions, progress: Progress) -> None:
    """Count what yosys maps the Verilog to; its own mapping, not the vendor's synthesis."""
    name = "mapping by yosys"
    if not options.synth:
        found.figure(name, "not run here (--synth runs it: minutes)", "not-run")
        return
    progress("mapping with yosys: minutes")
    counts = mapped(rtl, options.part)
    for cell, count in counts.items():
        if count or cell in ("LUT", "FF"):
            found.figure(f"{cell} (yosys synth_xilinx)", f"{count:,}", "measured-yosys")


def _predicted(found: Hardware, network: Network, options: FpgaOptions, progress: Progress) -> None:
    """Ask rule4ml where it is installed; what it predicts is hls4ml's own HLS build, not this RTL."""
    if not available("rule4ml"):
        found.figure("prediction by rule4ml", "not run here (pip install --no-deps rule4ml)", "not-run")
        return
    progress("asking rule4ml")
    try:
        about, figures = predicted(network, options.part, options.strategy, options.reuse)
    except (CannotError, MissingPackageError) as error:
        found.figure("prediction by rule4ml", f"not run here ({error})", "not-run")
        return
    for cell, value in figures.items():
        found.figure(f"{cell} (rule4ml, {about})", f"{value:,.0f}", "estimated")
