"""From boosted trees and samples to a folder for an FPGA: conifer's C++ equalled bit for bit, formats that hold, one line each."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portinf.core.batch import save_npz
from portinf.core.errors import CannotError, DisagreementError, MissingPackageError, UnreadableError, UsageError
from portinf.fixedpoint.formats import Format
from portinf.fixedpoint.tree_emulator import TreeEmulator
from portinf.fixedpoint.trees import load_trees
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.targets.fpga.flows import trees as fpga_trees_writing
from portinf.targets.fpga.optimize import optimize_fpga
from portinf.targets.fpga.options import FpgaOptions, FpgaResult
from portinf.targets.fpga.runners import open_fpga
from portinf.targets.fpga.tools import conifer_build
from portinf.targets.fpga.tools.conifer import read_back
from portinf.targets.fpga.tools.conifer_build import folder_of
from tests.conftest import Cli
from tests.models import tree_models
from tests.models.tree_files import written
from tests.opened import opened

pytest.importorskip("conifer", reason="conifer is not installed")
pytest.importorskip("hls4ml", reason="hls4ml is not installed")
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
# a row through the C++ of the HLS project itself, for a test; no header but conifer's own and the ap_types
ROW = """#include "firmware/portinf_model.h"
extern "C" void portinf_model_double(const double *in, double *out) {
    input_arr_t x;
    score_t y[BDT::fn_classes(n_classes)];
    for (int i = 0; i < n_features; i++) x[i] = (input_t) in[i];
    bdt.decision_function(x, y);
    for (int i = 0; i < BDT::fn_classes(n_classes); i++) out[i] = (double) y[i];
}
"""


def needs_header() -> None:
    """Skip where nlohmann's header is not there."""
    try:
        conifer_build.headers()
    except MissingPackageError as error:
        pytest.skip(str(error))


def rows(count: int, seed: int = 5, width: float = 1.0) -> Any:
    return (np.random.default_rng(seed).normal(size=(count, tree_models.FEATURES)) * width).astype(np.float32)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trees")
    for name in ("boosting3", "xgboost", "lightgbm_regressor"):
        path, signature = written(name, folder / name)
        path.rename(folder / f"{name}.onnx")
        save_npz(folder / f"{name}.npz", {signature.inputs[0].name: rows(2000)})
    return folder


