"""The walk over two graphs: renamed and rebuilt graphs, rounding that grows, ONNX Runtime's own rewriting, sizes of tensors."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from portinf.bisection.deviation import deviation
from portinf.bisection.onnx_pair import walk
from portinf.bisection.reproducer import write_reproducer
from portinf.bisection.tensor_store import Store
from portinf.onnx_graph.graph import Graph
from portinf.onnx_graph.passes.naming import rename_values
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.validation import Tolerance
from tests.bisection.graphs import attention, graph_network, perceptron, save
from tests.bisection.planting import plant
from tests.validation.gallery import X, scaled

TOLERANCE = Tolerance()


def renamed(path: Path) -> Path:
    """Give every inner tensor and weight another name."""
    model = onnx.load(str(path))
    keep = {value.name for value in model.graph.output}
    names = [name for node in model.graph.node for name in node.output] + [tensor.name for tensor in model.graph.initializer]
    rename_values(model.graph, {name: f"t{k}" for k, name in enumerate(names) if name not in keep})
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("make", [perceptron, graph_network, attention])
@pytest.mark.parametrize("seed", range(3))
def test_names_do_not_matter(make: Any, seed: int, tmp_path: Path) -> None:
    right, inputs = make(tmp_path / "right.onnx")
    node, what = plant(right, tmp_path / "wrong.onnx", inputs, seed)
    found = walk(right, renamed(tmp_path / "wrong.onnx"), inputs, TOLERANCE)
    assert found.culprit is not None and found.culprit.node.name == node, what


def mul(name: str, *inputs: str) -> Any:
    return helper.make_node("Mul", list(inputs), [name], name=f"n_{name}")


def pair(folder: Path, changed: float = 2.0) -> tuple[Path, Path, dict[str, Any]]:
    """y = relu(2 x w + b), once as a product and a sum, once as one Gemm whose name for the sum is another."""
    w = np.random.default_rng(1).normal(size=(8, 8)).astype(np.float32)
    b = np.linspace(-1, 1, 8, dtype=np.float32)
    inputs = {"x": np.random.default_rng(2).normal(size=(4, 8)).astype(np.float32)}
    relu = helper.make_node("Relu", ["s"], ["y"], name="n_y")
    first = [
        mul("x2", "x", "two"),
        helper.make_node("MatMul", ["x2", "w"], ["m"], name="n_m"),
        helper.make_node("Add", ["m", "b"], ["s"], name="n_s"),
        relu,
    ]
    left = save(folder / "left.onnx", first, inputs, ["y"], {"two": np.float32(2), "w": w, "b": b})
    gemm = [helper.make_node("Gemm", ["x", "w", "b"], ["s"], name="fused"), relu]
    return left, save(folder / "right.onnx", gemm, inputs, ["y"], {"w": np.float32(changed) * w, "b": b}), inputs


def test_a_fused_node_that_is_right_is_not_blamed(tmp_path: Path) -> None:
    left, right, inputs = pair(tmp_path)
    found = walk(left, right, inputs, TOLERANCE)
    assert found.culprit is None and found.numbers["agreeing"] == 2


def test_a_fused_node_that_is_wrong_is_held_against_the_nodes_that_it_replaces(tmp_path: Path) -> None:
    left, right, inputs = pair(tmp_path, 2.5)
    found = walk(left, right, inputs, TOLERANCE)
    assert found.culprit is not None and found.culprit.node.name == "fused"
    assert "the reference computes it by Mul 'n_x2', MatMul 'n_m', Add 'n_s'" in found.text
    assert found.alone is not None
    folder = tmp_path / "small $(touch EXECUTED); 'x"
    written = write_reproducer(found.alone, folder, TOLERANCE)
    assert written is not None and written.shapes == {"x": (4, 8)}
    files = [str(folder / name) for name in ("reference.onnx", "candidate.onnx", "inputs.npz")]
    assert shlex.split(written.command)[:6] == ["portinf", "validate", *files[:2], "--inputs", files[2]]
    operators = [node.op_type for node in onnx.load(str(folder / "reference.onnx")).graph.node]
    assert operators == ["Mul", "MatMul", "Add"]


def test_parts_that_no_tensor_of_the_reference_corresponds_to_are_named_together(tmp_path: Path) -> None:
    """The candidate computes 3 (x + x) in place of 2 x, by two nodes."""
    inputs = {"x": np.linspace(-3, 5, 24, dtype=np.float32).reshape(3, 8)}
    left = save(tmp_path / "left.onnx", [mul("y", "x", "two")], inputs, ["y"], {"two": np.float32(2)})
    nodes = [helper.make_node("Add", ["x", "x"], ["d"], name="n_d"), mul("y", "d", "three")]
    right = save(tmp_path / "right.onnx", nodes, inputs, ["y"], {"three": np.float32(3)})
    found = walk(left, right, inputs, TOLERANCE)
    assert found.culprit is not None and found.culprit.alone.deviation.error == pytest.approx(2.0)
    assert found.culprit.node.name in ("n_d", "n_y")


def chaos(path: Path, steps: int, factor: float) -> tuple[Path, dict[str, Any]]:
    """The logistic map, which doubles any rounding at each step; the product is bracketed in one of two ways."""
    nodes, last = [], "x"
    for k in range(steps):
        nodes += [
            helper.make_node("Sub", ["one", last], [f"s{k}"], name=f"sub{k}"),
            mul(f"p{k}", *((last, f"s{k}") if factor == 1 else (last, "four"))),
            mul(f"x{k}", *((f"p{k}", "four") if factor == 1 else (f"p{k}", f"s{k}"))),
        ]
        last = f"x{k}"
    weights = {"one": np.float32(1), "four": np.float32(3.9)}
    inputs = {"x": np.linspace(0.1, 0.45, 12, dtype=np.float32).reshape(1, 12)}
    return save(path, nodes, inputs, [last], weights), inputs


def test_rounding_that_grows_is_not_blamed_on_a_node(tmp_path: Path) -> None:
    left, inputs = chaos(tmp_path / "left.onnx", 24, 1)
    right, _ = chaos(tmp_path / "right.onnx", 24, 2)
    found = walk(left, right, inputs, TOLERANCE)
    assert found.figure.series[0].y[-1] > 1e-3  # the output does disagree
    assert found.culprit is None
    assert found.text.startswith("no single node is wrong")


def test_an_error_below_the_tolerance_that_grows_is_traced_to_its_node(tmp_path: Path) -> None:
    left, inputs = chaos(tmp_path / "left.onnx", 20, 1)
    model = onnx.load(str(left))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(3.9 * (1 + 1e-5)), "slightly"))
    model.graph.node[8].input[1] = "slightly"
    onnx.save(model, str(tmp_path / "right.onnx"))
    found = walk(left, tmp_path / "right.onnx", inputs, TOLERANCE)
    assert found.culprit is not None and found.culprit.kind == "suspect"
    assert found.culprit.node.name == "n_x2"
    assert "no single node is out of tolerance" in found.text


def test_bounds_are_relative_to_the_tensors_own_size() -> None:
    big = np.array([0.0, 1e6], np.float32)
    assert deviation(big, big + np.float32([1.0, 0.0]), TOLERANCE).agrees
    assert not deviation(big / 1e9, big / 1e9 + np.float32([1e-6, 0.0]), TOLERANCE).agrees
    mask = np.array([-np.inf, 1.0], np.float32)
    assert deviation(mask, mask, TOLERANCE).agrees
    assert not deviation(mask, -mask, TOLERANCE).agrees
    assert not deviation(np.array([1, 2]), np.array([1, 3]), TOLERANCE).agrees
    assert deviation(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), TOLERANCE).agrees
    assert not deviation(np.zeros((2, 3), np.float32), np.zeros((3, 2), np.float32), TOLERANCE).agrees
    half = np.array([1.0, 2.0], np.float16)
    assert deviation(half.astype(np.float32) * np.float32(1.002), half, TOLERANCE).agrees


def test_a_small_column_beside_a_large_one_is_found(tmp_path: Path) -> None:
    right, wrong = (scaled(1, 1, 10, small).write(tmp_path / f"{small}.onnx") for small in (1e-6, 2e-6))
    found = walk(right, wrong, {"x": X[:50]}, TOLERANCE)
    assert found.culprit is not None and found.culprit.node.operator == "Mul"
    assert walk(right, right, {"x": X[:50]}, TOLERANCE).culprit is None
    columns = np.array([[1.0, 1e-6], [2.0, 3e-6]], np.float32)
    off = columns + np.float32([0, 1e-6])
    assert deviation(columns, off, TOLERANCE).agrees
    assert not deviation(columns, off, Tolerance(columns=True)).agrees


def test_a_sub_graph_takes_what_it_uses_from_outside(tmp_path: Path) -> None:
    """The branch of an If reads a tensor of the main graph: it is an input of the node, and crosses into the reproducer."""

    def branch(name: str, operator: str) -> Any:
        out = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node(operator, ["h", "w"], [name])], name, [], [out])

    inputs = {"x": np.linspace(1, 2, 16, dtype=np.float32).reshape(2, 8)}
    for file, operator in (("left", "Mul"), ("right", "Add")):
        nodes = [
            helper.make_node("Exp", ["x"], ["h"], name="n_h"),
            helper.make_node("ReduceMax", ["h"], ["top"], name="n_top", keepdims=0),
            helper.make_node("Less", ["zero", "top"], ["flag"], name="n_flag"),
            helper.make_node(
                "If", ["flag"], ["y"], name="n_y", then_branch=branch("a", operator), else_branch=branch("b", "Sub")
            ),
        ]
        save(tmp_path / f"{file}.onnx", nodes, inputs, ["y"], {"w": np.float32(3), "zero": np.float32(0)})
    assert Graph(tmp_path / "left.onnx").nodes[3].inputs == ("flag", "h", "w")
    found = walk(tmp_path / "left.onnx", tmp_path / "right.onnx", inputs, TOLERANCE)
    assert found.culprit is not None and found.culprit.node.name == "n_y"
    assert found.alone is not None and write_reproducer(found.alone, tmp_path / "small", TOLERANCE) is not None


def test_large_tensors_are_kept_in_files(tmp_path: Path) -> None:
    arrays = {"big": np.arange(600_000, dtype=np.float32), "small": np.ones(3), "words": np.array(["a"], dtype=object)}
    with Store() as store:
        store.add(arrays.items())
        assert store.names == list(arrays) and "big" in store and "none" not in store
        for name, array in arrays.items():
            np.testing.assert_array_equal(store[name], array)


def test_weights_beside_the_file_and_inputs_that_are_cropped(tmp_path: Path) -> None:
    """The reproducer holds its weights itself, and a few kilobytes of a large request."""
    right, _ = perceptron(tmp_path / "right.onnx", depth=4)
    inputs = {"x": np.random.default_rng(5).normal(size=(20_000, 16)).astype(np.float32)}
    node, what = plant(right, tmp_path / "plain.onnx", inputs, 4)
    for name in ("right", "plain"):
        model = onnx.load(str(tmp_path / f"{name}.onnx"))
        onnx.save(
            model, str(tmp_path / f"{name}_apart.onnx"), save_as_external_data=True, location=f"{name}.data", size_threshold=0
        )
    found = walk(tmp_path / "right_apart.onnx", tmp_path / "plain_apart.onnx", inputs, TOLERANCE)
    assert found.culprit is not None and found.culprit.node.name == node, what
    assert found.alone is not None
    written = write_reproducer(found.alone, tmp_path / "small", TOLERANCE)
    assert written is not None
    assert (tmp_path / "small" / "inputs.npz").stat().st_size < 8192
    for name in ("reference", "candidate"):
        model = onnx.load(str(tmp_path / "small" / f"{name}.onnx"), load_external_data=False)
        assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer)


def test_onnx_runtimes_own_rewriting_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both files agree as they stand, and one of them answers otherwise once it is rewritten."""
    left, inputs = perceptron(tmp_path / "left.onnx", depth=1)
    right = tmp_path / "right.onnx"
    right.write_bytes(left.read_bytes())

    class Rewriting(OnnxRuntimeRunner):
        def __init__(self, path: Path, *, level: Any) -> None:
            super().__init__(path)
            self._factor = np.float32(1.1 if (path, level) == (right, "extended") else 1)

        def infer(self, inputs: Any) -> Any:
            return {name: array * self._factor for name, array in super().infer(inputs).items()}

    monkeypatch.setattr("portinf.bisection.onnx_pair.OnnxRuntimeRunner", Rewriting)
    found = walk(left, right, inputs, TOLERANCE)
    assert found.culprit is None
    assert f"ONNX Runtime's optimization (level 'extended') of {right} changes output 'r0'" in found.text
