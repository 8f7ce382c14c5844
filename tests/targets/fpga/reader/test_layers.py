"""Every operator that --target hls4ml takes, in the forms that exporters write, against ONNX Runtime; the others are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from portinf.core.errors import CannotError
from portinf.fixedpoint.emulator import Emulator
from portinf.fixedpoint.formats import Format
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.targets.fpga.quantize.formats import quantised, uniform
from portinf.targets.fpga.reader.layers import HANDLERS
from portinf.targets.fpga.reader.plan import Plan, read_graph
from tests.models.fpga_graphs import Graph

FINE = Format(28, 9)
NEAR = 3e-3  # a few hundred steps of FINE, and what tables sized for 1e-3 add


def conv(graph: Graph, x: str, sizes: tuple[int, int], output: str, window: tuple[int, ...] = (3, 3), **more: object) -> str:
    weight = graph.constant(f"{output}_w", graph.rng.normal(0, 0.3, (sizes[1], sizes[0], *window)))
    return graph.node("Conv", [x, weight, graph.constant(f"{output}_b", graph.rng.normal(0, 0.2, sizes[1]))], output, **more)


def ints(graph: Graph, name: str, values: list[int]) -> str:
    from onnx import numpy_helper

    graph.weights.append(numpy_helper.from_array(np.asarray(values, np.int64), name))
    return name


def image_out(g: Graph) -> str:
    """An image as the output: its channels go back to the front."""
    return conv(g, "x", (3, 4), "out", auto_pad="SAME_UPPER", strides=[2, 2])


def global_mean(g: Graph) -> str:
    x = g.node("GlobalAveragePool", [conv(g, "x", (3, 4), "c", auto_pad="SAME_LOWER", strides=[1, 2])], "pooled")
    return g.dense(g.node("Flatten", [x], "flat"), (4, 2), "out")


def reduced_mean(g: Graph) -> str:
    x = g.node("ReduceMean", [conv(g, "x", (3, 4), "c"), ints(g, "axes", [2, 3])], "pooled", keepdims=0)
    return g.dense(x, (4, 2), "out")


def reduced_maximum(g: Graph) -> str:
    x = g.node("ReduceMax", [conv(g, "x", (3, 4), "c"), ints(g, "axes", [-1, -2])], "pooled", keepdims=1)
    return g.dense(g.node("Squeeze", [x, ints(g, "last", [2, 3])], "flat"), (4, 2), "out")


def pooled_with_padding(g: Graph) -> str:
    one = g.node("AveragePool", ["x"], "one", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1], count_include_pad=0)
    two = g.node("AveragePool", ["x"], "two", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1], count_include_pad=1)
    three = g.node("MaxPool", ["x"], "three", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])
    return g.node("Concat", [one, two, three], "out", axis=1)


def turned_and_flattened(g: Graph) -> str:
    """Relu between the flattened image and the dense layer: the data itself has to be turned."""
    flat = g.node("Flatten", [conv(g, "x", (3, 4), "c")], "flat")
    return g.dense(g.node("LeakyRelu", [flat], "leaky", alpha=0.3), (4 * 4 * 5, 3), "out", spread=1.0)


def reshaped(g: Graph) -> str:
    x = g.node("Reshape", [conv(g, "x", (3, 4), "c"), ints(g, "shape", [0, 4, -1])], "rows")
    x = g.node("Transpose", [x], "turned", perm=[0, 2, 1])
    return g.node("MatMul", [x, g.constant("w", g.rng.normal(0, 0.5, (4, 2)))], "out")


def residual(g: Graph) -> str:
    x = g.node("Relu", [conv(g, "x", (3, 3), "c", pads=[1, 1, 1, 1])], "act")
    x = g.node("Add", ["x", x], "sum")
    return g.node("Mul", [g.node("Sub", [x, "c"], "less"), g.node("Tanh", [x], "tanh")], "out")


def constants(g: Graph) -> str:
    x = g.node("Sub", [g.constant("one", 1.0), "x"], "reversed")
    x = g.node("Mul", [x, g.constant("channels", [[[0.5]], [[1.5]], [[-1.0]]])], "scaled")
    x = g.node("Div", [g.node("Add", [x, g.constant("tiny", [0.25])], "shifted"), g.constant("two", 2.0)], "halved")
    return conv(g, g.norm(x, [1.5, 0.5, 2.0], [0.1, 0.2, -0.3], "norm"), (3, 2), "out")


def bias_of_its_own(g: Graph) -> str:
    flat = g.node("Flatten", ["x"], "flat")
    x = g.node("MatMul", [flat, g.constant("w", g.rng.normal(0, 0.1, (126, 5)))], "product")
    x = g.node("Relu", [g.node("Add", [x, g.constant("b", g.rng.normal(size=5))], "biased")], "act")
    x = g.node("Gemm", [x, g.constant("v", g.rng.normal(0, 0.5, (4, 5)))], "y", transB=1, alpha=0.5)
    x = g.norm(x, [1.0, 2.0, 3.0, -1.0], [0.0, 1.0, 0.0, 2.0], "norm")
    return g.node("Softmax", [x], "out", axis=1)


def along_one_axis(g: Graph) -> str:
    x = g.node("Reshape", ["x", ints(g, "shape", [0, 6, 21])], "sequence")
    x = g.node("Sigmoid", [conv(g, x, (6, 4), "c", (3,), strides=[2])], "act")
    x = g.node("MaxPool", [x], "pool", kernel_shape=[2], strides=[2])
    return g.dense(g.node("Flatten", [x], "flat"), (20, 2), "out")


def turned_first(g: Graph) -> str:
    """Keras' Permute in front of everything: the input itself is turned."""
    x = g.node("Transpose", ["x"], "turned", perm=[0, 2, 3, 1])
    return g.dense(g.node("Flatten", [x], "flat"), (126, 3), "out")


