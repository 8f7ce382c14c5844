"""Random operators of ONNX files are found where an output depends on them, and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from portinf.core.errors import CannotError
from portinf.onnx_graph.random_operators import random_nodes, refuse_random

FLOAT = TensorProto.FLOAT


def _value(name: str, kind: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, None)


def _model(
    nodes: list[Any], *, opset: int = 18, functions: Any = (), constants: Any = None, inputs: Any = (), ir: int = 8
) -> Any:
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, "g", [_value("x"), *inputs], [_value("y")], held)
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=domains, functions=list(functions), ir_version=ir)


def _node(kind: str, inputs: list[str], output: str = "r", **attributes: Any) -> Any:
    return helper.make_node(kind, inputs, [output], name=f"{kind}_1", **attributes)


ADDED = helper.make_node("Add", ["x", "r"], ["y"])
ON = {"ratio": np.float32(0.3), "on": np.array(True)}


@pytest.mark.parametrize(
    ("node", "constants"),
    [
        (_node("RandomNormal", [], shape=[1]), {}),
        (_node("RandomNormalLike", ["x"]), {}),
        (_node("RandomUniform", [], shape=[1], seed=3.0), {}),
        (_node("RandomUniformLike", ["x"]), {}),
        (_node("Multinomial", ["x"]), {}),
        (_node("Bernoulli", ["x"]), {}),
        (_node("Dropout", ["x", "ratio", "on"]), ON),
        (_node("Dropout", ["x", "", "on"]), {"on": np.array(True)}),
        (_node("Dropout", ["x", "ratio", "computed"]), ON),
        (_node("BiasDropout", ["x", "x", "", "ratio", "on"], domain="com.microsoft"), ON),
        (_node("Sampling", ["x"], domain="com.microsoft"), {}),
    ],
)
def test_a_random_operator_is_named(node: Any, constants: dict[str, Any]) -> None:
    model = _model([node, ADDED], constants=constants)
    assert random_nodes(model).reaching == (f"{node.op_type} '{node.op_type}_1'",)
    with pytest.raises(
        CannotError, match=rf"m.onnx is random.*differ from call to call: {node.op_type} '.*draws random numbers"
    ):
        refuse_random(model, "m.onnx")


@pytest.mark.parametrize(
    ("node", "constants", "opset"),
    [
        (_node("Dropout", ["x", "ratio", "off"]), {"ratio": np.float32(0.3), "off": np.array(False)}, 18),
        (_node("Dropout", ["x", "ratio"]), {"ratio": np.float32(0.3)}, 18),
        (_node("Dropout", ["x", "zero", "on"]), {"zero": np.float32(0), "on": np.array(True)}, 18),
        (_node("Dropout", ["x"], ratio=0.3), {}, 7),
        (_node("Dropout", ["x"], ratio=0.3, is_test=1), {}, 6),
        (_node("RandomNormalLike", ["x"], scale=0.0, mean=2.0), {}, 18),
        (_node("RandomUniform", [], shape=[1], low=1.0, high=1.0), {}, 18),
        (_node("Add", ["x", "x"]), {}, 18),
    ],
)
def test_what_draws_nothing_passes(node: Any, constants: dict[str, Any], opset: int) -> None:
    assert refuse_random(_model([node, ADDED], constants=constants, opset=opset), "m.onnx") == []


def test_old_dropout_is_on_unless_it_says_otherwise() -> None:
    assert random_nodes(_model([_node("Dropout", ["x"]), ADDED], opset=6)).reaching


def test_a_constant_of_an_old_file_is_an_input_as_well() -> None:
    off = {"ratio": np.float32(0.3), "off": np.array(False)}
    inputs = [_value("ratio"), _value("off", TensorProto.BOOL)]
    nodes = [_node("Dropout", ["x", "ratio", "off"]), ADDED]
    assert not random_nodes(_model(nodes, constants=off, inputs=inputs, ir=3)).reaching
    assert random_nodes(_model(nodes, constants=off, inputs=inputs)).reaching  # the caller may switch it on


def test_what_no_output_depends_on_is_said_and_not_refused() -> None:
    dead = _model([_node("RandomUniformLike", ["x"]), helper.make_node("Neg", ["x"], ["y"])])
    assert refuse_random(dead, "m.onnx") == [
        "random operators that no output depends on: RandomUniformLike 'RandomUniformLike_1'"
    ]
    shape = [
        _node("RandomUniformLike", ["x"]),
        helper.make_node("Shape", ["r"], ["s"]),
        helper.make_node("Expand", ["x", "s"], ["y"]),
    ]
    assert not random_nodes(_model(shape)).reaching


def test_graphs_inside_nodes_are_followed() -> None:
    def branch(name: str, node: Any) -> Any:
        return helper.make_graph([node], name, [], [_value("z")])

    drawn, plain = _node("RandomNormalLike", ["x"], "z"), helper.make_node("Neg", ["x"], ["z"])
    chosen = helper.make_node("If", ["c"], ["y"], then_branch=branch("a", plain), else_branch=branch("b", drawn))
    assert random_nodes(_model([chosen])).reaching == ("RandomNormalLike 'RandomNormalLike_1'",)
    # drawn outside, taken from inside
    taken = helper.make_node(
        "If", ["c"], ["y"], then_branch=branch("a", helper.make_node("Neg", ["r"], ["z"])), else_branch=branch("b", plain)
    )
    assert random_nodes(_model([_node("Bernoulli", ["x"]), taken])).reaching == ("Bernoulli 'Bernoulli_1'",)
    # inside, and of no use there
    unused = helper.make_graph([_node("Bernoulli", ["x"]), plain], "a", [], [_value("z")])
    both = helper.make_node("If", ["c"], ["y"], then_branch=unused, else_branch=branch("b", plain))
    assert random_nodes(_model([both])).reaching == () and random_nodes(_model([both])).unused


def test_functions_are_followed_with_the_constants_that_they_are_given() -> None:
    inner = [helper.make_node("Dropout", ["a", "rate", "mode"], ["b"], name="drop")]
    function = helper.make_function("own", "Drop", ["a", "rate", "mode"], ["b"], inner, [helper.make_opsetid("", 18)])
    call = helper.make_node("Drop", ["x", "ratio", "on"], ["y"], domain="own")
    assert random_nodes(_model([call], functions=[function], constants=ON)).reaching == ("Dropout 'drop'",)
    off = {"ratio": np.float32(0.3), "on": np.array(False)}
    assert refuse_random(_model([call], functions=[function], constants=off), "m.onnx") == []


def test_many_are_counted() -> None:
    nodes = [helper.make_node("RandomNormalLike", ["x"], [f"r{k}"]) for k in range(5)]
    total = helper.make_node("Sum", [f"r{k}" for k in range(5)], ["y"])
    assert random_nodes(_model([*nodes, total])).text.endswith("and 2 more draw random numbers")
