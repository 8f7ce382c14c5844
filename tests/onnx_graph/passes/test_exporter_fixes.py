"""Mended graphs compute what the operators' definition says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given as example
from hypothesis import settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from portinf.onnx_graph.passes.exporter_fixes import fix, fix_empty


def _run(model: Any, x: Any) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def _model(nodes: list[Any], initializers: list[Any], out: int = TensorProto.FLOAT) -> Any:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", out, None)],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("operator", ["ReduceSum", "ReduceL2", "ReduceSumSquare", "ReduceMax", "ReduceMean", "ArgMax"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("rows", [0, 1, 4])
def test_reductions_have_the_right_shape_on_empty_tensors(operator: str, axis: int, keepdims: int, rows: int) -> None:
    if operator == "ArgMax":
        node, initializers = helper.make_node(operator, ["x"], ["y"], axis=axis, keepdims=keepdims), []
    else:
        node = helper.make_node(operator, ["x", "axes"], ["y"], keepdims=keepdims)
        initializers = [numpy_helper.from_array(np.array([axis]), "axes")]
    model = _model([node], initializers, out=TensorProto.INT64 if operator == "ArgMax" else TensorProto.FLOAT)
    assert fix_empty(model)
    x = np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)
    if rows == 0 and axis == 0 and operator not in ("ReduceSum", "ReduceL2", "ReduceSumSquare"):
        return  # not defined over no elements
    expected = {
        "ReduceSum": lambda: x.sum(axis, keepdims=bool(keepdims)),
        "ReduceL2": lambda: np.sqrt((x**2).sum(axis, keepdims=bool(keepdims))),
        "ReduceSumSquare": lambda: (x**2).sum(axis, keepdims=bool(keepdims)),
        "ReduceMax": lambda: x.max(axis, keepdims=bool(keepdims)),
        "ReduceMean": lambda: x.mean(axis, keepdims=bool(keepdims)),
        "ArgMax": lambda: x.argmax(axis, keepdims=bool(keepdims)),
    }[operator]()
    found = _run(model, x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("approximate", [0, 1])
def test_gelu_of_tensorflow_lite(approximate: int) -> None:
    model = _model([helper.make_node("TFL_GELU", ["x"], ["y"], approximate=approximate)], [])
    assert fix(model) == ["TensorFlow Lite's GELU written out (1 times)"]
    x = np.linspace(-5, 5, 30).reshape(10, 3).astype(np.float32)
    inner = (
        np.vectorize(math.erf)(x / math.sqrt(2)) if not approximate else np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    )
    np.testing.assert_allclose(_run(model, x), x / 2 * (1 + inner), atol=5e-7)


def test_nodes_before_those_that_they_need() -> None:
    nodes = [
        helper.make_node("Add", ["a", "b"], ["y"]),
        helper.make_node("Exp", ["b"], ["a"]),
        helper.make_node("Neg", ["x"], ["b"]),
    ]
    model = _model(nodes, [])
    assert fix(model) == ["nodes sorted topologically"]
    assert [node.op_type for node in model.graph.node] == ["Neg", "Exp", "Add"]
    assert fix(model) == []


def test_nodes_in_a_loop_stay() -> None:
    nodes = [helper.make_node("Add", ["x", "y"], ["a"]), helper.make_node("Neg", ["a"], ["y"])]
    assert fix(_model(nodes, [])) == []


def _scatter(depth: int, reduction: str, rank: int = 3) -> Any:
    value = helper.make_tensor_value_info
    node = helper.make_node("ScatterND", ["d", "i", "u"], ["y"], reduction=reduction)
    ends = [
        value("d", TensorProto.FLOAT, [None] * rank),
        value("i", TensorProto.INT64, [None, depth]),
        value("u", TensorProto.FLOAT, [None] * (1 + rank - depth)),
    ]
    graph = helper.make_graph([node], "g", ends, [value("y", TensorProto.FLOAT, [None] * rank)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _session(model: Any, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@settings(max_examples=60, deadline=None)
@example(
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.integers(1, 3),
    st.integers(0, 9),
    st.sampled_from(["add", "mul", "max", "min"]),
    st.integers(0, 1000),
)
def test_scatter_nd_at_every_depth(shape: list[int], depth: int, count: int, reduction: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    depth = min(depth, len(shape))
    indices = np.stack([rng.integers(-n, n, count) for n in shape[:depth]], axis=-1).astype(np.int64)
    data = rng.uniform(0.5, 2, shape).astype(np.float32)
    given = {"d": data, "i": indices, "u": rng.uniform(0.5, 2, (count, *shape[depth:])).astype(np.float32)}
    model = _scatter(depth, reduction, len(shape))
    (expected,) = _session(model, 1).run(None, given)  # one thread: right
    assert fix(model) and all(node.op_type != "ScatterND" for node in model.graph.node)
    (found,) = _session(model, 2).run(None, given)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_sums_on_several_threads_lose_nothing() -> None:
    """Fails for ScatterND as it is, in most runs of ONNX Runtime 1.31.1 with four threads."""
    model = _scatter(1, "add", 2)
    fix(model)
    session = _session(model, 4)
    groups = np.random.default_rng(1).integers(0, 4, (200_000, 1))
    given = {"d": np.zeros((4, 8), np.float32), "i": groups, "u": np.ones((200_000, 8), np.float32)}
    for _ in range(5):
        np.testing.assert_array_equal(session.run(None, given)[0][:, 0], np.bincount(groups[:, 0], minlength=4))
