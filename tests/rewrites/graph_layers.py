"""Layers of graph networks as exporters write them, in ONNX's own text, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

NODES, HIDDEN, OUT = 3, 16, 12
_HEAD = """<ir_version: 8, opset_import: ["" : 18]>
g (float[n,3] x, int64[2,e] edge_index, float[e,2] attr) => (float[n,12] y) <{weights}>
{{
    zero = Constant <value_int: int = 0> () one = Constant <value_int: int = 1> ()
    minus = Constant <value_ints: ints = [-1]> () column_shape = Constant <value_ints: ints = [-1, 1]> ()
    to_raw = Gather <axis: int = 0> (edge_index, one) from_raw = Gather <axis: int = 0> (edge_index, zero)
    to = Reshape (to_raw, minus) from = Reshape (from_raw, minus)
    nodes = Shape <start: int = 0, end: int = 1> (x)
    {body}
}}"""
_INDEX = """
    width = Constant <value_ints: ints = [12]> () data_shape = Concat <axis: int = 0> (nodes, width)
    data = ConstantOfShape (data_shape) column = Reshape (to_raw, column_shape) edges_shape = Shape (message)
    index = Expand (column, edges_shape)
"""
_SCATTER = (
    _INDEX
    + """
    {output} = ScatterElements <axis: int = 0, reduction: string = "{reduction}"> (data, index, message)
"""
)
_EDGE = """
    x_i = Gather <axis: int = 0> (x, to) x_j = Gather <axis: int = -2> (x, from) step = Sub (x_j, x_i)
    both = Concat <axis: int = -1> (x_i, step, attr)
    h = Gemm <transB: int = 1> (both, w1, b1) r = Relu (h)
"""
_GEMM = " message = Gemm (r, w2, b2) "
_MATMUL = " product = MatMul (r, w2) message = Add (product, b2) "
_SCORES = """
    hidden = Gemm (x, w4, b2) groups = Constant <value_ints: ints = [-1, 4, 3]> () view = Reshape (hidden, groups)
    product = Mul (view, a) {sum}
    y = Concat <axis: int = 1> (s, s, s)
