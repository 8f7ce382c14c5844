"""Fixes what exporters are known to write wrongly, where a general fix exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.core.optional import require
from portinf.onnx_graph.passes.empty_reshapes import fix_reshapes

if TYPE_CHECKING:
    import onnx


__all__ = ["fix", "fix_empty"]


def fix(model: onnx.ModelProto) -> list[str]:
    """Fix a parsed ONNX model in place and return what was done, one line each."""
    scattered = [line for graph in _graphs(model) for line in _scatter_nd(graph)]
    done = [*_tfl_gelu(model.graph), *dict.fromkeys(scattered), *_sorted_nodes(model.graph)]
    used = {node.domain for graph in _graphs(model) for node in graph.node} | {""}
    kept = [entry for entry in model.opset_import if entry.domain in used or (entry.domain == "ai.onnx" and "" in used)]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return done


def _graphs(model: onnx.ModelProto) -> list[Any]:
    graphs: list[Any] = []
    waiting: list[Any] = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        graphs.append(graph)
        for node in graph.node:
            for attribute in node.attribute:
                waiting.extend([attribute.g] if attribute.HasField("g") else attribute.graphs)
    return graphs


def _tfl_gelu(graph: onnx.GraphProto) -> list[str]:
    """tf2onnx leaves TensorFlow Lite's GELU, which knows fp32 only, as it is: x / 2 (1 + erf(x / sqrt 2)), or its tanh form."""
    onnx = require("onnx", "")
    nodes: list[Any] = []
    count = 0
    for node in [type(node).FromString(node.SerializeToString()) for node in graph.node]:
        if node.op_type != "TFL_GELU":
            nodes.append(node)
            continue
        approximate = next((a.i for a in node.attribute if a.name == "approximate"), 0)
        nodes.extend(_written_out(onnx.parser.parse_function(GELU_TANH if approximate else GELU_ERF), node))
        count += 1
    del graph.node[:]
    graph.node.extend(nodes)
    return [f"TensorFlow Lite's GELU written out ({count} times)"] if count else []


def _scatter_nd(graph: onnx.GraphProto) -> list[str]:
    """ONNX Runtime's CPU runs ScatterND with a reduction on several threads without a lock: equal indices lose updates.

    ScatterElements runs on one thread. Seen with ONNX Runtime 1.31.1; no error, wrong sums (see
    https://github.com/microsoft/onnxruntime/issues/18048).
    """
    onnx = require("onnx", "")
    nodes: list[Any] = []
    count = 0
    for node in [type(node).FromString(node.SerializeToString()) for node in graph.node]:
        reduction = next((a.s.decode() for a in node.attribute if a.name == "reduction"), "none")
        if node.op_type != "ScatterND" or node.domain not in ("", "ai.onnx") or reduction == "none":
            nodes.append(node)
            continue
        nodes.extend(_written_out(onnx.parser.parse_function(SCATTER_ND.replace("REDUCTION", reduction)), node))
        count += 1
    if count:
        del graph.node[:]
        graph.node.extend(nodes)
    return ["ScatterND with a reduction, wrong in ONNX Runtime on several threads, written as ScatterElements"] if count else []


def _sorted_nodes(graph: onnx.GraphProto) -> list[str]:
    """tf2onnx sometimes writes a node before one that it needs, which the standard forbids."""
    producer = {name: number for number, node in enumerate(graph.node) for name in node.output if name}
    needs = [sorted({producer[name] for name in _taken(node) if name in producer}) for node in graph.node]
    if all(before < number for number, found in enumerate(needs) for before in found):
        return []
    order: dict[int, None] = {}
    waiting = list(range(len(needs)))[::-1]
    while waiting:
        number = waiting[-1]
        missing = [before for before in needs[number] if before not in order]
        if number in order or not missing:
            order[waiting.pop()] = None
        else:
            if len(waiting) > 2 * len(needs) + 2 * sum(map(len, needs)):
                return []  # a loop: the checker says so
            waiting.extend(missing)
    nodes = [type(graph.node[number]).FromString(graph.node[number].SerializeToString()) for number in order]
    del graph.node[:]
    graph.node.extend(nodes)
    return ["nodes sorted topologically"]


