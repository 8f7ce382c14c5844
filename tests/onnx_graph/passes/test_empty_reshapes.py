"""Reshapes stay right on tensors without elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from portinf.onnx_graph.passes.empty_reshapes import fix_reshapes


def _model(nodes: list[Any], constants: dict[str, list[int]]) -> Any:
    held = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in constants.items()]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "m", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        held,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _run(model: Any, x: Any) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_guessed_length_is_computed(n: int) -> None:
    model = _model([helper.make_node("Reshape", ["x", "shape"], ["y"])], {"shape": [0, -1, 2]})
    x = np.arange(n * 5 * 4, dtype=np.float32).reshape(n, 5, 4)
    assert fix_reshapes(model, free=True) == []
    assert fix_reshapes(model) == ["reshapes fixed for empty tensors (1 times)"]
    np.testing.assert_array_equal(_run(model, x), x.reshape(n, 10, 2))


@pytest.mark.parametrize("m", [0, 1, 3])
def test_a_computed_shape_means_its_zeros(m: int) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["lengths"]),
        helper.make_node("Gather", ["lengths", "order"], ["shape"]),
        helper.make_node("Reshape", ["x", "shape"], ["y"], allowzero=0),  # as exporters write it
    ]
    model = _model(nodes, {"order": [1, 2, 0]})
    assert fix_reshapes(model, free=True) == ["reshapes fixed for empty tensors (1 times)"]
    x = np.arange(2 * m * 4, dtype=np.float32).reshape(2, m, 4)
    np.testing.assert_array_equal(_run(model, x), x.reshape(m, 4, 2))


def test_others_stay() -> None:
    model = _model([helper.make_node("Reshape", ["x", "shape"], ["y"])], {"shape": [-1, 2]})
    assert fix_reshapes(model) == []