"""
BODIES = {
    "edge network, sum": _EDGE + _GEMM + _SCATTER.format(output="y", reduction="add"),
    "edge network, sum, MatMul and Add": _EDGE + _MATMUL + _SCATTER.format(output="y", reduction="add"),
    "edge network, maximum": _EDGE + _GEMM + _SCATTER.format(output="y", reduction="max"),
    "edge network, maximum as PyTorch writes it": _EDGE + _GEMM + _INDEX + """
    low = ConstantOfShape <value: tensor = float[1] {-3.0e38}> (edges_shape)
    start = ScatterElements <axis: int = 0, reduction: string = "min"> (data, index, low)
    y = ScatterElements <axis: int = 0, reduction: string = "max"> (start, index, message) """,
    "edge network, softmax over a node's edges": _EDGE + _GEMM + _INDEX + """
    low = ConstantOfShape <value: tensor = float[1] {-3.0e38}> (edges_shape)
    start = ScatterElements <axis: int = 0, reduction: string = "min"> (data, index, low)
    top = ScatterElements <axis: int = 0, reduction: string = "max"> (start, index, message)
    back = Gather <axis: int = 0> (top, to) step_down = Sub (message, back) e = Exp (step_down)
    sum = ScatterElements <axis: int = 0, reduction: string = "add"> (data, index, e) sum_back = Gather <axis: int = 0> (sum, to)
    share = Div (e, sum_back) weighted = Mul (share, message)
    y = ScatterElements <axis: int = 0, reduction: string = "add"> (data, index, weighted) """,
    "edge network, GatherND and expanded zeros": """
    to_rows = Unsqueeze (to_raw, minus) from_rows = Unsqueeze (from_raw, minus)
    x_i = GatherND (x, to_rows) x_j = GatherND (x, from_rows) both = Concat <axis: int = 1> (x_i, x_j, attr)
    h = Gemm <transB: int = 1> (both, w1, b1) r = Relu (h) message = Gemm (r, w2, b2)
    width = Constant <value_ints: ints = [12]> () data_shape = Concat <axis: int = 0> (nodes, width)
    nothing = Constant <value_float: float = 0.0> () data = Expand (nothing, data_shape)
    column = Reshape (to_raw, column_shape) edges_shape = Shape (message) index = Expand (column, edges_shape)
    y = ScatterElements <axis: int = 0, reduction: string = "add"> (data, index, message) """,
    "towers of one": """
    tower = Constant <value_ints: ints = [-1, 1, 3]> () ones = Constant <value_ints: ints = [1, 1, 1]> ()
    towers = Reshape (x, tower) expanded = Expand (towers, ones) repeated = Tile (expanded, ones)
    x_i = Gather <axis: int = 0> (repeated, to) x_j = Gather <axis: int = 0> (repeated, from)
    attr_shape = Constant <value_ints: ints = [-1, 1, 2]> () attr_tower = Reshape (attr, attr_shape)
    joined = Concat <axis: int = -1> (x_i, x_j, attr_tower) both = Gather <axis: int = 1> (joined, zero)
    h = Gemm <transB: int = 1> (both, w1, b1) r = Relu (h) message = Gemm (r, w2, b2)
    """ + _SCATTER.format(output="y", reduction="max"),
    "attention scores": _SCORES.format(sum="s = ReduceSum <keepdims: int = 0> (product, minus)"),
    "attention scores, mended": _SCORES.format(sum="""
    ends = Constant <value: tensor = int64[6] {0, 0, 0, 0, 0, 1}> () padded = Pad (product, ends)
    raw = ReduceSum <keepdims: int = 0> (padded, minus) kept = Constant <value_ints: ints = [0, 1]> ()
    lengths = Shape (product) wanted = Gather (lengths, kept) s = Reshape <allowzero: int = 1> (raw, wanted)"""),
    "two linear layers in a row": " h = Gemm <transB: int = 1> (x, w3, b1) y = Gemm (h, w2, b2) ",
    "edge network, mean": _EDGE + _GEMM + _SCATTER.format(output="total", reduction="add") + """
    ones_shape = Shape (to_raw) ones = ConstantOfShape <value: tensor = float[1] {1.0}> (ones_shape)
    zeros = ConstantOfShape (nodes) counted = ScatterElements <axis: int = 0, reduction: string = "add"> (zeros, to_raw, ones)
    least = Constant <value_float: float = 1.0> () count = Max (counted, least) divisor = Reshape (count, column_shape)
    y = Div (total, divisor) """,
}  # fmt: skip


def layer(name: str, path: Path, seed: int = 1) -> Path:
    """Write a layer: x (n, 3), edge_index (2, e), attr (e, 2) -> y (n, 12)."""
    rng = np.random.default_rng(seed)
    shapes = {"w1": (HIDDEN, 2 * NODES + 2), "b1": (HIDDEN,), "w2": (HIDDEN, OUT), "b2": (OUT,)}
    shapes |= {"w3": (HIDDEN, NODES), "w4": (NODES, OUT), "a": (1, 4, 3)}
    declared = ", ".join(f"float[{','.join(map(str, shape))}] {key}" for key, shape in shapes.items())
    model = onnx.parser.parse_model(_HEAD.format(weights=declared, body=BODIES[name]))
    del model.graph.initializer[:]
    for key, shape in shapes.items():
        model.graph.initializer.append(numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), key))
    onnx.save(model, str(path))
    return path


def graph(nodes: int, edges: int, seed: int) -> dict[str, Any]:
    """Return a random graph with duplicate edges, self loops and isolated nodes."""
    rng = np.random.default_rng(seed)
    index = rng.integers(0, max(1, nodes - 1), (2, edges)) if nodes else np.zeros((2, 0), np.int64)
    index[:, ::3] = index[:, :1]
    return {
        "x": rng.normal(size=(nodes, NODES)).astype(np.float32),
        "edge_index": index.astype(np.int64),
        "attr": rng.normal(size=(index.shape[1], 2)).astype(np.float32),
    }
