"""Boosted trees of three libraries and three tasks for an FPGA, at the size of physics: equality, tolerance, VHDL."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portinf.core.batch import save_npz
from portinf.core.errors import DisagreementError
from portinf.fixedpoint.tree_emulator import TreeEmulator
from portinf.fixedpoint.trees import load_trees
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.targets.fpga.optimize import optimize_fpga
from portinf.targets.fpga.options import FpgaOptions
from portinf.targets.fpga.runners import open_fpga
from portinf.targets.fpga.tools.conifer import raw_inputs, scores_of
from tests.models.tree_files import written
from tests.targets.fpga.trees.test_choose import needs_header, rows, same_as_hls

pytest.importorskip("conifer", reason="conifer is not installed")
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
COLUMNS, TREES, ROWS = 16, 100, 20_000


def events(count: int, seed: int) -> Any:
    """Columns as of physics: normal ones, and some with long tails."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, COLUMNS))
    x[:, 8:12] = rng.exponential(30, size=(count, 4))
    return x.astype(np.float32)


def trained(library: str, task: str) -> Any:
    """Return a fitted model of 100 rounds."""
    x = events(4000, 1)
    truth = x[:, 0] + x[:, 1] * x[:, 2] + x[:, 8] / 30
    y: Any = (
        truth if task == "regression" else np.digitize(truth, np.quantile(truth, [0.5] if task == "binary" else [0.3, 0.7]))
    )
    kind = "Regressor" if task == "regression" else "Classifier"
    if library == "sklearn":
        import sklearn.ensemble

        return getattr(sklearn.ensemble, f"GradientBoosting{kind}")(n_estimators=TREES, max_depth=4).fit(x, y)
    if library == "xgboost":
        import xgboost

        return getattr(xgboost, f"XGB{kind}")(n_estimators=TREES, max_depth=5).fit(x, y)
    import lightgbm

    return getattr(lightgbm, f"LGBM{kind}")(n_estimators=TREES, num_leaves=24, verbose=-1).fit(x, y)


@pytest.mark.parametrize("task", ["binary", "regression", "classes"])
@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "sklearn"])
def test_emulator_and_conifer_and_tolerance(library: str, task: str, tmp_path: Path) -> None:
    """Bit for bit on 20,000 rows, also of a coarse format; auto within tolerance; conifer's default caught where it is off."""
    needs_header()
    path, signature = written(trained(library, task), tmp_path / "m", columns=COLUMNS)
    name = signature.inputs[0].name
    save_npz(tmp_path / "x.npz", {name: events(ROWS, 2)})
    result = optimize_fpga(str(path), tmp_path / "auto", FpgaOptions(inputs=[tmp_path / "x.npz"], cache=tmp_path / "cache"))
    assert result.comparison.verdict == "equal"
    fresh = {name: events(ROWS, 3)}
    simulated, found = open_fpga(tmp_path / "auto", "csim").infer(fresh), open_fpga(tmp_path / "auto").infer(fresh)
    assert all(np.array_equal(found[key], simulated[key]) for key in simulated)
    with OnnxRuntimeRunner(path) as reference:
        expected = reference.infer(fresh)
    floats = [key for key, array in expected.items() if array.dtype.kind == "f"]
    out = [np.abs(found[key] - expected[key]) > 0.01 + 0.01 * np.abs(expected[key]) for key in floats]
    assert np.mean(out) < 1e-4  # rows that the search did not see
    given = FpgaOptions(inputs=[tmp_path / "x.npz"], precision="ap_fixed<18,10>", csim=False)
    with pytest.raises(DisagreementError, match=r"inputs and thresholds: .* rows take another leaf|scores: "):
        optimize_fpga(str(path), tmp_path / "default", given)


@pytest.mark.parametrize("precision", ["ap_fixed<24,10>", "ap_fixed<14,7,AP_RND,AP_SAT>"])
def test_formats_of_the_user(precision: str, tmp_path: Path) -> None:
    """Coarse formats, judged with a wide tolerance: still the bits of conifer's C++, and of the HLS project."""
    needs_header()
    path, signature = written("xgboost3", tmp_path / "m")
    name = signature.inputs[0].name
    save_npz(tmp_path / "x.npz", {name: rows(2000)})
    from portinf.validation import Tolerance

    loose = Tolerance(rtol=1.0, atol=1.0)
    told = FpgaOptions(inputs=[tmp_path / "x.npz"], precision=precision, tolerance=loose, cache=tmp_path / "cache")
    try:
        optimize_fpga(str(path), tmp_path / "out", told)
    except DisagreementError as error:
        pytest.fail(str(error))
    x = rows(ROWS, seed=4, width=30)
    simulated, found = (open_fpga(tmp_path / "out", way).infer({name: x}) for way in ("csim", None))
    assert all(np.array_equal(found[key], simulated[key]) for key in simulated)
    assert same_as_hls(tmp_path / "out", x)


@pytest.mark.skipif(shutil.which("ghdl") is None, reason="ghdl is not installed")
@pytest.mark.parametrize("name", ["xgboost", "boosting3"])
def test_vhdl_computes_the_same(name: str, tmp_path: Path) -> None:
    """conifer's VHDL, one format for both grids, simulated by ghdl on 10,000 rows: the emulator's sums bit for bit."""
    path, signature = written(name, tmp_path / "m")
    save_npz(tmp_path / "x.npz", {signature.inputs[0].name: rows(2000)})
    told = FpgaOptions(inputs=[tmp_path / "x.npz"], csim=False)
    optimize_fpga(str(path), tmp_path / "out", told)
    trees = load_trees(tmp_path / "out" / "network")
    emulator = TreeEmulator(trees)
    x = rows(10_000, seed=6, width=3).astype(np.float64)
    columns = emulator.columns(x)
    project = tmp_path / "out" / "project" / "vhdl"
    np.savetxt(project / "SimulationInput.txt", raw_inputs(trees, columns), fmt="%d")
    subprocess.run(["sh", "ghdl_compile.sh"], cwd=project, check=True, timeout=300)
    run = ["ghdl", "-r", "--std=08", "--work=xil_defaultlib", "testbench"]
    subprocess.run(run, cwd=project, check=True, timeout=500, capture_output=True)
    found = scores_of(trees, np.loadtxt(project / "SimulationOutput.txt", dtype=np.int64, ndmin=2))
    expected = emulator.sums(emulator.leaves(x))
    assert np.array_equal(found, expected)
