"""ONNX files for the FPGA tests, written without a framework: quick to make, known operator by operator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """Collects nodes and weights."""

    def __init__(self, shape: Sequence[int], seed: int) -> None:
        self.shape = shape
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def constant(self, name: str, values: Any) -> str:
        """Add an initializer."""
        self.weights.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node."""
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def dense(self, x: str, sizes: tuple[int, int], output: str, *, spread: float = 1.8) -> str:
        """Add a Gemm with drawn weights."""
        weight = self.constant(f"{output}_w", self.rng.normal(0, spread / np.sqrt(sizes[0]), sizes))
        return self.node("Gemm", [x, weight, self.constant(f"{output}_b", self.rng.normal(0, 0.2, sizes[1]))], output)

    def norm(self, x: str, scale: Any, bias: Any, output: str) -> str:
        """Add a batch norm that multiplies by ``scale`` and adds ``bias``."""
        count = len(scale)
        parts = [scale, bias, np.zeros(count), np.ones(count)]
        names = [self.constant(f"{output}_{k}", part) for k, part in enumerate(parts)]
        return self.node("BatchNormalization", [x, *names], output, epsilon=0.0)

    def save(self, path: Path, output: str) -> Path:
        """Write the file."""
        given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *self.shape])
        made = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "net", [given], [made], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        onnx.save(onnx.shape_inference.infer_shapes(model), str(path))
        return path


def jet(path: Path) -> Path:
    """The jet tagger: 16-64-32-32-5 with softmax."""
    graph, x = Graph((16,), 3), "x"
    for number, sizes in enumerate([(16, 64), (64, 32), (32, 32)]):
        x = graph.node("Relu", [graph.dense(x, sizes, f"fc{number}")], f"act{number}")
    return graph.save(path, graph.node("Softmax", [graph.dense(x, (32, 5), "logits")], "classes", axis=-1))


def facile(path: Path) -> Path:
    """FACILE in FaaST's form: batch norms behind the activations, two constants of one beyond ap_fixed<16,6>."""
    graph, x = Graph((18,), 17), "x"
    x = graph.norm(x, graph.rng.uniform(0.5, 1.5, 18), graph.rng.normal(0, 0.2, 18), "norm_in")
    for number, (inside, outside) in enumerate([(18, 36), (36, 11), (11, 3)]):
        x = graph.node("Relu", [graph.dense(x, (inside, outside), f"fc{number}")], f"act{number}")
        scale, bias = graph.rng.uniform(0.5, 1.5, outside), graph.rng.normal(0, 0.2, outside)
        if number == 0:
            scale[4], bias[4] = 103.0, -60.0
            _dampen(graph, 4)
        x = graph.norm(x, scale, bias, f"norm{number}")
    last = graph.dense(x, (3, 1), "last")
    return graph.save(path, graph.node("Relu", [last], "energy"))


def _dampen(graph: Graph, channel: int) -> None:
    """Make one channel so small that its large constants give numbers of ordinary size."""
    for number, tensor in enumerate(graph.weights):
        values = numpy_helper.to_array(tensor).copy()
        if tensor.name == "fc0_w":
            values[:, channel] *= 0.01
        elif tensor.name == "fc0_b":
            values[channel] = 0.3
        graph.weights[number] = numpy_helper.from_array(values, tensor.name)


def image(path: Path, *, channels_last: bool = False) -> Path:
    """Three channels, padding, strides, pooling and a flattened image; as PyTorch or as TensorFlow lays it out."""
    graph = Graph((8, 9, 3) if channels_last else (3, 8, 9), 11)
    x = graph.node("Transpose", ["x"], "first", perm=[0, 3, 1, 2]) if channels_last else "x"
    for number, (inside, outside) in enumerate([(3, 6), (6, 4)]):
        weight = graph.constant(f"conv{number}_w", graph.rng.normal(0, 0.35, (outside, inside, 3, 3)))
        bias = graph.constant(f"conv{number}_b", graph.rng.normal(0, 0.2, outside))
        x = graph.node("Conv", [x, weight, bias], f"conv{number}", pads=[1, 1, 1, 1], strides=[1, 1 + number])
        x = graph.node("Relu", [x], f"act{number}")
        if number == 0:
            x = graph.node("MaxPool", [x], "pool", kernel_shape=[2, 2], strides=[2, 2])
    flat = graph.node("Flatten", [x], "flat", axis=1)
    return graph.save(path, graph.node("Sigmoid", [graph.dense(flat, (4 * 4 * 2, 3), "last", spread=1.0)], "score"))


def unsupported(path: Path) -> Path:
    """An operator that no layer computes."""
    graph = Graph((4,), 1)
    return graph.save(path, graph.node("Erf", [graph.dense("x", (4, 3), "fc")], "out"))


SHAPES: dict[str, tuple[int, ...]] = {"jet": (16,), "facile": (18,), "image": (3, 8, 9)}


def samples(name: str, rows: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Return rows for a network."""
    return np.random.default_rng(seed).normal(size=(rows, *SHAPES[name])).astype(np.float32)
