"""From a model and samples to a folder for an FPGA: formats that hold, layers that are named, nothing half written."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from portinf.core.batch import save_npz
from portinf.core.errors import CannotError, DisagreementError, MissingPackageError, UsageError
from portinf.fixedpoint import tables
from portinf.fixedpoint.emulator import Emulator
from portinf.fixedpoint.formats import Format
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.targets.fpga.flows import network as fpga_writing
from portinf.targets.fpga.optimize import optimize_fpga
from portinf.targets.fpga.options import FpgaOptions, FpgaResult
from portinf.targets.fpga.parts import DEFAULT_PART, check_part
from portinf.targets.fpga.quantize.formats import integer_bits, quantised, uniform
from portinf.targets.fpga.reader.layers import HANDLERS
from portinf.targets.fpga.reader.plan import Plan, read_graph
from portinf.targets.fpga.runners import open_fpga
from portinf.validation import Tolerance
from tests.conftest import Cli
from tests.models import fpga_graphs
from tests.opened import opened

hls4ml = pytest.importorskip("hls4ml", reason="hls4ml is not installed")
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fpga")
    for name in ("jet", "facile", "image"):
        getattr(fpga_graphs, name)(folder / f"{name}.onnx")
        save_npz(folder / f"{name}.npz", {"x": fpga_graphs.samples(name, 2000 if name != "image" else 400)})
    return folder


def options(models: Path, name: str, **more: object) -> FpgaOptions:
    return FpgaOptions(inputs=[models / f"{name}.npz"], csim=False, **more)  # type: ignore[arg-type]


def optimized(models: Path, name: str, out: Path, **more: object) -> FpgaResult:
    return optimize_fpga(str(models / f"{name}.onnx"), out, options(models, name, **more))


def plan_of(models: Path, name: str, tmp_path: Path) -> Plan:
    return read_graph(models / f"{name}.onnx", tmp_path, HANDLERS)


@needs_compiler
def test_the_whole_way(models: Path, tmp_path: Path, cli: Cli) -> None:
    """Optimised, moved, validated: the emulator's numbers are the C simulation's, layer errors and formats are shown."""
    done = cli("optimize", models / "jet.onnx", "--target", "hls4ml", "--inputs", models / "jet.npz", "-o", "made", "--json")
    assert done.code == 0, done.err
    assert done.report["tags"] == {
        "answers": "emulated",
        "C simulation": "measured-csim",
        "RTL": "not-run",
        "synthesis": "not-run",
        "timing": "not-run",
    }
    (tmp_path / "made").rename(tmp_path / "moved")
    folder = tmp_path / "moved"
    given = {"x": fpga_graphs.samples("jet", 3000, seed=8)}
    simulated = open_fpga(folder, "csim").infer(given)["classes"]
    with opened(folder) as runner:
        assert np.array_equal(runner.infer(given)["classes"], simulated)
    judged = cli("validate", models / "jet.onnx", "moved", "--inputs", models / "jet.npz", "--report", "r.html", "--json")
    assert judged.code == 0, judged.err
    comparison = judged.report["hops"][0]
    checks = {check["name"]: check for check in comparison["checks"]}
    assert checks["constant output"]["status"] == "passed"
    assert checks["errors by layer"]["figures"]["dense_1 largest"] > 0
    assert "Errors by layer" in [figure["title"] for figure in comparison["figures"]]
    assert "Errors by layer" in (tmp_path / "r.html").read_text()
    narrow = ("--rtol", "0", "--atol", "1e-6", "--bisect", "--no-probes", "--json")
    gap = cli("validate", models / "jet.onnx", "moved", "--inputs", models / "jet.npz", *narrow)
    assert gap.code == 5, gap.err
    checks = {check["name"]: check for check in gap.report["hops"][0]["checks"]}
    assert "a fixed-point network differs everywhere; see the errors by layer" in checks["bisection"]["text"]
    page = (folder / "report.html").read_text()
    assert "Range against format" in page
    assert "equal to the emulation bit for bit on 1,000 rows (measured-csim)" in page
    assert str(tmp_path) not in (folder / "project" / "hls4ml_config.yml").read_text()


def test_softmax_is_cured_in_one_format_for_all(models: Path, tmp_path: Path) -> None:
    result = optimized(models, "jet", tmp_path / "out", precision="ap_fixed<16,6>")
    found = open_fpga(tmp_path / "out").infer({"x": fpga_graphs.samples("jet", 500)})["classes"]
    assert result.comparison.verdict == "equal"
    assert len(np.unique(found, axis=0)) > 400


def test_softmax_of_hls4ml_itself_is_a_constant(models: Path, tmp_path: Path) -> None:
    """The formats that hls4ml 1.3 gives by default: the emulation shows them for what they are."""
    plan = plan_of(models, "jet", tmp_path)
    network = quantised(plan, uniform(plan, Format(16, 6), 0.01))
    softmax = network.layers[-1]
    norm, grid = Format(37, 17, False), Format(18, 8, True, "RND", "SAT")
    formats = {**softmax.formats, "norm": norm, "exp": grid, "accum": grid, "sum": grid, "inverse": grid}
    exps = tables.exponentials(norm, 1024, grid, negative=True)
    numbers = {"exp": exps, "inverse": tables.reciprocals(grid, 1024, grid)}
    broken = replace(softmax, formats=formats, numbers=numbers)
    network = replace(network, layers=(*network.layers[:-1], broken))
    found = Emulator(network).run({"x": fpga_graphs.samples("jet", 200)})["classes"]
    assert len(np.unique(found)) == 1


def test_constants_beyond_the_format(models: Path, tmp_path: Path, cli: Cli) -> None:
    """FACILE's 103 and -60 do not fit into ap_fixed<16,6>, and auto gives them the bits they need."""
    told = ("--target", "hls4ml", "--inputs", models / "facile.npz", "-o", "out", "--no-csim")
    done = cli("optimize", models / "facile.onnx", *told, "--precision", "ap_fixed<16,6>")
    assert done.code == 5
    assert (
        "layer scale_2 (tensor 'norm0'): 1 of its scale numbers, the largest 103, do not fit into ap_fixed<16,6>"
        in done.message
    )
    assert "(and 1 more)" in done.message
    assert not (tmp_path / "out").exists()
    done = cli("optimize", models / "facile.onnx", *told)
    assert done.code == 0, done.err
    assert "scale ap_fixed<" in done.out
    record = json.loads((tmp_path / "out" / "portinf-fpga.json").read_text())
    scale = next(layer for layer in record["layers"] if layer["name"] == "scale_2")
    assert Format.parse(scale["scale"]).integer == 8
    with OnnxRuntimeRunner(models / "facile.onnx") as reference:
        given = {"x": fpga_graphs.samples("facile", 3000, seed=4)}
        expected, found = reference.infer(given)["energy"], open_fpga(tmp_path / "out").infer(given)["energy"]
    assert (np.abs(expected - found) <= 0.01 + 0.01 * np.abs(expected)).mean() > 0.999


