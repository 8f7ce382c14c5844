"""ONNX graphs in float64: what is widened, what is cast, what has no kernel, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from portinf.core.errors import CannotError
from portinf.onnx_graph.passes.float64 import doubled
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.runners.onnx_float64 import OnnxDouble
from tests.bisection.graphs import attention, graph_network, perceptron, save


@pytest.mark.parametrize("make", [perceptron, graph_network, attention])
def test_the_same_but_for_rounding(make: Any, tmp_path: Path) -> None:
    path, inputs = make(tmp_path / "m.onnx")
    with OnnxDouble(path) as double, OnnxRuntimeRunner(path) as runner:
        exact, plain = double.infer_double(inputs), runner.infer(inputs)
    for name, array in plain.items():
        assert exact[name].dtype == np.float64
        gap = np.max(np.abs(array - exact[name])) / np.max(np.abs(exact[name]))
        assert 0 < gap < 2e-6


def test_casts_constants_and_sub_graphs_are_widened(tmp_path: Path) -> None:
    out = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
    branch = helper.make_graph(
        [
            helper.make_node("Constant", [], ["c"], value_float=0.1),
            helper.make_node("Add", ["h", "c"], ["b"]),
        ],
        "b",
        [],
        [out],
    )
    nodes = [
        helper.make_node("Constant", [], ["third"], value=numpy_helper.from_array(np.array([1 / 3], np.float32))),
        helper.make_node("Cast", ["k"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("ConstantOfShape", ["s"], ["zeros"]),
        helper.make_node("Sum", ["x", "third", "f", "zeros"], ["h"]),
        helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch),
    ]
    inputs = {"x": np.ones((2, 3), np.float32), "k": np.ones((2, 1), np.int64)}
    path = save(tmp_path / "m.onnx", nodes, inputs, ["y"], {"flag": np.array(True)})
    with OnnxDouble(path) as double:
        found = double.infer_double(inputs)["y"]
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, 2 + np.float64(np.float32(1 / 3)) + np.float64(np.float32(0.1)), rtol=1e-14)


def test_scales_of_resize_stay_float32(tmp_path: Path) -> None:
    nodes = [helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="linear")]
    inputs = {"x": np.arange(4, dtype=np.float32).reshape(1, 1, 4)}
    path = save(tmp_path / "m.onnx", nodes, inputs, ["y"], {"scales": np.array([1, 1, 2], np.float32)})
    with OnnxDouble(path) as double, OnnxRuntimeRunner(path) as runner:
        exact = double.infer_double(inputs)["y"]
        np.testing.assert_allclose(exact, runner.infer(inputs)["y"], rtol=1e-6)


def test_no_kernel_in_onnx_runtime(tmp_path: Path) -> None:
    """Convolutions in float64 run in ONNX's own evaluator."""
    rng = np.random.default_rng(1)
    inputs = {"x": rng.normal(size=(1, 2, 6, 6)).astype(np.float32)}
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        inputs,
        ["y"],
        {"w": rng.normal(size=(3, 2, 3, 3)).astype(np.float32)},
    )
    with OnnxDouble(path) as double, OnnxRuntimeRunner(path) as runner:
        exact = double.infer_double(inputs)["y"]
        assert exact.dtype == np.float64
        np.testing.assert_allclose(exact, runner.infer(inputs)["y"], rtol=1e-4, atol=1e-6)


def test_refusals(tmp_path: Path) -> None:
    trees = helper.make_node("Normalizer", ["x"], ["y"], domain="ai.onnx.ml", norm="L2")
    path, _ = perceptron(tmp_path / "m.onnx", depth=1)
    for node, why in (
        (trees, "only gives float32"),
        (helper.make_node("FusedGemm", ["x"], ["y"], domain="com.microsoft"), "not a standard ONNX operator"),
    ):
        model = onnx.load(str(path))
        del model.graph.node[:]
        model.graph.node.append(node)
        model.graph.output[0].name = "y"
        model.opset_import.append(helper.make_opsetid(node.domain, 1))
        onnx.save(model, str(tmp_path / "bad.onnx"))
        with pytest.raises(CannotError, match=why):
            doubled(tmp_path / "bad.onnx")
