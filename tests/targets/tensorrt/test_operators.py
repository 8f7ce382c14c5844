"""What each release of TensorRT refuses, by node, before anyone waits for a build."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from portinf.core.errors import CannotError
from portinf.targets.tensorrt.operators import check_operators, tables
from portinf.targets.tensorrt.versions import parse_version
from tests.triton.models import tensor

FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


def graph(nodes: Sequence[Any], opset: int = 17, weights: Sequence[Any] = (), domains: Sequence[str] = ()) -> Any:
    """A graph around the nodes; only what the check reads of it is right."""
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    made = helper.make_graph(list(nodes), "g", [tensor("x", ["b", 4])], [tensor("y", ["b", 4])], list(weights))
    return helper.make_model(made, opset_imports=imports, ir_version=8)


def constant(name: str, values: Any, kind: str = "int64") -> Any:
    return numpy_helper.from_array(np.array(values, dtype=kind), name)


def refused(model: Any, version: str) -> str:
    with pytest.raises(CannotError) as caught:
        check_operators(model, parse_version(version), "m.onnx")
    return str(caught.value)


def passes(model: Any, version: str) -> list[str]:
    return list(check_operators(model, parse_version(version), "m.onnx").notes)


def test_every_table_names_its_source_and_splits_the_operators() -> None:
    assert [str(table.version) for table in tables()] == ["8.6", "10.0", "10.1", "10.15", "11.1"]
    assert [table.max_opset for table in tables()] == [17, 20, 20, 24, 24]
    for table in tables():
        assert table.source.startswith("https://github.com/onnx/onnx-tensorrt/blob/")
        assert {"Add", "MatMul", "Conv", "Gemm", "Relu"} <= set(table.supported) and not set(
            table.supported
        ) & table.unsupported
        for name in (*table.supported, *table.unsupported):
            assert name in ("ImageScaler", "ParametricSoftplus", "ScaledTanh") or onnx.defs.has(name), name


def scatter(operator: str, reduction: str) -> Any:
    return graph([helper.make_node(operator, ["x", "i", "u"], ["y"], name="sums", reduction=reduction)])


def test_a_scatter_with_a_reduction_is_refused_where_it_would_be_silently_wrong() -> None:
    text = refused(scatter("ScatterElements", "add"), "8.6")
    assert (
        "ScatterElements with reduction 'add' (node 'sums')" in text
        and "computes something else" in text
        and "TensorRT 10" in text
    )
    for version in ("10.0", "10.3", "11.1"):
        passes(scatter("ScatterElements", "add"), version)
    passes(scatter("ScatterElements", "none"), "8.6")


def test_the_row_by_row_scatter_of_the_other_target_is_refused_with_its_cure() -> None:
    for version in ("8.6", "10.3", "11.1"):
        text = refused(scatter("ScatterND", "add"), version)
        assert "ScatterND with reduction 'add'" in text and "optimize the original" in text
    passes(scatter("ScatterND", "none"), "8.6")


@pytest.mark.parametrize(
    "operator", ["Unique", "Compress", "QLinearConv", "QLinearMatMul", "DynamicQuantizeLinear", "ConvInteger"]
)
def test_operators_that_no_release_has(operator: str) -> None:
    for table in tables():
        assert f"{operator} (node '{operator} number 0')" in refused(
            graph([helper.make_node(operator, ["x"], ["y"])]), str(table.version)
        )


def test_other_domains_and_functions_are_refused() -> None:
    text = refused(
        graph([helper.make_node("FusedConv", ["x"], ["y"], domain="com.microsoft")], domains=["com.microsoft"]), "11.1"
    )
    assert "com.microsoft.FusedConv" in text and "optimize the original" in text
    trees = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml")
    assert "no trees" in refused(graph([trees], domains=["ai.onnx.ml"]), "11.1")
    model = graph([helper.make_node("twice", ["x"], ["y"], domain="here")], domains=["here"])
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    model.functions.append(helper.make_function("here", "twice", ["a"], ["b"], body, [helper.make_opsetid("", 17)]))
    assert "onnx.inliner" in refused(model, "11.1")


def test_top_k_up_to_3840() -> None:
    def model(count: int, **attributes: int) -> Any:
        nodes = [helper.make_node("TopK", ["x", "k"], ["y", "places"], name="best", **attributes)]
        return graph(nodes, weights=[constant("k", [count])])

    passes(model(3840), "11.1")
    assert "TopK with K = 3841 (node 'best')" in refused(model(3841), "11.1")
    assert "sorted" in refused(model(4, sorted=0), "11.1")


def test_the_constant_may_be_a_node_or_inside_a_branch() -> None:
    value = helper.make_node("Constant", [], ["k"], value=constant("", [5000]))
    best = helper.make_node("TopK", ["x", "k"], ["y", "places"], name="best")
    assert "K = 5000" in refused(graph([value, best]), "10.3")
    branch = helper.make_graph([value, best], "branch", [], [tensor("y", ["b", 4])])
    choice = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    assert "K = 5000" in refused(graph([choice]), "10.3")


def test_quantised_numbers_must_be_symmetric_int8() -> None:
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], name="q")
    assert "uint8" in refused(graph([node], weights=[constant("z", 0, "uint8")]), "10.3")
    assert "zero point" in refused(graph([node], weights=[constant("z", [0, 3], "int8")]), "10.3")
    passes(graph([node], weights=[constant("z", [0, 0], "int8")]), "10.3")


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (helper.make_node("MaxPool", ["x"], ["y", "places"], kernel_shape=[2]), "Indices"),
        (helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2], dilations=[2]), "dilations"),
        (helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=4, layout=1), "layout"),
        (helper.make_node("LayerNormalization", ["x", "s"], ["y", "mean"]), "Mean"),
        (helper.make_node("Resize", ["x"], ["y"], mode="cubic"), "cubic"),
        (helper.make_node("Resize", ["x"], ["y"], antialias=1), "antialias"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_restrictions_of_single_operators(node: Any, said: str) -> None:
    assert said in refused(graph([node]), "10.15")


def test_opsets() -> None:
    relu = [helper.make_node("Relu", ["x"], ["y"])]
    assert "opset 18; TensorRT 8.6 takes up to 17" in refused(graph(relu, opset=18), "8.6")
    assert "--opset 24" in refused(graph(relu, opset=25), "11.1")
    assert "takes 9 and newer" in refused(graph(relu, opset=8), "10.0")
    assert any("opset 21" in note for note in passes(graph(relu, opset=21), "10.3"))
    assert passes(graph(relu, opset=20), "10.3") == []


def test_a_version_between_two_tables_is_left_to_the_build_where_they_differ() -> None:
    window = [helper.make_node("HannWindow", ["x"], ["y"])]
    assert "HannWindow" in refused(graph(window), "10.1")
    assert passes(graph(window), "11.1") == []
    assert any("HannWindow" in note and "the build decides" in note for note in passes(graph(window), "10.3"))
    assert any("newest whose table is known" in note for note in passes(graph(window), "11.5"))


def test_types_are_told_and_float64_too() -> None:
    def typed(kind: int) -> list[str]:
        model = graph([helper.make_node("Celu", ["a"], ["b"])])
        model.graph.value_info.append(tensor("a", [2], kind))
        return passes(model, "11.1")

    assert any(note.startswith("Celu on INT64") for note in typed(INT))
    assert any("float64 inside the graph" in note for note in typed(TensorProto.DOUBLE))
    assert typed(FLOAT) == []


def test_all_reasons_are_counted(tmp_path: Path) -> None:
    nodes = [helper.make_node("Unique", ["x"], ["y"], name=f"u{n}") for n in range(6)]
    text = refused(graph([*nodes, helper.make_node("Det", ["x"], ["z"])]), "10.3")
    assert "Unique (6 nodes: 'u0', 'u1', 'u2', 'u3', ...)" in text and "1 more: Det" in text