@pytest.fixture(scope="module")
def made(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of trees with three sums, without the C simulation."""
    folder = tmp_path_factory.mktemp("made") / "out"
    optimized(models, "boosting3", folder)
    read_back(load_trees(folder / "network"), folder / "project")
    return folder


def optimized(models: Path, name: str, out: Path, **more: Any) -> FpgaResult:
    options = FpgaOptions(**{"inputs": [models / f"{name}.npz"], "csim": False, **more})
    return optimize_fpga(str(models / f"{name}.onnx"), out, options)


@needs_compiler
def test_the_whole_way(models: Path, tmp_path: Path, cli: Cli) -> None:
    """Optimised, moved, validated: sums of the emulator are those of conifer's C++, also where inputs saturate."""
    needs_header()
    told = ("--target", "hls4ml", "--inputs", models / "boosting3.npz", "-o", "made", "--json")
    done = cli("optimize", models / "boosting3.onnx", *told)
    assert done.code == 0, done.err
    assert done.report["tags"]["C simulation"] == "measured-csim"
    assert done.report["tags"]["RTL"] == "not-run"
    assert done.report["facts"]["kind"] == "conifer projects (HLS and VHDL)"
    (tmp_path / "made").rename(tmp_path / "moved")
    folder = tmp_path / "moved"
    given = {"in_0": rows(1000, seed=8, width=3)}
    simulated = open_fpga(folder, "csim").infer(given)
    with opened(folder) as runner:
        found = runner.infer(given)
    assert all(np.array_equal(found[name], simulated[name]) for name in simulated)
    judged = cli("validate", models / "boosting3.onnx", "moved", "--inputs", models / "boosting3.npz", "--json")
    assert judged.code == 0, judged.err
    checks = {check["name"]: check for check in judged.report["hops"][0]["checks"]}
    assert checks["leaves"]["figures"]["rows"] == 2000
    page = (folder / "report.html").read_text()
    assert "equal to the emulation bit for bit on 1,000 rows (measured-csim)" in page
    assert "softmax, class labels and types follow outside" in page
    texts = [path for path in folder.rglob("*") if path.suffix in (".json", ".tcl", ".h", ".sh", ".cpp")]
    assert not [path for path in texts if str(tmp_path) in path.read_text() or "portinf-fpga-" in path.read_text()]


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("hls/firmware/parameters.h", r"(typedef ap_u?fixed<\d+,)(\d+)(.*> threshold_t)", r"\g<1>1\3", "parameters.h: type threshold_t"),
        ("hls/firmware/parameters.h", r"splitting_convention = \"<=?\"", 'splitting_convention = "=="', "parameters.h: test"),
        ("hls/firmware/parameters.h", r"(// The struct\n\t1, .*\n\t\{-?)", r"\g<1>7", "parameters.h: factor and first scores"),
        ("hls/firmware/parameters.h", r"(tree_1_2 = \{\n.*\n.*\n    \{)", r"\g<1>7", "tree 2 of sum 1: threshold of node 0"),
        ("hls/firmware/parameters.h", r"(tree_1_2 = \{\n.*\n.*\n.*\n    \{)", r"\g<1>7", "tree 2 of sum 1: score of node 0"),
        ("hls/firmware/parameters.h", r"(tree_1_2 = \{\n.*\n    \{\{)", r"\g<1>7", "tree 2 of sum 1: column's weights of node 0"),
        ("hls/firmware/BDT.cpp", r"scores\[1\]\[2\] = tree_1_2", "scores[1][2] = tree_1_1", "BDT.cpp: trees that are summed"),
        ("cpp/portinf_model.json", r"(\"threshold\": \[-?)", r"\g<1>7", "portinf_model.json: tree 0 of sum 0: threshold of node 0"),
        ("cpp/portinf_model.json", r"(\"init_predict\": \[-?)", r"\g<1>7", "portinf_model.json: init_predict"),
        ("vhdl/firmware/Constants.vhd", r"tx is signed\(", "tx is signed(1", "Constants.vhd: width of tx"),
        ("vhdl/firmware/Split.vhd", r"(TheSplit : entity work.)split_\w+", r"\1split_other", "Split.vhd: test"),
        ("vhdl/firmware/Arrays1.vhd", r"(initPredict : ty := to_ty\(-?)", r"\g<1>7", "Arrays1.vhd: first score"),
        ("vhdl/firmware/Arrays1.vhd", r"(threshold_int .*?\(\(-?)", r"\g<1>7", "Arrays1.vhd: tree 0: threshold of node 0"),
        ("vhdl/firmware/Arrays1.vhd", r"(value_int [^;]*?\(\([^)]*?)(\d)\)", r"\g<1>7\2)", "Arrays1.vhd: tree 0: score of node"),
        ("vhdl/firmware/Arrays1.vhd", r"(children_left .*?\(\()1, 3", r"\g<1>3, 1", "Arrays1.vhd: tree 0: "),
    ],
)  # fmt: skip
def test_one_change_in_what_conifer_wrote_is_refused(
    models: Path, tmp_path: Path, made: Path, file: str, old: str, new: str, message: str
) -> None:
    copy = tmp_path / "project"
    shutil.copytree(made / "project", copy)
    text = (copy / file).read_text()
    other = re.sub(old, new, text, count=1)
    assert other != text
    (copy / file).write_text(other)
    with pytest.raises(CannotError, match=message):
        read_back(load_trees(made / "network"), copy)


