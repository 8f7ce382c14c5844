"""Tiny ONNX files (IR 8, opset 17) for the tests of packaging."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Dim = int | str | None


def tensor(name: str, shape: Sequence[Dim], kind: int = TensorProto.FLOAT) -> Any:
    """Describe an input or output."""
    return helper.make_tensor_value_info(name, kind, list(shape))


def save(path: Path, nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], weights: Sequence[Any] = ()) -> Path:
    """Write a checked model."""
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def honest(path: Path, *, width: int = 2, x: str = "x", y: str = "y", batch: Dim = "batch") -> Path:
    """A dense layer: [batch, 4] -> [batch, width]."""
    weight = numpy_helper.from_array(np.linspace(-1, 1, 4 * width, dtype=np.float32).reshape(4, width), "weight")
    nodes = [helper.make_node("MatMul", [x, "weight"], ["product"]), helper.make_node("Tanh", ["product"], [y])]
    return save(path, nodes, [tensor(x, [batch, 4])], [tensor(y, [batch, width])], [weight])


def minus_mean(path: Path) -> Path:
    """Subtracts the mean over the batch: every row depends on all others."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    return save(path, nodes, [tensor("x", ["batch", 4])], [tensor("y", ["batch", 4])])


def running_sum(path: Path) -> Path:
    """Sums over the rows before: the first row alone is right, later ones depend on their place."""
    axis = numpy_helper.from_array(np.array(0, dtype=np.int64), "axis")
    nodes = [helper.make_node("CumSum", ["x", "axis"], ["y"])]
    return save(path, nodes, [tensor("x", ["batch", 4])], [tensor("y", ["batch", 4])], [axis])


def kept_rows(path: Path) -> Path:
    """Keeps the rows whose first value is positive: the output has fewer rows than the input."""
    zero = numpy_helper.from_array(np.array(0, dtype=np.float32), "zero")
    column = numpy_helper.from_array(np.array(0, dtype=np.int64), "column")
    nodes = [
        helper.make_node("Gather", ["x", "column"], ["first"], axis=1),
        helper.make_node("Greater", ["first", "zero"], ["positive"]),
        helper.make_node("Compress", ["x", "positive"], ["y"], axis=0),
    ]
    return save(path, nodes, [tensor("x", ["batch", 4])], [tensor("y", ["batch", 4])], [zero, column])


def row_sum(path: Path) -> Path:
    """[batch, 4] -> [batch]: a row of the output is a scalar."""
    axes = numpy_helper.from_array(np.array([1], dtype=np.int64), "axes")
    nodes = [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)]
    return save(path, nodes, [tensor("x", ["batch", 4])], [tensor("y", ["batch"])], [axes])


def with_data_file(path: Path) -> Path:
    """The dense layer with its weight in a file beside it."""
    honest(path)
    model = onnx.load(str(path))
    onnx.save(model, str(path), save_as_external_data=True, location=f"{path.stem}.data", size_threshold=0)
    return path


def dice(path: Path) -> Path:
    """Answers every request with other random numbers: no two runs agree."""
    return save(path, [helper.make_node("RandomNormalLike", ["x"], ["y"])], [tensor("x", ["n", 4])], [tensor("y", ["n", 4])])


def two_largest(path: Path) -> Path:
    """The two largest of the points, through TopK: fails where there are fewer than two."""
    count = numpy_helper.from_array(np.array([2], dtype=np.int64), "count")
    nodes = [helper.make_node("TopK", ["x", "count"], ["y", "place"], axis=1)]
    outputs = [tensor("y", ["batch", 2]), tensor("place", ["batch", 2], TensorProto.INT64)]
    return save(path, nodes, [tensor("x", ["batch", "points"])], outputs, [count])