def _taken(node: onnx.NodeProto) -> set[str]:
    """Return the values that a node needs, those of the graphs inside it too."""
    names = set(node.input)
    for attribute in node.attribute:
        for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            names = names.union(*[_taken(other) for other in inner.node], {value.name for value in inner.output})
    return names


# Rows are numbered by a gather from 0, 1, 2, ...: right for any depth of the indices, and for negative ones.
SCATTER_ND = """<domain: "portinf", opset_import: ["" : 18]> scatter (data, indices, updates) => (y) {
    shape = Shape (data) depth = Shape <start: int = -1> (indices)
    none = Constant <value_ints: ints = [0]> () minus = Constant <value_ints: ints = [-1]> ()
    last = Constant <value_ints: ints = [9223372036854775807]> ()
    zero = Constant <value_int: int = 0> () one = Constant <value_int: int = 1> ()
    head = Slice (shape, none, depth) tail = Slice (shape, depth, last)
    rows = ReduceProd <keepdims: int = 0> (head)
    unit = Constant <value_ints: ints = [1]> () longer = Concat <axis: int = 0> (tail, unit)
    width = ReduceProd <keepdims: int = 0> (longer)
    numbers = Range (zero, rows, one) table = Reshape <allowzero: int = 1> (numbers, head)
    found = GatherND (table, indices) row = Reshape (found, minus) column = Unsqueeze (row, minus)
    begin = Mul (column, width) places = Range (zero, width, one) place = Add (begin, places) flat_place = Reshape (place, minus)
    flat_data = Reshape (data, minus) flat_updates = Reshape (updates, minus)
    flat = ScatterElements <axis: int = 0, reduction: string = "REDUCTION"> (flat_data, flat_place, flat_updates)
    y = Reshape <allowzero: int = 1> (flat, shape)
}"""
GELU_ERF = """<domain: "portinf", opset_import: ["" : 13]> gelu (x) => (y) {
    half = Constant <value_float: float = 0.5> () one = Constant <value_float: float = 1.0> ()
    root = Constant <value_float: float = 0.70710678118654752> ()
    scaled = Mul (x, root) erf = Erf (scaled) more = Add (erf, one) halved = Mul (x, half) y = Mul (halved, more)
}"""
GELU_TANH = """<domain: "portinf", opset_import: ["" : 13]> gelu (x) => (y) {
    half = Constant <value_float: float = 0.5> () one = Constant <value_float: float = 1.0> ()
    cubic = Constant <value_float: float = 0.044715> () root = Constant <value_float: float = 0.79788456080286541> ()
    square = Mul (x, x) cube = Mul (square, x) small = Mul (cube, cubic) inner = Add (x, small) scaled = Mul (inner, root)
    tanh = Tanh (scaled) more = Add (tanh, one) halved = Mul (x, half) y = Mul (halved, more)
}"""


def _written_out(function: Any, node: onnx.NodeProto) -> list[Any]:
    """Return the nodes of a function in place of a node that calls it."""
    names = {**dict(zip(function.input, node.input, strict=True)), **dict(zip(function.output, node.output, strict=True))}
    nodes = []
    for inner in function.node:
        copy = type(inner).FromString(inner.SerializeToString())
        for field in (copy.input, copy.output):
            for number, name in enumerate(field):
                field[number] = names.get(name, f"{node.output[0]}__{name}")
        nodes.append(copy)
    return nodes


SUMS = ("ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare")
REDUCTIONS = (
    *SUMS,
    "ReduceMax",
    "ReduceMin",
    "ReduceMean",
    "ReduceProd",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ArgMax",
    "ArgMin",
)