def exchanged_first(g: Graph) -> str:
    return conv(g, g.node("Transpose", ["x"], "turned", perm=[0, 1, 3, 2]), (3, 4), "out")


def turned_twice(g: Graph) -> str:
    x = g.node("Transpose", [g.node("Transpose", ["x"], "one", perm=[0, 3, 1, 2])], "two", perm=[0, 2, 1, 3])
    return g.dense(g.node("Reshape", [x, ints(g, "shape", [0, -1])], "flat"), (126, 3), "out")


def read_in_three_views(g: Graph) -> str:
    turned = g.node("Transpose", ["x"], "turned", perm=[0, 1, 3, 2])
    parts = [g.node("Flatten", [x], f"flat_{x}") for x in (conv(g, turned, (3, 2), "c1"), conv(g, "x", (3, 2), "c2"), "x")]
    first = g.node("Add", [g.dense(parts[0], (40, 3), "d1"), g.dense(parts[1], (40, 3), "d2")], "first")
    return g.node("Sub", [first, g.dense(parts[2], (126, 3), "d3")], "out")


def turned_between(g: Graph) -> str:
    """What ONNX Runtime's own optimiser would move around and rename."""
    x = g.node("Tanh", [g.node("Transpose", ["x"], "last", perm=[0, 2, 3, 1])], "tanh")
    x = g.node("LeakyRelu", [g.node("Transpose", [x], "again", perm=[0, 2, 1, 3])], "leaky", alpha=-0.3)
    return g.node("Flatten", [x], "out")


def one_slope(g: Graph) -> str:
    """PyTorch's PReLU as it is by default."""
    x = g.node("PRelu", [conv(g, "x", (3, 4), "c"), g.constant("slope", [[[0.25]]])], "act")
    return g.node("Mul", [x, g.constant("tenth", 0.1)], "out")


def padded_maximum_of_no_negative_number(g: Graph) -> str:
    x = g.node("Relu", [conv(g, "x", (3, 4), "c", pads=[1, 1, 1, 1])], "act")
    return g.node("MaxPool", [x], "out", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])


CASES: list[Callable[[Graph], str]] = [
    image_out,
    global_mean,
    reduced_mean,
    reduced_maximum,
    pooled_with_padding,
    turned_and_flattened,
    reshaped,
    residual,
    constants,
    bias_of_its_own,
    along_one_axis,
    turned_first,
    exchanged_first,
    turned_twice,
    read_in_three_views,
    turned_between,
    one_slope,
    padded_maximum_of_no_negative_number,
]


def plan_of(case: Callable[[Graph], str], folder: Path) -> tuple[Plan, Path]:
    graph = Graph((3, 6, 7), 4)
    path = graph.save(folder / "model.onnx", case(graph))
    return read_graph(path, folder, HANDLERS), path


