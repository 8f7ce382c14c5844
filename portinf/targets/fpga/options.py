"""The options of portinf optimize --target hls4ml, and its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portinf.samples import StreamOptions
from portinf.targets.fpga.parts import DEFAULT_PART
from portinf.targets.fpga.tools.hls4ml import ProjectOptions
from portinf.validation import (
    Comparison,
    Report,
    Tolerance,
)

__all__ = ["CSIM_ROWS", "EXACT", "STRATEGY", "TOLERANCE", "FpgaOptions", "FpgaResult"]

TOLERANCE = 0.01  # rtol and atol where none is given


@dataclass(frozen=True, kw_only=True)
class FpgaOptions:
    """The options of ``portinf optimize --target hls4ml``.

    Attributes:
        precision: ``auto``, or one format for all weights and results.
        part, clock, reuse, strategy, stream: see `portinf.targets.fpga.tools.hls4ml.ProjectOptions`.
        inputs: files with samples.
        streams: how the files' columns become inputs.
        tolerance: when two numbers are equal.
        csim: compile the C simulation and hold it against the emulator.
        hdl: ``verilog`` or ``vhdl``, of distributed arithmetic.
        rtl: simulate that RTL and hold it against the emulator; None where the tools are installed.
        synth: count LUTs and flip-flops with yosys.
        cache: folder of compiled libraries; None for the user's own.
    """

    precision: str = "auto"
    part: str = DEFAULT_PART
    clock: float = 5.0
    reuse: int = 1
    strategy: str = "latency"
    stream: bool = False
    inputs: Sequence[Path] = ()
    streams: StreamOptions = field(default_factory=StreamOptions)
    tolerance: Tolerance = field(default_factory=lambda: Tolerance(rtol=TOLERANCE, atol=TOLERANCE))
    csim: bool = True
    hdl: str = "verilog"
    rtl: bool | None = None
    synth: bool = False
    cache: Path | None = None

    @property
    def project(self) -> ProjectOptions:
        """Options of hls4ml."""
        return ProjectOptions(part=self.part, clock=self.clock, reuse=self.reuse, strategy=self.strategy, stream=self.stream)


@dataclass(frozen=True, kw_only=True)
class FpgaResult:
    """The result.

    Attributes:
        folder: that was written.
        report: comparison with the float model, and of a source's conversion before it.
        project: what is in it.
        layers: name, kind, tensor and formats of each layer.
        facts: of the build, by name.
        tags: the source of each figure.
        notes: what the user should know.
    """

    folder: Path
    report: Report
    project: str
    layers: Sequence[Mapping[str, Any]]
    facts: Mapping[str, str]
    tags: Mapping[str, str]
    notes: Sequence[str]

    @property
    def comparison(self) -> Comparison:
        """The comparison of the fixed-point network with the float model."""
        return self.report.comparisons[-1]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "output": str(self.folder),
            "layers": [dict(layer) for layer in self.layers],
            "facts": dict(self.facts),
            "tags": dict(self.tags),
            "notes": list(self.notes),
            "validation": self.report.to_json(),
        }


STRATEGY = "distributed_arithmetic"


EXACT = Tolerance(rtol=0.0, atol=0.0)


CSIM_ROWS = 1000  # rows on which every build is compared with the emulator
