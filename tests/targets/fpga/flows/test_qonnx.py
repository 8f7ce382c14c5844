"""QONNX files become networks with their own bits; every number is that of QONNX's own executor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from portinf.core.batch import save_npz
from portinf.core.errors import CannotError, UsageError
from portinf.targets.fpga.optimize import optimize_fpga
from portinf.targets.fpga.options import FpgaOptions
from portinf.targets.fpga.reader.qonnx import qonnx_network
from portinf.targets.fpga.tools.verilator import missing_tools
from tests.models.qonnx_files import QuantGraph, tagger
from tests.opened import opened

pytest.importorskip("hls4ml", reason="hls4ml is not installed")
needs_verilator = pytest.mark.skipif(bool(missing_tools("verilog")), reason=f"missing: {', '.join(missing_tools('verilog'))}")


def rows(count: int, size: int = 16, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return (2 * np.random.default_rng(seed).normal(size=(count, size))).astype(np.float32)


def made(tmp_path: Path, count: int = 1500, **more: object) -> Path:
    save_npz(tmp_path / "x.npz", {"x": rows(count)})
    optimize_fpga(str(tmp_path / "net.onnx"), tmp_path / "out", FpgaOptions(inputs=[tmp_path / "x.npz"], **more))  # type: ignore[arg-type]
    return tmp_path / "out"


def test_every_number_is_that_of_qonnx(tmp_path: Path) -> None:
    execute = pytest.importorskip("qonnx.core.onnx_exec", reason="qonnx is not installed").execute_onnx
    wrapper = pytest.importorskip("qonnx.core.modelwrapper").ModelWrapper
    shapes = pytest.importorskip("qonnx.transformation.infer_shapes").InferShapes
    tagger(tmp_path / "net.onnx", (16, 12, 9, 5))
    folder = made(tmp_path, csim=False)
    given = rows(60, seed=5)
    model = wrapper(str(tmp_path / "net.onnx")).transform(shapes())
    expected = np.concatenate([execute(model, {"x": row[None]})["y"] for row in given])
    with opened(folder) as emulator, opened(folder / "model.onnx") as plain:
        assert np.array_equal(emulator.infer({"x": given})["y"], expected)
        assert np.array_equal(plain.infer({"x": given})["y"], expected)
    assert len(np.unique(expected)) > 50
    with pytest.raises(UsageError, match="--precision ap_fixed<8,3> does not fit a QONNX file"):
        made(tmp_path, csim=False, precision="ap_fixed<8,3>")


def no_grid(graph: QuantGraph) -> str:
    return graph.quant("x", "y", 8, 0.3)


def no_bits(graph: QuantGraph) -> str:
    return graph.dense("x", (16, 2), "y", gemm=True)


def raw_weight(graph: QuantGraph) -> str:
    x = graph.quant("x", "x_q", 8, 2.0**-4)
    return graph.node("MatMul", [x, graph.constant("w", np.ones((16, 2)))], "y")


def other_operator(graph: QuantGraph) -> str:
    return graph.node("Sigmoid", [graph.quant("x", "x_q", 8, 2.0**-4)], "y")


def fine_bias(graph: QuantGraph) -> str:
    x = graph.quant("x", "x_q", 8, 2.0**-4)
    weight = graph.quant(graph.constant("w", np.ones((16, 2))), "w_q", 4, 0.5)
    return graph.node("Gemm", [x, weight, graph.constant("b", [1e-9, 1e-9])], "y")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (no_grid, r"node 'y' \(Quant\): its scale is \[0.3.*expected one power of two"),
        (no_bits, r"node 'y' \(Gemm\): its input 'x' has no Quant node before it"),
        (raw_weight, r"node 'y' \(MatMul\): its weight 'w' has no Quant node before it"),
        (other_operator, r"node 'y' \(Sigmoid\): not read from QONNX; there are: Quant"),
        (fine_bias, r"node 'y' \(Gemm\): a bias has more than 32 fraction bits"),
    ],
)
def test_what_is_not_read_is_named(tmp_path: Path, build: Callable[[QuantGraph], str], message: str) -> None:
    graph = QuantGraph()
    graph.save(tmp_path / "net.onnx", 16, build(graph), 2)
    with pytest.raises(CannotError, match=message):
        qonnx_network(tmp_path / "net.onnx")


@pytest.mark.long
@pytest.mark.timeout(3000)
@needs_verilator
def test_rtl_of_a_qonnx_tagger(tmp_path: Path) -> None:
    """File, emulator, C simulation, logic and RTL give the same numbers on 10,000 rows."""
    pytest.importorskip("da4ml", reason="da4ml is not installed")
    tagger(tmp_path / "net.onnx")
    folder = made(tmp_path, 10_000, strategy="distributed_arithmetic", rtl=True, cache=tmp_path / "cache")
    given = {"x": rows(10_000, seed=9)}
    with opened(folder / "model.onnx") as plain:
        expected = plain.infer(given)["y"]
    for way in ("emulator", "csim", "da4ml", "rtl"):
        with opened(f"{folder}@{way}") as runner:
            assert np.array_equal(runner.infer(given)["y"], expected), way