@needs_compiler
def test_the_hls_project_computes_the_same(models: Path, tmp_path: Path) -> None:
    """The C++ that is handed to synthesis, on inputs that wrap round and saturate; it needs no header of others."""
    optimized(models, "lightgbm_regressor", tmp_path / "out")
    assert same_as_hls(tmp_path / "out", rows(1000, seed=9, width=3))


def same_as_hls(folder: Path, x: Any) -> bool:
    """Compile the HLS project of a folder and hold the emulator's sums against it."""
    project = folder / "project" / "hls"
    (project / "row.cpp").write_text(ROW.replace("portinf_model.h", "parameters.h"))
    types = folder_of("hls4ml", "templates/vivado/ap_types")
    command = ["g++", "-O0", "-std=c++14", "-fPIC", "-shared", "-w", f"-I{types}", "row.cpp", "firmware/BDT.cpp"]
    subprocess.run([*command, "-o", "portinf_model.so"], cwd=project, check=True, timeout=280)
    trees = load_trees(folder / "network")
    from portinf.targets.fpga.runners.trees import TreeSimulation

    runner = open_fpga(folder)
    simulation = TreeSimulation(trees, runner.signature, "hls", project / "portinf_model.so")
    matrix = x.astype(np.float64)
    return bool(np.array_equal(simulation.scores(matrix), TreeEmulator(trees).scores(matrix)))


def test_auto_holds_the_tolerance_and_the_labels(models: Path, tmp_path: Path) -> None:
    result = optimized(models, "xgboost", tmp_path / "out")
    assert result.comparison.verdict == "equal"
    assert any(note.startswith("the hardware gives the sums of the trees; sigmoid, class labels") for note in result.notes)
    x = rows(3000, seed=12)
    found = open_fpga(tmp_path / "out").infer({"in_0": x})
    with OnnxRuntimeRunner(models / "xgboost.onnx") as reference:
        expected = reference.infer({"in_0": x})
    label, scores = expected
    assert np.abs(found[scores] - expected[scores]).max() < 0.01
    assert np.mean(found[label] != expected[label]) < 0.01
    assert found[label].dtype == expected[label].dtype


def test_the_default_of_conifer_is_caught(models: Path, tmp_path: Path, cli: Cli) -> None:
    told = ("--target", "hls4ml", "--inputs", models / "xgboost.npz", "-o", "out", "--no-csim")
    done = cli("optimize", models / "xgboost.onnx", *told, "--precision", "ap_fixed<18,8>")
    assert done.code == 5
    assert "--precision ap_fixed<18,8> misses the tolerance" in done.message
    assert "inputs and thresholds: ap_fixed<18,8> is too coarse" in done.message
    assert "rows take another leaf, which moves sums by up to" in done.message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "precision", "text"),
    [
        ("lightgbm_regressor", "ap_fixed<16,2>", "scores: "),
        ("lightgbm_regressor", "ap_fixed<30,5>", "inputs: "),
        ("boosting3", "ap_fixed<16,1>", "thresholds: "),
        ("boosting3", "ap_fixed<30,3>", "inputs: "),
        ("boosting3", "ap_fixed<6,4,AP_RND,AP_SAT>", "inputs and thresholds: "),
        ("boosting3", "ap_ufixed<30,3>", "thresholds: "),
        ("lightgbm_regressor", "ap_fixed<40,6,AP_TRN,AP_SAT>", ""),
    ],
)
def test_what_does_not_fit_is_named(models: Path, tmp_path: Path, name: str, precision: str, text: str) -> None:
    save_npz(tmp_path / "x.npz", {"in_0": np.concatenate([rows(500), rows(1) * 0 + 20])})
    if not text:
        optimized(models, name, tmp_path / "out", precision=precision, inputs=[tmp_path / "x.npz"])
        return
    with pytest.raises(DisagreementError) as caught:
        optimized(models, name, tmp_path / "out", precision=precision, inputs=[tmp_path / "x.npz"])
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_values_in_samples(models: Path, tmp_path: Path) -> None:
    x = rows(100)
    x[7, 3] = np.nan
    save_npz(tmp_path / "x.npz", {"in_0": x})
    with pytest.raises(CannotError, match=r"input 'in_0', column 3: 1 missing values \(NaN\) in the samples"):
        optimized(models, "xgboost", tmp_path / "out", inputs=[tmp_path / "x.npz"])


