"""int8: what ONNX Runtime's quantiser really did, and what cannot be quantised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from portinf.core.batch import Batch
from portinf.core.errors import CannotError
from portinf.mixed_precision import load_whole, measure_ranges, save_whole
from portinf.mixed_precision.int8 import Flavour, count_quantised, quantisable, quantise
from portinf.mixed_precision.recipe import IntegerRecipe
from portinf.ort.session import PlainSession


def network(path: Path, opset: int = 18) -> Path:
    """Two linear layers with a sum between them; x is [n, 8]."""
    rng = np.random.default_rng(1)
    weights = {
        "w1": rng.normal(size=(8, 16)),
        "b1": rng.normal(size=16),
        "w2": rng.normal(size=(16, 16)),
        "w3": rng.normal(size=(16, 3)),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "w2"], ["m"], name="second"),
        helper.make_node("Add", ["m", "r"], ["s"], name="sum"),
        helper.make_node("MatMul", ["s", "w3"], ["y"], name="third"),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width]) for name, width in (("x", 8), ("y", 3))]
    given = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], given)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), str(path))
    return path


def batches() -> list[Batch]:
    rng = np.random.default_rng(2)
    return [Batch(name=str(n), inputs={"x": rng.normal(size=(64, 8)).astype(np.float32)}) for n in range(3)]


def run(model: Any, folder: Path, x: Any, level: str) -> Any:
    session = PlainSession(save_whole(model, folder / "run.onnx"), level=level, threads=1, name="test")
    return session.infer({"x": x})["y"]


@pytest.mark.parametrize("flavour", ["cpu", "tensorrt"])
def test_quantised_file(flavour: Flavour, tmp_path: Path) -> None:
    model = load_whole(network(tmp_path / "m.onnx"))
    ranges = measure_ranges(model, batches())
    nodes, weighted = quantisable(model, ranges, flavour)
    assert weighted == ["first", "second", "third"]
    made = quantise(model, ranges, nodes, flavour)
    onnx.checker.check_model(made, full_check=True)
    assert count_quantised(made) == 3
    x = batches()[0].inputs["x"]
    expected = run(model, tmp_path, x, "none")
    for level in ("none", "all"):
        np.testing.assert_allclose(run(made, tmp_path, x, level), expected, atol=0.03 * np.abs(expected).max())


def test_weights_for_the_cpu_take_seven_bits(tmp_path: Path) -> None:
    """Two products of uint8 and int8 saturate the 16 bits of processors without VNNI; 2 * 255 * 64 does not."""
    model = load_whole(network(tmp_path / "m.onnx"))
    ranges = measure_ranges(model, batches())
    made = quantise(model, ranges, quantisable(model, ranges, "cpu")[0], "cpu")
    weights = [numpy_helper.to_array(t) for t in made.graph.initializer if t.data_type == TensorProto.INT8 and len(t.dims) == 2]
    assert len(weights) == 3 and all(np.abs(w.astype(int)).max() <= 64 for w in weights)


def test_recipe_for_tensorrt_is_symmetric_int8(tmp_path: Path) -> None:
    model = load_whole(network(tmp_path / "m.onnx"))
    ranges = measure_ranges(model, batches())
    made = quantise(model, ranges, quantisable(model, ranges, "tensorrt")[0], "tensorrt")
    kinds = {t.name: t for t in made.graph.initializer}
    zeros = [kinds[node.input[2]] for node in made.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert {t.data_type for t in zeros} == {TensorProto.INT8}
    assert all(not numpy_helper.to_array(t).any() for t in zeros)
    assert TensorProto.INT32 not in {t.data_type for t in made.graph.initializer}  # biases stay floats


def test_islands_are_left_alone(tmp_path: Path) -> None:
    model = load_whole(network(tmp_path / "m.onnx"))
    recipe = IntegerRecipe(model, measure_ranges(model, batches()), "cpu")
    path, count = recipe.write({"second"}, tmp_path / "out.onnx")
    assert count == 2
    made = {node.name: node for node in onnx.load(path).graph.node}
    assert "w2" in made["second"].input and "w1" not in made["first"].input


def test_a_quantiser_that_does_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_whole(network(tmp_path / "m.onnx"))
    recipe = IntegerRecipe(model, measure_ranges(model, batches()), "cpu")
    monkeypatch.setattr("onnxruntime.quantization.qdq_quantizer.QDQQuantizer.quantize_model", lambda self: self.model.model)
    with pytest.raises(CannotError, match="did not quantise any of 3 nodes"):
        recipe.write(set(), tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_no_weights_and_old_opsets_are_refused(tmp_path: Path) -> None:
    model = load_whole(network(tmp_path / "m.onnx", opset=12))
    ranges = measure_ranges(model, batches())
    with pytest.raises(CannotError, match="opset 12"):
        quantisable(model, ranges, "cpu")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 8]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(tmp_path / "r.onnx"))
    with pytest.raises(CannotError, match="nothing to quantise"):
        quantisable(load_whole(tmp_path / "r.onnx"), ranges, "cpu")


def test_ranges_are_taken_over_all_batches(tmp_path: Path) -> None:
    model = load_whole(network(tmp_path / "m.onnx"))
    given = batches()
    given[1].inputs["x"][5, 3] = -40
    given[2].inputs["x"][7, 1] = np.nan
    ranges = measure_ranges(model, [*given, Batch(name="empty", inputs={"x": np.zeros((0, 8), np.float32)})])
    assert ranges.batches == 3 and ranges.by_tensor["x"][0] == -40 and ranges.largest("x") == 40
    with pytest.raises(CannotError, match="no samples"):
        measure_ranges(model, [])
