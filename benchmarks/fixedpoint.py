"""Rows per second of one core: the exact emulator beside the C simulation called through ctypes, one call a row.

Usage: python benchmarks/fixedpoint.py [ROWS]; needs hls4ml and g++. Both answer the same rows, and are held equal bit for bit.
"""

# ruff: noqa: E402 (threads are bounded before numpy is imported)
from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before numpy is imported: one core

import ctypes
import platform
import statistics
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from portinf.core.batch import save_npz
from portinf.fixedpoint.emulator import Emulator
from portinf.fixedpoint.network import Network
from portinf.targets.fpga.folder import read_record
from portinf.targets.fpga.optimize import optimize_fpga
from portinf.targets.fpga.options import FpgaOptions
from portinf.targets.fpga.runners.emulator import load_network
from tests.models import fpga_graphs

ROUNDS = 5
SETTINGS = [("jet", "ap_fixed<16,6>"), ("jet", "auto"), ("facile", "ap_fixed<24,9>"), ("facile", "auto"), ("image", "auto")]
FLOOR = {"jet": 8.0, "facile": 4.0}  # times the C simulation


def simulate(library: Path, network: Network, rows: Any) -> tuple[Any, float]:
    """Call the library once a row, and return the answers and the seconds."""
    os.chdir(library.parent)
    function = getattr(ctypes.CDLL(str(library)), f"{library.stem}_double")
    function.argtypes, function.restype = [ctypes.c_void_p] * 2, None
    item = network.inputs[0]
    given = np.ascontiguousarray(rows.transpose(0, *(1 + axis for axis in item.axes)).reshape(len(rows), -1), np.float64)
    size = int(np.prod(network.shape_of(next(iter(network.outputs.values())))))
    made = np.zeros((len(rows), size))
    function(given.ctypes.data, made.ctypes.data)  # fills tables and weights
    start = time.perf_counter()
    for row in range(len(rows)):
        function(given.ctypes.data + row * given.strides[0], made.ctypes.data + row * made.strides[0])
    return made, time.perf_counter() - start


def measure(name: str, precision: str, rows: int) -> bool:
    """Print one line, and say whether the floor is held."""
    with tempfile.TemporaryDirectory() as text:
        work = Path(text)
        model = getattr(fpga_graphs, name)(work / "model.onnx")
        save_npz(work / "rows.npz", {"x": fpga_graphs.samples(name, 2000)})
        optimize_fpga(str(model), work / "made", FpgaOptions(precision=precision, inputs=[work / "rows.npz"]))
        network, record = load_network(work / "made"), read_record(work / "made")
        given = fpga_graphs.samples(name, rows, seed=1)
        emulator = Emulator(network)
        slow, fast = [], []
        for _ in range(ROUNDS):
            simulated, seconds = simulate(work / "made" / str(record.library), network, given)
            slow.append(rows / seconds)
            start = time.perf_counter()
            found = next(iter(emulator.run({"x": given}).values()))
            fast.append(rows / (time.perf_counter() - start))
            assert np.array_equal(found.reshape(rows, -1), simulated), name
    ratios = [after / before for after, before in zip(fast, slow, strict=True)]
    ratio = statistics.median(ratios)
    floor = FLOOR.get(name, 0.0)
    print(
        f"{name:8}{precision:18}{statistics.median(slow):>12,.0f}{statistics.median(fast):>12,.0f}"
        f"{ratio:>8.1f}{min(ratios):>8.1f}   {f'at least {floor:g}' if floor else ''}"
    )
    return ratio >= floor


def main() -> int:
    """Measure all settings."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print(
        f"{date.today()}, Python {platform.python_version()}, numpy {np.__version__}, one core, {rows:,} rows, {ROUNDS} rounds"
    )
    print(f"{'network':8}{'precision':18}{'csim rows/s':>12}{'emulator':>12}{'ratio':>8}{'least':>8}")
    return 0 if all([measure(name, precision, rows) for name, precision in SETTINGS]) else 1


if __name__ == "__main__":
    sys.exit(main())