@pytest.mark.parametrize("case", CASES, ids=[case.__name__ for case in CASES])
def test_the_layers_compute_what_onnx_runtime_does(case: Callable[[Graph], str], tmp_path: Path) -> None:
    plan, path = plan_of(case, tmp_path)
    rows = np.random.default_rng(1).normal(size=(40, 3, 6, 7)).astype(np.float32)
    with OnnxRuntimeRunner(path) as reference:
        expected = reference.infer({"x": rows})
    found = Emulator(quantised(plan, uniform(plan, FINE, 1e-3))).run({"x": rows})
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].shape == array.shape
        assert np.abs(found[name] - array).max() < NEAR
        assert np.abs(array - array.mean()).max() > 30 * NEAR  # the outputs do vary


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Concat"])
@pytest.mark.parametrize("turned_before", [False, True])
def test_an_input_beside_its_transpose(kind: str, turned_before: bool, tmp_path: Path) -> None:
    """Both are views of one input: turning it for the one must not turn the other."""
    graph = Graph((5, 5), 2)
    turned = graph.node("Transpose", ["x"], "turned", perm=[0, 2, 1])
    names = [turned, "x"] if turned_before else ["x", turned]
    path = graph.save(tmp_path / "model.onnx", graph.node(kind, names, "out", **({"axis": 2} if kind == "Concat" else {})))
    plan = read_graph(path, tmp_path, HANDLERS)
    rows = np.random.default_rng(1).normal(size=(40, 5, 5)).astype(np.float32)
    with OnnxRuntimeRunner(path) as reference:
        expected = reference.infer({"x": rows})["out"]
    found = Emulator(quantised(plan, uniform(plan, FINE, 1e-3))).run({"x": rows})["out"]
    assert np.abs(found - expected).max() < NEAR


def test_scales_in_a_row_become_one(tmp_path: Path) -> None:
    graph = Graph((4,), 2)
    x = graph.node("Relu", ["x"], "act")
    for number, (kind, value) in enumerate([("Add", 1e-3), ("Mul", 0.1), ("Sub", -0.5), ("Div", 7.0)]):
        x = graph.node(kind, [x, graph.constant(f"c{number}", value)], f"t{number}")
    plan = read_graph(graph.save(tmp_path / "model.onnx", x), tmp_path, HANDLERS)
    assert [layer.kind for layer in plan.layers] == ["relu", "scale"]
    assert np.allclose(plan.layers[1].weights["bias"], (1e-4 + 0.5) / 7)


@pytest.mark.parametrize(
    ("kind", "inputs", "more", "message"),
    [
        ("Conv", ["x", "w6"], {"group": 3}, "in 3 groups"),
        ("Conv", ["x", "w"], {"dilations": [2, 2]}, "with dilations"),
        ("Softmax", ["x"], {"axis": 1}, "along axis 1, which is not the last one"),
        ("Div", ["one", "x"], {}, "a division by what is computed"),
        ("Add", ["x", "full"], {}, r"a constant of shape \[3, 6, 7\] beside rows of shape \[3, 6, 7\]"),
        ("MatMul", ["x", "x2"], {}, "a product whose right side is not a constant matrix"),
        ("Transpose", ["x"], {"perm": [1, 0, 2, 3]}, "of the rows"),
        ("ReduceMean", ["x"], {"keepdims": 0}, "does not keep the batch axis|over axes"),
        ("PRelu", ["x", "slopes"], {}, "with other than one constant slope for all numbers"),
        ("Exp", ["x"], {}, "no such layer"),
    ],
)
def test_what_is_refused(tmp_path: Path, kind: str, inputs: list[str], more: dict[str, object], message: str) -> None:
    def case(graph: Graph) -> str:
        graph.constant("w", graph.rng.normal(size=(2, 3, 2, 2)))
        graph.constant("w6", graph.rng.normal(size=(6, 1, 2, 2)))
        graph.constant("one", 1.0)
        graph.constant("slopes", [[[0.1]], [[0.2]], [[0.3]]])
        graph.constant("full", graph.rng.normal(size=(3, 6, 7)))
        if "x2" in inputs:
            graph.node("Transpose", ["x"], "x2", perm=[0, 1, 3, 2])
        return graph.node(kind, inputs, "out", **more)

    with pytest.raises(CannotError, match=message):
        plan_of(case, tmp_path)


def test_lengths_that_are_not_fixed_are_refused(tmp_path: Path) -> None:
    graph = Graph(("n", 3), 1)  # type: ignore[arg-type]
    path = graph.save(tmp_path / "model.onnx", graph.node("Relu", ["x"], "out"))
    with pytest.raises(CannotError, match=r"axis 1 of input 'x' has no fixed length \(n\): hardware has one shape"):
        read_graph(path, tmp_path, HANDLERS)