@pytest.mark.parametrize(
    ("precision", "message"),
    [
        (
            "ap_fixed<16,4>",
            r"layer dense_1 \(tensor 'fc0'\): \d+ numbers wrap round, the largest .* they need \d integer bits",
        ),
        ("ap_fixed<16,3>", r"input 'x': \d+ numbers wrap round"),
        ("ap_fixed<9,5>", r"misses the tolerance: .*; the error grows most at layer \w+ \(tensor '\w+'\), ap_u?fixed"),
    ],
)
def test_a_format_that_will_not_do_names_its_layer(models: Path, tmp_path: Path, precision: str, message: str) -> None:
    with pytest.raises(DisagreementError, match=message):
        optimized(models, "jet", tmp_path / "out", precision=precision)
    assert list(tmp_path.iterdir()) == []


def test_wide_ranges_leave_fewer_bits_behind_the_point(models: Path, tmp_path: Path) -> None:
    """Inputs in their own units: products of 24 fraction bits would be wider than is exact, and fewer do."""
    model = onnx.load(str(models / "facile.onnx"))
    rows = fpga_graphs.samples("facile", 500)
    rows[:, 0] *= 3000.0
    first = next(t for t in model.graph.initializer if t.name == model.graph.node[0].input[1])
    weights = onnx.numpy_helper.to_array(first).copy()
    weights[..., :1] /= 3000.0
    first.CopyFrom(onnx.numpy_helper.from_array(weights, first.name))
    onnx.save(model, str(tmp_path / "wide.onnx"))
    save_npz(tmp_path / "wide.npz", {"x": rows})
    told = FpgaOptions(inputs=[tmp_path / "wide.npz"], csim=False, tolerance=Tolerance(rtol=0.05, atol=0.05))
    result = optimize_fpga(str(tmp_path / "wide.onnx"), tmp_path / "out", told)
    assert result.comparison.verdict == "equal"


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_layout_of_three_channels(tmp_path: Path, channels_last: bool) -> None:
    """A finely quantised network equals the float model for either layout, and does not where channels are exchanged."""
    path = fpga_graphs.image(tmp_path / "image.onnx", channels_last=channels_last)
    rows = fpga_graphs.samples("image", 200)
    rows = rows.transpose(0, 2, 3, 1) if channels_last else rows
    plan = read_graph(path, tmp_path, HANDLERS)
    assert plan.inputs[0].axes == ((0, 1, 2) if channels_last else (1, 2, 0))
    emulator = Emulator(quantised(plan, uniform(plan, Format(28, 8), 1e-3)))
    with OnnxRuntimeRunner(path) as reference:
        expected = reference.infer({"x": rows})["score"]
    assert np.abs(emulator.run({"x": rows})["score"] - expected).max() < 2e-3
    mixed = rows[..., ::-1] if channels_last else rows[:, ::-1]
    assert np.abs(emulator.run({"x": mixed})["score"] - expected).max() > 0.1