def test_missing_values_in_a_comparison(models: Path, tmp_path: Path, cli: Cli) -> None:
    """The folder refuses what the float model answers: a disagreement, in one line."""
    optimized(models, "xgboost", tmp_path / "out")
    x = rows(100)
    x[7, 3] = np.nan
    save_npz(tmp_path / "x.npz", {"in_0": x})
    judged = cli("validate", models / "xgboost.onnx", "out", "--inputs", "x.npz")
    assert judged.code == 5
    assert "the reference answers, the candidate does not: out: input 'in_0': contains NaN" in judged.message


def test_a_column_that_no_format_holds(models: Path, tmp_path: Path) -> None:
    x = rows(100)
    x[7] = 1e30
    save_npz(tmp_path / "x.npz", {"in_0": x})
    with pytest.raises(DisagreementError, match=r"inputs: column \d goes from .* to 1e\+30: no format of up to 52 bits"):
        optimized(models, "xgboost", tmp_path / "out", inputs=[tmp_path / "x.npz"])
    given = "ap_fixed<26,5,AP_RND,AP_SAT>"
    result = optimized(models, "xgboost", tmp_path / "out", inputs=[tmp_path / "x.npz"], precision=given)
    assert result.comparison.verdict == "equal"


@pytest.mark.parametrize(("more", "text"), [({"reuse": 2}, "--reuse"), ({"stream": True}, "--io")])
def test_options_of_networks(models: Path, tmp_path: Path, more: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=f"{text} does not fit boosted trees"):
        optimized(models, "xgboost", tmp_path / "out", **more)


def test_what_is_not_installed(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fpga_trees_writing, "available", lambda name: name != "conifer")
    with pytest.raises(
        MissingPackageError, match=r"'conifer' is not installed; install it with: pip install 'portinf\[fpga\]'"
    ):
        optimized(models, "xgboost", tmp_path / "out")


@needs_compiler
def test_a_header_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conifer_build, "HEADER", "nlohmann/no_such.hpp")
    with pytest.raises(MissingPackageError, match=r"nlohmann/no_such\.hpp is not found: .* apt install nlohmann-json3-dev"):
        conifer_build.headers()


def test_damaged_and_unfinished_folders(models: Path, tmp_path: Path) -> None:
    optimized(models, "xgboost", tmp_path / "out")
    with pytest.raises(UnreadableError, match="written without its C simulation"):
        open_fpga(tmp_path / "out", "csim")
    with pytest.raises(UsageError, match="expected a new folder"):
        optimized(models, "xgboost", models)
    (tmp_path / "out" / "network" / "trees.npz").write_bytes(b"no")
    with pytest.raises(UnreadableError, match=r"trees\.json: missing or damaged"):
        open_fpga(tmp_path / "out")


def test_rows_are_added_where_samples_are_few(models: Path, tmp_path: Path) -> None:
    """Formats are searched on more rows than a few samples, so that other rows of the kind hold the tolerance, too."""
    save_npz(tmp_path / "few.npz", {"in_0": rows(60)})
    optimized(models, "boosting3", tmp_path / "out", inputs=[tmp_path / "few.npz"])
    x = np.clip(rows(5000, seed=3), rows(60).min(axis=0), rows(60).max(axis=0))
    with OnnxRuntimeRunner(models / "boosting3.onnx") as reference:
        expected = list(reference.infer({"in_0": x}).values())[1]
    found = list(open_fpga(tmp_path / "out").infer({"in_0": x}).values())[1]
    assert np.mean(np.abs(found - expected).max(axis=1) > 0.01 + 0.01 * expected.max(axis=1)) < 1e-3
    assert load_trees(tmp_path / "out" / "network").column != Format(18, 8)
