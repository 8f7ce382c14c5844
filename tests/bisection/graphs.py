"""Small ONNX graphs made by hand: a deep perceptron, a graph network, a transformer's layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["attention", "graph_network", "perceptron", "save"]

Arrays = dict[str, Any]
RNG = np.random.default_rng(3)


def save(path: Path, nodes: Sequence[Any], inputs: Arrays, outputs: Sequence[str], weights: Arrays, opset: int = 18) -> Path:
    """Write a graph; the first axis of every input is dynamic."""
    kinds = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
    values = [
        helper.make_tensor_value_info(name, kinds[str(array.dtype)], [f"{name}_0", *array.shape[1:]])
        for name, array in inputs.items()
    ]
    axes = [f"out_{axis}" for axis in range(next(iter(inputs.values())).ndim)]
    graph = helper.make_graph(
        list(nodes),
        "g",
        values,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def _weights(*shape: int) -> Any:
    return (RNG.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)


def _node(operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(operator, list(inputs), [output], name=f"n_{output}", **attributes)


def perceptron(path: Path, depth: int = 8, width: int = 16) -> tuple[Path, Arrays]:
    """MatMul, Add, Relu, ``depth`` times."""
    nodes, weights, last = [], {}, "x"
    for k in range(depth):
        weights |= {f"w{k}": _weights(width, width) * 1.6, f"b{k}": _weights(width)}
        nodes += [
            _node("MatMul", [last, f"w{k}"], f"m{k}"),
            _node("Add", [f"m{k}", f"b{k}"], f"a{k}"),
            _node("Relu", [f"a{k}"], f"r{k}"),
        ]
        last = f"r{k}"
    inputs = {"x": RNG.normal(size=(6, width)).astype(np.float32)}
    return save(path, nodes, inputs, [last], weights), inputs


def graph_network(path: Path, steps: int = 3) -> tuple[Path, Arrays]:
    """Messages from gathered nodes, summed at their targets by ScatterElements, normalised, added: ``steps`` times."""
    nodes, weights, last = [], {"zero": np.zeros((9, 8), np.float32), "one": np.array([1]), "spread": np.array([30, 8])}, "x"
    nodes += [
        _node("Gather", ["edges", "zero_index"], "source", axis=0),
        _node("Gather", ["edges", "one_index"], "target", axis=0),
        _node("Unsqueeze", ["target", "one"], "column"),
        _node("Expand", ["column", "spread"], "where"),
    ]
    weights |= {"zero_index": np.array(0), "one_index": np.array(1)}
    for k in range(steps):
        weights |= {f"we{k}": _weights(16, 8), f"be{k}": _weights(8), f"s{k}": np.ones(8, np.float32), f"o{k}": _weights(8)}
        nodes += [
            _node("Gather", [last, "source"], f"from{k}", axis=0),
            _node("Gather", [last, "target"], f"to{k}", axis=0),
            _node("Concat", [f"from{k}", f"to{k}"], f"pair{k}", axis=1),
            _node("Gemm", [f"pair{k}", f"we{k}", f"be{k}"], f"edge{k}"),
            _node("Relu", [f"edge{k}"], f"message{k}"),
            _node("ScatterElements", ["zero", "where", f"message{k}"], f"sum{k}", axis=0, reduction="add"),
            _node("LayerNormalization", [f"sum{k}", f"s{k}", f"o{k}"], f"norm{k}", epsilon=1e-5),
            _node("Add", [last, f"norm{k}"], f"x{k}"),
        ]
        last = f"x{k}"
    inputs = {"x": RNG.normal(size=(9, 8)).astype(np.float32), "edges": RNG.integers(0, 9, (2, 30))}
    return save(path, nodes, inputs, [last], weights), inputs


def attention(path: Path, layers: int = 2) -> tuple[Path, Arrays]:
    """Queries, keys and values that all take the same tensor, softmax, a residual sum, normalisation."""
    nodes, weights, last = [], {"scale": np.float32(0.35)}, "x"
    for k in range(layers):
        for letter in "qkv":
            weights[f"w{letter}{k}"] = _weights(8, 8)
            nodes.append(_node("MatMul", [last, f"w{letter}{k}"], f"{letter}{k}"))
        weights |= {f"s{k}": np.ones(8, np.float32), f"o{k}": _weights(8)}
        nodes += [
            _node("Transpose", [f"k{k}"], f"kt{k}", perm=[0, 2, 1]),
            _node("MatMul", [f"q{k}", f"kt{k}"], f"qk{k}"),
            _node("Mul", [f"qk{k}", "scale"], f"logits{k}"),
            _node("Softmax", [f"logits{k}"], f"share{k}", axis=-1),
            _node("MatMul", [f"share{k}", f"v{k}"], f"mixed{k}"),
            _node("Add", [last, f"mixed{k}"], f"res{k}"),
            _node("LayerNormalization", [f"res{k}", f"s{k}", f"o{k}"], f"y{k}", epsilon=1e-5),
        ]
        last = f"y{k}"
    inputs = {"x": RNG.normal(size=(2, 7, 8)).astype(np.float32)}
    return save(path, nodes, inputs, [last], weights), inputs
