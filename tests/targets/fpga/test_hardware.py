"""Distributed arithmetic from a model to RTL: equality demanded, figures labelled, who answers for the folder chosen by name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from portinf.core.batch import Array, save_npz
from portinf.core.errors import DisagreementError, MissingPackageError, UnreadableError, UsageError
from portinf.locate.resolve import resolve
from portinf.targets.fpga import optimize as fpga
from portinf.targets.fpga.optimize import optimize_fpga
from portinf.targets.fpga.options import FpgaOptions, FpgaResult
from portinf.targets.fpga.runners.da4ml import DaisRunner
from portinf.targets.fpga.tools.verilator import missing_tools
from tests.conftest import ROOT, Cli
from tests.models import fpga_graphs, hgq_models
from tests.opened import opened

pytest.importorskip("hls4ml", reason="hls4ml is not installed")
pytest.importorskip("da4ml", reason="da4ml is not installed")
needs_verilator = pytest.mark.skipif(bool(missing_tools("verilog")), reason=f"missing: {', '.join(missing_tools('verilog'))}")
STRATEGY = "distributed_arithmetic"


def small(path: Path) -> Path:
    """Write two dense layers."""
    graph = fpga_graphs.Graph((4,), 3)
    hidden = graph.node("Relu", [graph.dense("x", (4, 5), "fc0")], "act0")
    return graph.save(path, graph.dense(hidden, (5, 2), "y"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rtl")
    save_npz(folder / "x.npz", {"x": np.random.default_rng(0).normal(size=(800, 4)).astype(np.float32)})
    return small(folder / "small.onnx")


def optimized(model: Path, out: Path, **more: object) -> FpgaResult:
    options = {"strategy": STRATEGY, "csim": False, "rtl": False, **more}
    return optimize_fpga(str(model), out, FpgaOptions(inputs=[model.parent / "x.npz"], **options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(model: Path) -> Path:
    return optimized(model, model.parent / "out").folder


def test_every_figure_has_its_source(model: Path, folder: Path) -> None:
    record = json.loads((folder / "portinf-fpga.json").read_text())
    tags = record["tags"]
    assert tags["da4ml logic"] == "emulated"
    assert tags["RTL"] == tags["synthesis"] == tags["mapping by yosys"] == "not-run"
    assert tags["LUT (da4ml's cost)"] == tags["latency of the RTL"] == "estimated"
    assert int(record["facts"]["LUT (da4ml's cost)"].replace(",", "")) > 100
    page = (folder / "report.html").read_text()
    assert "equal to the emulation bit for bit on 1,900 rows (emulated)" in page
    assert "not run here (--no-rtl)" in page


def test_who_answers_is_chosen_by_name(model: Path, folder: Path, cli: Cli) -> None:
    given = {"x": np.random.default_rng(7).normal(size=(300, 4)).astype(np.float32)}
    with opened(folder) as emulator, opened(f"{folder}@da4ml") as logic:
        assert logic.name == f"{folder} (da4ml)"
        assert np.array_equal(emulator.infer(given)["y"], logic.infer(given)["y"])
    judged = cli("validate", folder, f"{folder}@da4ml", "--inputs", model.parent / "x.npz", "--rtol", 0, "--atol", 0)
    assert judged.code == 0, judged.err
    assert cli("validate", model, f"{folder}@da4ml", "--inputs", model.parent / "x.npz").code == 0
    refused = cli("validate", model, f"{folder}@board", "--inputs", model.parent / "x.npz")
    assert refused.code == 2
    assert "expected one of emulator, csim, da4ml, rtl after the @" in refused.message
    with pytest.raises(UnreadableError, match="the RTL simulation was not built; install Verilator"), opened(f"{folder}@rtl"):
        pass
    assert resolve("grpc://host@rtl").kind == "endpoint"


def test_a_folder_without_logic(model: Path, tmp_path: Path) -> None:
    optimized(model, tmp_path / "plain", strategy="latency", rtl=None)
    with (
        pytest.raises(UnreadableError, match=r"it has no da4ml logic; .*--strategy distributed_arithmetic"),
        opened(f"{tmp_path / 'plain'}@rtl"),
    ):
        pass


def test_logic_that_differs_is_not_written(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = DaisRunner._run

    def wrong(self: DaisRunner, given: Array, count: int) -> Array:
        found = plain(self, given, count)
        found[40, 1] += 2.0**-20
        return found

    monkeypatch.setattr(DaisRunner, "_run", wrong)
    with pytest.raises(
        DisagreementError, match=r"output 'y' differs from the exact emulation in 1 of 1,900 rows, the first row 40"
    ):
        optimized(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"strategy": "latency", "rtl": True}, "--rtl: open tools take the RTL of --strategy distributed_arithmetic alone"),
        ({"strategy": "latency", "synth": True, "rtl": None}, "--synth: open tools take the RTL"),
        ({"reuse": 2}, "--reuse 2 does not fit --strategy distributed_arithmetic"),
        ({"synth": True, "hdl": "vhdl"}, "--synth does not fit --hdl vhdl: yosys reads Verilog"),
    ],
)
def test_options_that_do_not_fit(model: Path, tmp_path: Path, more: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        optimized(model, tmp_path / "out", **more)


@pytest.mark.parametrize(("more", "name"), [({"rtl": True}, "verilator"), ({"synth": True}, "yosys")])
def test_a_tool_that_was_asked_for_and_is_missing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, object], name: str
) -> None:
    monkeypatch.setattr(fpga, "check_packages", lambda strategy: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPackageError, match=rf"{name} is not on PATH: .* \(Debian: apt install {name}\)"):
        optimized(model, tmp_path / "out", **more)


def hgq(folder: Path, sizes: str) -> Path:
    """Write a model of HGQ2 and samples."""
    pytest.importorskip("hgq", reason="HGQ2 is not installed")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, "-m", "tests.models.hgq_models", str(folder / "model.keras"), sizes]
    subprocess.run(command, check=True, env=environment, cwd=ROOT, capture_output=True, timeout=240)
    save_npz(folder / "x.npz", {"x": hgq_models.rows(int(sizes.split("-")[0]), 10_000, seed=4)})
    return folder / "model.keras"


@pytest.mark.long
@pytest.mark.timeout(1800)
@needs_verilator
def test_a_model_of_hgq2_keeps_its_bits(tmp_path: Path, cli: Cli) -> None:
    """Keras, da4ml's logic and the RTL give the same numbers on 10,000 rows."""
    model = hgq(tmp_path, "16-64-32-32-5")
    result = optimized(model, tmp_path / "out", rtl=True, csim=True, cache=tmp_path / "cache")
    assert result.comparison.verdict == "equal"
    assert result.tags["RTL"] == "measured-rtl"
    for side in ("out", "out@rtl"):
        judged = cli("validate", model, side, "--inputs", tmp_path / "x.npz", "--rtol", 0, "--atol", 0)
        assert judged.code == 0, judged.err
    refused = cli("optimize", model, "--target", "hls4ml", "--inputs", tmp_path / "x.npz", "-o", "other")
    assert refused.code == 2
    assert "a model of HGQ2 keeps its own bits: use --strategy distributed_arithmetic" in refused.message


@pytest.mark.long
@pytest.mark.timeout(3000)
@needs_verilator
@pytest.mark.parametrize("name", ["facile", "jet"])
def test_rtl_equals_the_emulator_on_10_000_rows(tmp_path: Path, name: str) -> None:
    path = getattr(fpga_graphs, name)(tmp_path / f"{name}.onnx")
    save_npz(tmp_path / "x.npz", {"x": fpga_graphs.samples(name, 10_000)})
    result = optimized(path, tmp_path / "out", rtl=True, csim=shutil.which("g++") is not None, cache=tmp_path / "cache")
    checks = {check.name: check for check in result.comparison.checks}
    assert checks["RTL"].text == "equal to the emulation bit for bit on 11,100 rows (measured-rtl)"
    given = {"x": fpga_graphs.samples(name, 10_000, seed=3)}
    with opened(tmp_path / "out") as emulator, opened(f"{tmp_path / 'out'}@rtl") as rtl:
        for output, array in emulator.infer(given).items():
            assert np.array_equal(array, rtl.infer(given)[output])
