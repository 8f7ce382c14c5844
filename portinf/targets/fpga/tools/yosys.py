"""Verilog that da4ml wrote -> what yosys maps it to on a family of AMD's devices: LUTs, flip-flops; a mapping, no vendor's synthesis."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from portinf.core.child import run_program
from portinf.core.errors import CannotError, first_line
from portinf.targets.fpga.tools.da4ml import TOP
from portinf.targets.fpga.tools.verilator import tool

__all__ = ["family_of", "mapped"]

SECONDS = 3600.0
TABLE = "lookup_table.v"  # its attribute rom_style is one that yosys 0.23 finds no memory for
FAMILIES = (("xcvu", "xcup"), ("xcku", "xcup"), ("xczu", "xcup"), ("xcu", "xcup"), ("xc7", "xc7"), ("xck", "xcup"))
ULTRASCALE = ("025", "035", "040", "060", "085", "095", "115", "065", "080", "125", "160", "190", "440")  # without the plus


def family_of(part: str) -> str:
    """Return yosys' name of a part's family.

    Raises:
        CannotError: yosys does not map to it.
    """
    name = part.lower()
    for start, family in FAMILIES:
        if name.startswith(start):
            plain = start in ("xcvu", "xcku") and name[4:7] in ULTRASCALE
            return "xcu" if plain else family
    raise CannotError(
        f"--synth: yosys does not map to the part {part}; known families: {', '.join(start for start, _ in FAMILIES)}"
    )


def mapped(folder: Path, part: str) -> Mapping[str, int]:
    """Map the Verilog of a folder that `portinf.targets.fpga.tools.da4ml.write_logic` wrote, without its wrapper.

    Returns:
        Counts: ``LUT``, ``FF``, ``CARRY``, ``MUXF``, ``DSP``, ``BRAM``.

    Raises:
        MissingPackageError: yosys is not installed.
        CannotError: yosys fails; the message holds its first error.
    """
    program = tool("yosys", "LUTs and flip-flops are counted with it")
    source = folder / "src"
    files = [*sorted((source / "static").glob("*.v")), *sorted(source.glob(f"{TOP}_stage*.v")), source / f"{TOP}.v"]
    named = {f"part{number}.v": path for number, path in enumerate(path for path in files if path.name != TABLE)}
    with tempfile.TemporaryDirectory(prefix="portinf-yosys-") as work:
        tables = source / "memfiles"
        for name, path in named.items():  # what stands in its script is a command: names of ours alone
            (Path(work) / name).write_bytes(path.read_bytes())
        for table in sorted(tables.iterdir()) if tables.is_dir() else []:  # yosys reads them from where it runs
            (Path(work) / table.name).write_bytes(table.read_bytes())
        text = (source / "static" / TABLE).read_text(encoding="utf-8")
        (Path(work) / TABLE).write_text(re.sub(r"\(\* rom_style .*? \*\)", "", text), encoding="utf-8")
        said = Path(work) / "stat.json"
        script = "; ".join(
            [
                f"read_verilog -sv -defer {TABLE} {' '.join(named)}",
                f"synth_xilinx -family {family_of(part)} -flatten -noiopad -noclkbuf -top {TOP}",
                f"tee -q -o {said.name} stat -json",
            ]
        )
        run_program([program, "-q", "-p", script], task="map the network", seconds=SECONDS, folder=Path(work))
        return _counts(said)


def _counts(path: Path) -> Mapping[str, int]:
    try:
        text = path.read_text(encoding="utf-8")
        cells = json.loads(text[text.index("{") :])["design"]["num_cells_by_type"]
    except (OSError, ValueError, KeyError) as error:
        raise CannotError(f"yosys' figures cannot be read: {first_line(error)}") from error
    starts = {"LUT": "LUT", "FF": "FD", "CARRY": "CARRY", "MUXF": "MUXF", "DSP": "DSP", "BRAM": "RAMB"}
    return {name: sum(count for cell, count in cells.items() if cell.startswith(start)) for name, start in starts.items()}