def test_auto_holds_its_tolerance_on_images(models: Path, tmp_path: Path) -> None:
    result = optimized(models, "image", tmp_path / "out", tolerance=Tolerance(rtol=0.0, atol=0.05))
    assert result.comparison.outputs[0].tally.max_abs <= 0.05
    assert any("axes in the order [1, 2, 0]" in note for note in result.notes)
    finer = optimized(models, "image", tmp_path / "finer", tolerance=Tolerance(rtol=0.0, atol=0.005))
    assert finer.comparison.outputs[0].tally.max_abs <= 0.005
    widths = [[Format.parse(layer["result"]).width for layer in found.layers] for found in (result, finer)]
    assert sum(widths[1]) > sum(widths[0])


def test_integer_bits() -> None:
    assert integer_bits(-3.0, 3.0, signed=True) == 3
    assert integer_bits(-4.0, 3.0, signed=True) == 3
    assert integer_bits(-4.0, 4.0, signed=True) == 4
    assert integer_bits(0.0, 0.2, signed=False) == -2
    assert integer_bits(0.0, 0.0, signed=False) == 0


def test_what_is_refused(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match=r"formats are chosen and judged on samples: give some with --inputs"):
        optimize_fpga(str(models / "jet.onnx"), out, FpgaOptions())
    with pytest.raises(UsageError, match=r"--precision fixed: 'fixed': expected ap_fixed<W,I> .*, or auto"):
        optimized(models, "jet", out, precision="fixed")
    with pytest.raises(CannotError, match=r"--part xcvu99p-flga2577-2-e: no such device of AMD; .* near it: .*xcvu9p"):
        optimized(models, "jet", out, part="xcvu99p-flga2577-2-e")
    path = fpga_graphs.unsupported(tmp_path / "odd.onnx")
    save_npz(tmp_path / "odd.npz", {"x": np.ones((3, 4), np.float32)})
    with pytest.raises(
        CannotError, match=r"Erf \(tensor 'out'\): no such layer; there are: .*Conv.*not supported on --target hls4ml"
    ):
        optimize_fpga(str(path), out, FpgaOptions(inputs=[tmp_path / "odd.npz"], csim=False))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="expected a new folder, or one that portinf optimize --target hls4ml wrote"):
        optimized(models, "jet", tmp_path / "full")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPackageError, match=r"g\+\+ is not on PATH: .* or leave the C simulation out with --no-csim"):
        optimize_fpga(str(models / "jet.onnx"), out, replace(options(models, "jet"), csim=True))
    assert not out.exists()


