"""Inner tensors of ONNX files: in parts, with external data, with empty requests, without values that are no tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from portinf.ort.trace import trace_onnx
from portinf.runners.onnx import OnnxRuntimeRunner
from tests.bisection.graphs import perceptron


def test_all_tensors_in_order_and_in_parts(tmp_path: Path) -> None:
    path, inputs = perceptron(tmp_path / "m.onnx", depth=20)
    with OnnxRuntimeRunner(path) as runner:
        found = dict(trace_onnx(path, inputs, None, name="m"))
        assert list(found) == [f"{letter}{k}" for k in range(20) for letter in "mar"]
        np.testing.assert_allclose(found["r19"], runner.infer(inputs)["r19"], rtol=1e-5)
        assert [name for name, _ in trace_onnx(path, inputs, {"a3", "m1", "none"}, name="m")] == ["m1", "a3"]
    small = dict(trace_onnx(path, inputs, None, name="m", budget=1000))
    assert list(small) == list(found)
    for name, array in found.items():
        np.testing.assert_array_equal(small[name], array)


def test_external_data(tmp_path: Path) -> None:
    path, inputs = perceptron(tmp_path / "m.onnx", depth=2)
    plain = dict(trace_onnx(path, inputs, None, name="m"))
    (tmp_path / "isolated").mkdir()
    onnx.save(
        onnx.load(str(path)),
        str(tmp_path / "isolated" / "m.onnx"),
        save_as_external_data=True,
        location="w.data",
        size_threshold=0,
    )
    isolated = dict(trace_onnx(tmp_path / "isolated" / "m.onnx", inputs, None, name="m"))
    np.testing.assert_array_equal(isolated["r1"], plain["r1"])
    empty = {"x": np.zeros((0, 16), np.float32)}
    assert dict(trace_onnx(tmp_path / "isolated" / "m.onnx", empty, None, name="m"))["a0"].shape == (0, 16)


def test_sequences_are_left_out(tmp_path: Path) -> None:
    def value(name: str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2])

    nodes = [
        helper.make_node("SequenceConstruct", ["x", "x"], ["s"]),
        helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=0),
    ]
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(tmp_path / "m.onnx"))
    found = dict(trace_onnx(tmp_path / "m.onnx", {"x": np.ones((1, 2), np.float32)}, None, name="m"))
    assert list(found) == ["y"]
