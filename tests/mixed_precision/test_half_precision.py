"""Lowered graphs as a whole: what the rounding graph computes, and files of unusual form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from portinf.core.errors import CannotError
from portinf.mixed_precision import Kind, find_places, load_whole, lower_graph, save_whole
from portinf.ort.session import PlainSession

NAMES: dict[Kind, str] = {"fp16": "float16", "bf16": "bfloat16"}
TYPES: dict[Kind, Any] = {"fp16": np.float16, "bf16": ml_dtypes.bfloat16}
STEPS: dict[str, Any] = {
    "Add": np.add,
    "Mul": np.multiply,
    "Sub": np.subtract,
    "Max": np.maximum,
    "Relu": lambda a: np.maximum(a, 0),
}


def run(model: Any, folder: Path, x: Any, level: str = "none") -> Any:
    session = PlainSession(save_whole(model, folder / "run.onnx"), level=level, threads=1, name="test")
    return session.infer({"x": x})


def made(nodes: list[Any], weights: dict[str, Any], *, outputs: tuple[str, ...] = ("y",), opset: int = 18, ir: int = 8) -> Any:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", *outputs)]
    given = [numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], given)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


def whole(model: Any, folder: Path) -> Any:
    onnx.save(model, str(folder / "model.onnx"))
    return load_whole(folder / "model.onnx")


def chain(data: Any, count: int) -> list[Any]:
    """Return nodes with operands from the values before them."""
    known, nodes = ["x", "w0", "w1"], []
    for number in range(count):
        operator = data.draw(st.sampled_from(sorted(STEPS)))
        inputs = [data.draw(st.sampled_from(known)) for _ in range(1 if operator == "Relu" else 2)]
        nodes.append(helper.make_node(operator, inputs, [f"t{number}"], name=f"node{number}"))
        known.append(f"t{number}")
    return [*nodes, helper.make_node("Add", [known[-1], "x"], ["y"], name="last")]


def by_hand(nodes: list[Any], lowered: set[str], tensors: dict[str, Any], kind: Kind) -> dict[str, Any]:
    """Compute node by node in float32, rounding every operand and result of the lowered ones."""

    def short(array: Any) -> Any:
        return array.astype(TYPES[kind]).astype(np.float32)

    for node in nodes:
        operands = [tensors[name] for name in node.input]
        if node.name in lowered:
            operands = list(map(short, operands))
        result = STEPS[node.op_type](*operands)
        tensors[node.output[0]] = short(result) if node.name in lowered else result
    return tensors


@settings(max_examples=40, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["fp16", "bf16"]))
def test_rounding_graph_rounds_at_every_lowered_node(data: Any, kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("chain")
    nodes = chain(data, data.draw(st.integers(1, 8)))
    islands = data.draw(st.sets(st.sampled_from([node.name for node in nodes])))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    weights = {name: rng.normal(size=4).astype(np.float32) * scale for name, scale in (("w0", 1), ("w1", 300))}
    model = whole(made(nodes, weights), folder)
    places = [place for place in find_places(model, NAMES[kind])[0] if place.name not in islands]
    x = rng.normal(size=(3, 4)).astype(np.float32)
    lowered = {place.name for place in places}
    with np.errstate(all="ignore"):
        expected = by_hand(nodes, lowered, {"x": x, **weights}, kind)["y"]
    for level in ("none", "all"):  # neither takes the casts away
        found = run(lower_graph(model, places, kind, emulate=True), folder, x, level)["y"]
        np.testing.assert_array_equal(found, expected)
    file = lower_graph(model, places, kind)
    onnx.checker.check_model(file, full_check=True)
    if kind == "fp16":
        run(file, folder, x)


def test_a_cpu_hides_what_the_rounding_graph_shows(tmp_path: Path) -> None:
    """ONNX Runtime computes x * x / k in float32 between the casts, where a GPU gives infinity."""
    nodes = [helper.make_node("Mul", ["x", "x"], ["sq"]), helper.make_node("Div", ["sq", "k"], ["y"])]
    model = whole(made(nodes, {"k": [1000.0]}), tmp_path)
    places, _ = find_places(model, "float16")
    x = np.full((1, 4), 1000, np.float32)
    assert np.isfinite(run(lower_graph(model, places, "fp16"), tmp_path, x)["y"]).all()
    assert np.isinf(run(lower_graph(model, places, "fp16", emulate=True), tmp_path, x)["y"]).all()


def test_outputs_inputs_and_names_stay(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["h"]),
        helper.make_node("Add", ["h", "k"], ["y"]),
        helper.make_node("Identity", ["x"], ["same"]),
    ]
    model = whole(made(nodes, {"k": [0.5]}, outputs=("y", "h", "same")), tmp_path)
    places, _ = find_places(model, "float16")
    file = lower_graph(model, places, "fp16")
    assert [value.name for value in file.graph.output] == ["y", "h", "same"]
    x = np.array([[1, -2, 0.1, 4]], np.float32)
    found = run(file, tmp_path, x)
    np.testing.assert_array_equal(found["same"], x)  # moved, not rounded
    np.testing.assert_array_equal(found["h"], np.maximum(x, 0).astype(np.float16))


def test_a_lowered_file_can_be_lowered_again(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["x", "k"], ["h"], name="a"), helper.make_node("Add", ["h", "k"], ["y"], name="b")]
    model = whole(made(nodes, {"k": [0.3]}), tmp_path)
    places, _ = find_places(model, "float16")
    once = whole(lower_graph(model, places[:1], "fp16"), tmp_path)
    again = lower_graph(once, find_places(once, "float16")[0], "fp16")
    onnx.checker.check_model(again, full_check=True)
    x = np.ones((2, 4), np.float32)
    np.testing.assert_allclose(run(again, tmp_path, x)["y"], run(model, tmp_path, x)["y"], rtol=2e-3)


def test_weights_that_are_inputs_or_lie_beside_the_file(tmp_path: Path) -> None:
    model = made([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": np.eye(4) / 3}, ir=3, opset=12)
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 4]))
    onnx.save(model, str(tmp_path / "old.onnx"), save_as_external_data=True, location="old.data", size_threshold=0)
    old = load_whole(tmp_path / "old.onnx")
    file = lower_graph(old, find_places(old, "float16")[0], "fp16")
    onnx.checker.check_model(file, full_check=True)
    assert [tensor.data_type for tensor in file.graph.initializer] == [TensorProto.FLOAT16]
    x = np.ones((2, 4), np.float32)
    np.testing.assert_allclose(run(file, tmp_path, x)["y"], x / 3, rtol=1e-3)


def test_an_overridable_weight_stays_an_input(tmp_path: Path) -> None:
    model = made([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": np.eye(4)})
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 4]))
    loaded = whole(model, tmp_path)
    file = lower_graph(loaded, find_places(loaded, "float16")[0], "fp16")
    session = PlainSession(save_whole(file, tmp_path / "f.onnx"), level="none", threads=1, name="test")
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(session.infer({"x": x, "w": 2 * np.eye(4, dtype=np.float32)})["y"], 2 * x)
    np.testing.assert_array_equal(session.infer({"x": x})["y"], x)


def test_functions_are_written_out(tmp_path: Path) -> None:
    double = helper.make_function(
        "own", "Double", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 18)]
    )
    model = made([helper.make_node("Double", ["x"], ["y"], domain="own")], {})
    model.functions.append(double)
    model.opset_import.append(helper.make_opsetid("own", 1))
    loaded = whole(model, tmp_path)
    places, _ = find_places(loaded, "float16")
    assert [place.operator for place in places] == ["Add"]
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(run(lower_graph(loaded, places, "fp16"), tmp_path, x)["y"], 2 * x)


def test_operators_of_other_domains_stay(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["h"]),
        helper.make_node("Gelu", ["h"], ["g"], domain="com.microsoft"),
        helper.make_node("Neg", ["g"], ["y"]),
    ]
    model = made(nodes, {})
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    loaded = whole(model, tmp_path)
    places, kept = find_places(loaded, "float16")
    assert "not a standard ONNX operator" in kept.values()
    x = np.ones((2, 4), np.float32)
    np.testing.assert_allclose(
        run(lower_graph(loaded, places, "fp16"), tmp_path, x)["y"], run(loaded, tmp_path, x)["y"], rtol=1e-3
    )


def test_types_too_young_for_the_opset_are_said(tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4, None, None]) for name in ("x", "y")]
    weight = numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32), "w")
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"], name="c")], "g", values[:1], values[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    places, kept = find_places(whole(model, tmp_path), "bfloat16")
    assert not places and kept["c"] == "it has no bfloat16 at this opset"


def test_large_weights_lie_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portinf.mixed_precision.model.LARGE", 10)
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(64, 64)), "v": rng.normal(size=(4, 64)), "u": rng.normal(size=(64, 4))}
    names = ["x", "a", "b", "y"]
    nodes = [helper.make_node("MatMul", [names[n], w], [names[n + 1]]) for n, w in enumerate(("v", "w", "u"))]
    model = whole(made(nodes, weights), tmp_path)
    places, _ = find_places(model, "float16")
    for _ in range(2):  # the second one replaces the first
        path = save_whole(lower_graph(model, places, "fp16"), tmp_path / "out.onnx")
    data = tmp_path / "out.data"
    assert 2 * 64 * 64 <= data.stat().st_size < 4 * 64 * 64 and path.stat().st_size < 2000
    x = np.ones((2, 4), np.float32)
    session = PlainSession(path, level="none", threads=1, name="test")
    np.testing.assert_allclose(
        session.infer({"x": x})["y"], x @ weights["v"] @ weights["w"] @ weights["u"], rtol=5e-2, atol=0.5
    )


def test_a_weight_too_large_for_a_message_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portinf.mixed_precision.half_precision.LARGEST", 10)
    model = whole(made([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": np.eye(4)}), tmp_path)
    with pytest.raises(CannotError, match="weight 'w__half' takes"):
        lower_graph(model, find_places(model, "float16")[0], "fp16")
