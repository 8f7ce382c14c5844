"""Operators that ONNX does not have are named."""

from __future__ import annotations

from typing import Any

import pytest
from onnx import TensorProto, helper

from portinf.core.errors import CannotError
from portinf.onnx_graph.passes.known_operators import check_operators


def _model(nodes: list[Any], opset: int = 18, functions: list[Any] | None = None) -> Any:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])])
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=domains, functions=functions or [])


def test_what_onnx_has_passes() -> None:
    function = helper.make_function("own", "Twice", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], [])
    function.opset_import.append(helper.make_opsetid("", 18))
    nodes = [helper.make_node("Twice", ["x"], ["a"], domain="own"), helper.make_node("Exp", ["a"], ["y"], domain="ai.onnx")]
    check_operators(_model(nodes, functions=[function]))


def test_unknown_operators_are_counted_in_sub_graphs_too() -> None:
    inner = helper.make_graph(
        [helper.make_node("Erfc", ["x"], ["z"])], "b", [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n"])]
    )
    nodes = [
        helper.make_node("MatrixInverse", ["x"], ["a"]),
        helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner),
    ]
    with pytest.raises(CannotError, match=r"could not convert Erfc \(2 times\), MatrixInverse: ONNX"):
        check_operators(_model(nodes))


@pytest.mark.parametrize(("name", "domain", "shown"), [("Gelu", "", "Gelu"), ("Secret", "other", "other.Secret")])
def test_newer_operators_and_other_domains(name: str, domain: str, shown: str) -> None:
    with pytest.raises(CannotError, match=f"could not convert {shown}"):
        check_operators(_model([helper.make_node(name, ["x"], ["y"], domain=domain)]))
