"""A file with a largest length refuses longer inputs by itself, and is the same otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from portinf.core.signature import Axis, Signature, TensorSpec
from portinf.onnx_graph.passes.length_limits import refuse_longer


def session(model: Any) -> onnxruntime.InferenceSession:
    onnx.checker.check_model(model)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def model_of(dtype: int, operator: str) -> Any:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"])], "g", [value("x", dtype, ["n", "m"])], [value("y", dtype, ["n", "m"])]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize(
    ("dtype", "number", "operator"),
    [("float32", TensorProto.FLOAT, "Neg"), ("int64", TensorProto.INT64, "Abs"), ("bool", TensorProto.BOOL, "Not"),
     ("object", TensorProto.STRING, "Identity")],
)  # fmt: skip
def test_longer_inputs_are_refused_and_others_answered_as_before(dtype: str, number: int, operator: str) -> None:
    plain, held = model_of(number, operator), model_of(number, operator)
    shape = (Axis(label="n", maximum=20), Axis(label="m"))
    signature = Signature(inputs=(TensorSpec(name="x", dtype=dtype, shape=shape),), outputs=())
    assert refuse_longer(held, signature)
    assert not refuse_longer(held, signature)  # once is enough
    assert [value.name for value in held.graph.input] == ["x"]
    before, after = session(plain), session(held)
    for lengths in ((0, 3), (1, 0), (7, 5), (20, 300)):
        given = (np.arange(lengths[0] * lengths[1]).reshape(lengths) % 3).astype("str" if dtype == "object" else dtype)
        given = given.astype(object) if dtype == "object" else given
        np.testing.assert_array_equal(after.run(None, {"x": given})[0], before.run(None, {"x": given})[0])
    with pytest.raises(Exception, match="input x is valid up to 20 along axis 0"):
        after.run(None, {"x": np.zeros((21, 2), dtype) if dtype != "object" else np.full((21, 2), "a", object)})


def test_a_signature_without_largest_lengths_changes_nothing() -> None:
    model = model_of(TensorProto.FLOAT, "Neg")
    axes = (Axis(label="n", minimum=2), Axis(label="m"))
    assert not refuse_longer(model, Signature(inputs=(TensorSpec(name="x", dtype="float32", shape=axes),), outputs=()))
    assert len(model.graph.node) == 1