def fix_empty(model: onnx.ModelProto) -> list[str]:
    """Make reductions right on tensors without elements, where ONNX Runtime gives them the shape of their input.

    Sums get one row of zeros more; every reduction gets its shape written out. Costs time, so it is done only where
    a file was found wrong at an empty size.
    """
    onnx = require("onnx", "")
    ranks = _ranks(onnx.shape_inference.infer_shapes(model, data_prop=True).graph)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[Any] = []
    count = 0
    for node in [type(node).FromString(node.SerializeToString()) for node in model.graph.node]:
        axes = _axes(node, ranks, constants) if node.op_type in REDUCTIONS and node.domain == "" else None
        if axes is None:
            nodes.append(node)
            continue
        nodes.extend(_safe_reduction(model.graph, node, axes, ranks[node.input[0]]))
        count += 1
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    done = [f"reductions fixed for empty tensors ({count} times)"] if count else []
    return [*done, *fix_reshapes(model)]


def _ranks(graph: onnx.GraphProto) -> dict[str, int]:
    values = (*graph.input, *graph.output, *graph.value_info)
    ranks = {v.name: len(v.type.tensor_type.shape.dim) for v in values if v.type.tensor_type.HasField("shape")}
    return {**ranks, **{tensor.name: len(tensor.dims) for tensor in graph.initializer}}


def _axes(node: onnx.NodeProto, ranks: dict[str, int], constants: dict[str, Any]) -> list[int] | None:
    """Return the axes that a reduction goes over, counted from the front; None where they are not known."""
    onnx = require("onnx", "")
    rank = ranks.get(node.input[0])
    if rank is None:
        return None
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type in ("ArgMax", "ArgMin"):
        axes = [attributes.get("axis", 0)]
    elif "axes" in attributes:
        axes = list(attributes["axes"])
    elif len(node.input) > 1 and node.input[1]:
        if node.input[1] not in constants:
            return None
        axes = onnx.numpy_helper.to_array(constants[node.input[1]]).tolist()
    else:
        axes = [] if attributes.get("noop_with_empty_axes", 0) else list(range(rank))
    return sorted(axis % rank for axis in axes) if rank and axes else None


def _safe_reduction(graph: onnx.GraphProto, node: onnx.NodeProto, axes: list[int], rank: int) -> list[Any]:
    """Write one reduction out: [pad with zeros,] reduce, reshape to the shape it must have."""
    helper = require("onnx", "").helper

    def constant(suffix: str, value: Any) -> str:
        name = f"{node.output[0]}__{suffix}"
        graph.initializer.append(require("onnx", "").numpy_helper.from_array(value, name))
        return name

    x, y = node.input[0], node.output[0]
    keep = next((a.i for a in node.attribute if a.name == "keepdims"), 1)
    before: list[Any] = []
    if node.op_type in SUMS:
        ends = [0] * rank + [1 if axis in axes else 0 for axis in range(rank)]
        before.append(
            helper.make_node("Pad", [x, constant("pads", np.array(ends, np.int64))], [f"{y}__padded"], name=f"{y}__pad")
        )
        node.input[0] = f"{y}__padded"
    node.output[0] = f"{y}__reduced"
    shape = [helper.make_node("Shape", [x], [f"{y}__shape"], name=f"{y}__shape")]
    if keep:
        mask = constant("axes", np.array([axis in axes for axis in range(rank)]))
        one = constant("one", np.array(1, np.int64))
        shape.append(helper.make_node("Where", [mask, one, f"{y}__shape"], [f"{y}__wanted"], name=f"{y}__wanted"))
    else:
        kept = constant("kept", np.array([axis for axis in range(rank) if axis not in axes], np.int64))
        shape.append(helper.make_node("Gather", [f"{y}__shape", kept], [f"{y}__wanted"], name=f"{y}__wanted"))
    reshaped = helper.make_node("Reshape", [f"{y}__reduced", f"{y}__wanted"], [y], name=f"{y}__reshape", allowzero=1)
    return [*before, node, *shape, reshaped]
