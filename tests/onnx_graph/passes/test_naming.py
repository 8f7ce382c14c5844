"""Exported graphs get the user's names, whatever stood there before."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from portinf.core.signature import Axis, Signature, TensorSpec
from portinf.onnx_graph.passes.naming import give_names


def _model() -> Any:
    """Two inputs; outputs: their sum, the first input itself, the sum again; a sub-graph that captures outer values."""
    value = lambda name, shape=("n",): helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)  # noqa: E731
    then = helper.make_graph([helper.make_node("Add", ["in_0", "x"], ["inner"])], "then", [], [value("inner")])
    other = helper.make_graph([helper.make_node("Identity", ["x"], ["inner2"])], "else", [], [value("inner2")])
    nodes = [
        helper.make_node("Add", ["in_0", "in_1:0"], ["x"]),
        helper.make_node("If", ["flag"], ["y"], then_branch=then, else_branch=other),
    ]
    flag = helper.make_tensor("flag", TensorProto.BOOL, [], [True])
    graph = helper.make_graph(
        nodes, "g", [value("in_0"), value("in_1:0")], [value("y"), value("in_0"), value("x"), value("x")], [flag]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=6)
awkward = st.sampled_from(["x", "y", "in_0", "in_1:0", "in_1", "inner", "flag", "x__inner", "output/BiasAdd"])


@settings(deadline=None, max_examples=60)
@given(st.lists(awkward | names, min_size=6, max_size=6, unique=True))
def test_any_six_names(chosen: list[str]) -> None:
    def spec(name: str) -> TensorSpec:
        return TensorSpec(name=name, dtype="float32", shape=(Axis(label="n"),))

    signature = Signature(inputs=tuple(map(spec, chosen[:2])), outputs=tuple(map(spec, chosen[2:])))
    model = _model()
    give_names(model, signature)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert [v.name for v in session.get_inputs()] == chosen[:2]
    assert [v.name for v in session.get_outputs()] == chosen[2:]
    a, b = np.float32([1, 2]), np.float32([10, 20])
    found = session.run(chosen[2:], {chosen[0]: a, chosen[1]: b})
    for array, expected in zip(found, [2 * a + b, a, a + b, a + b], strict=True):
        np.testing.assert_array_equal(array, expected)
