"""Three networks from PyTorch, Keras and ONNX: 100,000 rows of the emulation equal the C simulation bit for bit."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from portinf.core.batch import Array, save_npz
from portinf.fixedpoint.emulator import Emulator
from portinf.targets.fpga.folder import read_record
from portinf.targets.fpga.runners.csim import CSimRunner
from portinf.targets.fpga.runners.emulator import load_network
from tests.conftest import ROOT, Cli
from tests.models import fpga_graphs

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed"),
]
MODELS = ROOT / "tests" / "models" / "fpga_models.py"
ROWS = 100_000


def source(name: str, kind: str, folder: Path) -> str:
    """Return what is named on the command line."""
    if kind == "onnx":
        return str(getattr(fpga_graphs, name)(folder / f"{name}.onnx"))
    if kind == "pytorch":
        pytest.importorskip("torch", reason="torch is not installed")
        return f"{MODELS}:{name}"
    pytest.importorskip("keras", reason="keras is not installed")
    command = [sys.executable, str(MODELS), name, str(folder / f"{name}.keras")]
    subprocess.run(command, check=True, timeout=300, cwd=ROOT)
    return str(folder / f"{name}.keras")


def rows(name: str, kind: str, count: int, seed: int) -> Array:
    """Return rows in the layout of the source."""
    made = fpga_graphs.samples(name, count, seed)
    return made.transpose(0, 2, 3, 1) if (name, kind) == ("image", "keras") else made


@pytest.mark.parametrize("kind", ["onnx", "pytorch", "keras"])
@pytest.mark.parametrize("name", ["jet", "facile", "image"])
def test_100_000_rows(name: str, kind: str, tmp_path: Path, cli: Cli) -> None:
    pytest.importorskip("hls4ml", reason="hls4ml is not installed")
    model = source(name, kind, tmp_path)
    save_npz(tmp_path / "rows.npz", {"x": rows(name, kind, 2000, 0)})
    done = cli("optimize", model, "--target", "hls4ml", "--inputs", "rows.npz", "-o", "made", "--json", timeout=900)
    assert done.code == 0, done.err
    assert done.report["tags"]["C simulation"] == "measured-csim"
    judged = cli("validate", model, "made", "--inputs", "rows.npz", "--json", timeout=600)
    assert judged.code == 0, judged.out + judged.err
    made = tmp_path / "made"
    network, record = load_network(made), read_record(made)
    given = {"x": rows(name, kind, ROWS, 9)}
    simulated = CSimRunner(made / str(record.library), network, record.signature, "csim").infer_double(given)
    emulated = Emulator(network).run(given)
    for output, expected in simulated.items():
        assert np.array_equal(emulated[output], expected)
        assert len(np.unique(expected)) > 50