@pytest.mark.long
@needs_compiler
def test_the_simulation_serves_where_the_emulator_does_not(models: Path, tmp_path: Path, cli: Cli) -> None:
    """Sums of 64 bits: the C simulation is judged and answers, and without it nothing is written."""
    told = (
        "optimize",
        models / "jet.onnx",
        "--target",
        "hls4ml",
        "--inputs",
        models / "jet.npz",
        "--precision",
        "ap_fixed<40,16>",
    )
    done = cli(*told, "-o", "wide")
    assert done.code == 0, done.err
    assert "the C simulation answers, not the emulator: " in done.out
    assert "dense_1: needs integers of" in done.out
    judged = cli("validate", models / "jet.onnx", "wide", "--inputs", models / "jet.npz", "--no-probes", "--json")
    assert judged.code == 0, judged.out + judged.err
    done = cli(*told, "-o", "none", "--no-csim")
    assert (done.code, "with --no-csim nothing else can" in done.message) == (4, True)
    assert not (tmp_path / "none").exists()


def test_packages_that_are_not_installed(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = ["da4ml"]
    monkeypatch.setattr("portinf.targets.fpga.tools.hls4ml.available", lambda name: name not in absent)
    with pytest.raises(MissingPackageError, match=r"'da4ml' is not installed; install it with: pip install 'portinf\[fpga\]'"):
        optimized(models, "jet", tmp_path / "out", strategy="distributed_arithmetic")
    absent.append("hls4ml")
    with pytest.raises(MissingPackageError, match=r"'hls4ml' is not installed; install it with: pip install 'portinf\[fpga\]'"):
        optimized(models, "jet", tmp_path / "out")


def test_options_that_do_not_fit(models: Path, cli: Cli) -> None:
    done = cli("optimize", models / "jet.onnx", "--target", "onnxruntime", "-o", "x.onnx", "--part", DEFAULT_PART)
    assert (done.code, "--part: only for --target hls4ml, not for onnxruntime" in done.message) == (2, True)
    done = cli("optimize", models / "jet.onnx", "--target", "hls4ml", "-o", "x", "--threads", 1, "--inputs", models / "jet.npz")
    assert (done.code, "--threads: only for --target onnxruntime, not for hls4ml" in done.message) == (2, True)


@pytest.mark.parametrize(
    "part",
    ["xcvu13p-flga2577-2-e", "xcvu9p-flga2104-2L-e", "xc7z020clg400-1", "xc7k325tffg900-2", "xcku115-flvb2104-2-i",
     "xczu7ev-ffvc1156-2-e", "xcu250-figd2104-2L-e", "xcu50-fsvh2104-2-e", "xck26-sfvc784-2LV-c", "xcvc1902-vsva2197-2MP-e-S",
     "xc7a100tcsg324-1", "xcku035-fbva676-2-e"],
)  # fmt: skip
def test_parts_that_exist(part: str) -> None:
    check_part(part)


@pytest.mark.parametrize(
    "part", ["", "pynq", "xcvu13p", "xcvu13p-2", "xcvu14p-flga2577-2-e", "xc7z020-clg400-1", "5CSEMA5F31C6"]
)
def test_parts_that_do_not_exist(part: str) -> None:
    with pytest.raises(CannotError, match="--part"):
        check_part(part)


def test_an_interruption_leaves_nothing_that_looks_finished(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fpga_writing, "write_record", interrupted)
    with pytest.raises(KeyboardInterrupt):
        optimized(models, "jet", tmp_path / "out", precision="ap_fixed<18,6>")
    assert list(tmp_path.iterdir()) == []
