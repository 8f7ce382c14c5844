"""HDL that da4ml wrote -> a program that simulates it, built by Verilator (VHDL through ghdl) and kept by the hash of what went in."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from portinf.core.child import run_program
from portinf.core.errors import MissingPackageError
from portinf.core.scratch import scratch_folder
from portinf.targets.fpga.tools.da4ml import TOP

__all__ = ["PROGRAM", "TOOLS", "build_simulation", "missing_tools", "tool"]

PROGRAM = "sim/portinf_rtl"
WRAPPER = f"{TOP}_wrapper"
SECONDS = 3600.0
# Verilator 5.006 does not know the name of a warning that da4ml's Verilog switches off.
FLAGS = ("-O3", "-Wno-fatal", "-Wno-lint", "-Wfuture-WIDTHTRUNC", "-MAKEFLAGS", "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O0")
TOOLS = {"verilog": ("verilator", "make", "g++"), "vhdl": ("ghdl", "verilator", "make", "g++")}
MAIN = f"""// Rows of whole numbers from a file through the simulated hardware, one a clock, into another file.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>
#include "{WRAPPER}_binder.cc"

int main(int argc, char **argv) {{
    typedef {WRAPPER}_config net;
    if (argc != 4) return 2;
    const size_t rows = std::strtoull(argv[3], nullptr, 10);
    std::vector<int32_t> given(rows * net::N_inp), found(rows * net::N_out);
    std::FILE *in = std::fopen(argv[1], "rb");
    if (!in || std::fread(given.data(), 4, given.size(), in) != given.size()) return 3;
    std::fclose(in);
    inference(given.data(), found.data(), rows, 1);
    std::FILE *out = std::fopen(argv[2], "wb");
    if (!out || std::fwrite(found.data(), 4, found.size(), out) != found.size() || std::fclose(out)) return 4;
    return 0;
}}
"""


def missing_tools(hdl: str) -> list[str]:
    """Return the programs that simulating takes and that are not on PATH."""
    return [name for name in TOOLS[hdl] if shutil.which(name) is None]


def tool(name: str, why: str) -> str:
    """Return the path of a program.

    Raises:
        MissingPackageError: it is not on PATH.
    """
    path = shutil.which(name)
    if path is None:
        raise MissingPackageError(f"{name} is not on PATH: {why}; install it (Debian: apt install {name})")
    return path


def build_simulation(folder: Path, hdl: str, cache: Path) -> bool:
    """Build `PROGRAM` inside a folder that `portinf.targets.fpga.tools.da4ml.write_logic` wrote.

    Args:
        folder: of the HDL.
        hdl: ``verilog`` or ``vhdl``.
        cache: folder of programs by hash; made where it is missing. A program appears there whole or not at all.

    Returns:
        Whether it was built now; False where it was in the cache.

    Raises:
        MissingPackageError: Verilator, ghdl, make or g++ is not installed.
        CannotError: it fails; the message holds the tool's first error.
    """
    paths = [tool(name, "the RTL is simulated with it") for name in TOOLS[hdl]]
    kept = cache / _key(folder, paths)
    fresh = not kept.is_file()
    if fresh:
        cache.mkdir(parents=True, exist_ok=True)
        with scratch_folder("portinf-rtl-") as work:
            made = _built(folder, hdl, work)
            beside = cache / f".{work.name}"
            shutil.copy(made, beside)
            beside.replace(kept)
    shutil.copy(kept, folder / PROGRAM)
    return fresh


def _built(folder: Path, hdl: str, work: Path) -> Path:
    # Verilator's arguments go into a Makefile, and so to a shell: only names of portinf's own, in a folder without a space.
    for name in ("src", "sim"):
        shutil.copytree(folder / name, work / name)
    top = f"src/{WRAPPER}.v" if hdl == "verilog" else _from_vhdl(work)
    (work / "main.cc").write_text(MAIN, encoding="utf-8")
    _run(
        [
            *("verilator", "--cc", "--exe", "--build", "-j", "1", *FLAGS),
            *("--prefix", f"V{WRAPPER}", "--Mdir", "made", "--top-module", WRAPPER),
            *("-Isrc", "-Isrc/static", "-CFLAGS", "-std=c++17 -w -I../sim", "-o", "program", top, "main.cc"),
        ],
        work,
    )
    return work / "made" / "program"


def _from_vhdl(work: Path) -> str:
    """Turn VHDL into one Verilog file and return its name; ghdl reads the tables meanwhile, from where it runs."""
    source = work / "src"
    tables = source / "memfiles"
    for path in sorted(tables.iterdir()) if tables.is_dir() else []:
        shutil.copyfile(path, work / path.name)
    stages = sorted(source.glob(f"{TOP}_stage*.vhd"))
    files = [*sorted((source / "static").glob("*.vhd")), *stages, source / f"{TOP}.vhd", source / f"{WRAPPER}.vhd"]
    _run(["ghdl", "-a", "--std=08", *(str(path.relative_to(work)) for path in files)], work)
    text = _run(["ghdl", "--synth", "--std=08", "--out=verilog", WRAPPER], work)
    (work / f"{WRAPPER}.v").write_text(text, encoding="utf-8")
    return f"{WRAPPER}.v"


def _key(folder: Path, tools: Sequence[str]) -> str:
    """Return the hash of the sources, of how they are built and of the tools' versions."""
    versions = [subprocess.run([path, "--version"], capture_output=True, check=False, timeout=60).stdout for path in tools]
    digest = hashlib.sha256(repr((MAIN, FLAGS, versions)).encode())
    for path in sorted([*(folder / "src").rglob("*"), *(folder / "sim").glob("*.cc"), *(folder / "sim").glob("*.hh")]):
        if path.is_file():
            content = path.read_bytes()
            digest.update(f"{path.relative_to(folder)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _run(command: Sequence[str], work: Path) -> str:
    """Run a tool in a folder and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "VERILATOR_ROOT"}
    return run_program(command, task="build the RTL simulation", seconds=SECONDS, folder=work, environment=environment)
