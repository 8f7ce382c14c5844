"""Fixes operators of an exported graph that ONNX Runtime computes differently from the source at the ends of their domain."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.converters.formulas import elu
from portinf.core.optional import require

if TYPE_CHECKING:
    import onnx


__all__ = ["fix_ends"]

TORCH = ("pytorch", "torchscript", "pt2")
TENSORFLOW = ("keras", "tensorflow", "graphdef")
# Behind one of these a small number or a NaN is no longer the user's own.
MIXING = {"MatMul", "Gemm", "Conv", "ConvTranspose", "Einsum", "LSTM", "GRU", "RNN", "If", "Loop", "Scan"}
# What a probability may pass on its way to an operator that depends on its relative error.
PASSING = {"Mul", "Add", "Sub", "Neg", "Div", "Max", "Min", "Clip", "Where", "Cast", "Identity", "ReduceSum", "ReduceProd"}
PASSING |= {"Concat", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Gather", "Split", "Expand", "Flatten"}
SELU = (1.6732632423543772, 1.0507009873554805)  # alpha and gamma where the node says nothing

Fix = tuple[str, Callable[..., None]]


def fix_ends(model: onnx.ModelProto, framework: str) -> list[str]:
    """Fix a parsed ONNX model of a source in place and return what was done, one line each.

    ONNX Runtime's maxima, minima and sorts ignore NaN, and its ELU is 0 for small numbers. What is right costs several nodes,
    so it is written where these act on the inputs, and not behind a layer with weights: there a NaN of the input is
    everywhere, and a small number is no more than a rounding.

    Args:
        model: as the exporter wrote it.
        framework: of the source, a key of `portinf.sources.routes.CONVERTERS`.
    """
    if framework not in TORCH + TENSORFLOW:
        return []
    graph = model.graph
    fixes = {**_of_inputs(graph, framework in TORCH), **_of_probabilities(graph)}
    if not fixes:
        return []
    types = _types(model)
    nodes: list[Any] = []
    done: Counter[str] = Counter()
    for node in [type(node).FromString(node.SerializeToString()) for node in graph.node]:
        kind = types.get(node.input[0]) if node.output[0] in fixes else None
        if kind is None or kind.kind != "f":
            nodes.append(node)
            continue
        text, fix = fixes[node.output[0]]
        op = _Nodes(graph, node, kind)
        fix(op, node)
        nodes.extend(op.nodes)
        done[text] += 1
    del graph.node[:]
    graph.node.extend(nodes)
    return [f"{text} ({count} times)" for text, count in done.items()]


def _types(model: onnx.ModelProto) -> dict[str, np.dtype[Any]]:
    """Return the element types of the values, as far as they are known."""
    onnx = require("onnx", "")
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return {name: np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)) for name, kind in found.items() if kind}


class _Nodes:
    """A `portinf.converters.formulas.Writer` of the nodes in place of one."""

    def __init__(self, graph: onnx.GraphProto, node: onnx.NodeProto, kind: np.dtype[Any]) -> None:
        self.kind = kind
        self.nodes: list[Any] = []
        self._graph, self._stem = graph, node.output[0]

    def __getattr__(self, operator: str) -> Callable[..., str]:
        return partial(self.add, operator)

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node and return its output; ``output`` names it."""
        name = output or f"{self._stem}__{operator}_{len(self.nodes)}"
        made = require("onnx", "").helper.make_node(operator, list(inputs), [name], name=name, **attributes)
        self.nodes.append(made)
        return name

    def number(self, value: float) -> str:
        """Add a constant."""
        name = f"{self._stem}__number_{len(self._graph.initializer)}"
        self._graph.initializer.append(require("onnx", "").numpy_helper.from_array(np.array(value, self.kind), name))
        return name

    def cast(self, value: str) -> str:
        """Add a cast to the type of the values."""
        return self.add("Cast", value, to=require("onnx", "").helper.np_dtype_to_tensor_dtype(self.kind))

    def in_float32(self) -> _Nodes:
        """Return the same for float32."""
        raise NotImplementedError


def _of_inputs(graph: onnx.GraphProto, torch: bool) -> dict[str, Fix]:
    """Find what acts on numbers of the user's own: by name of the first output, what is to be said and done."""
    rules: dict[str, Fix] = {
        "ReduceMax": ("NaN kept by ReduceMax", _reduction),
        "ReduceMin": ("NaN kept by ReduceMin", _reduction),
    }
    if torch:  # TensorFlow does not say where it puts a NaN, and its ELU is no more exact than ONNX Runtime's
        rules.update({kind: (f"{kind} made exact near 0", _elu) for kind in ("Elu", "Celu", "Selu")})
        rules.update({kind: (f"NaN found by {kind}", _place) for kind in ("ArgMax", "ArgMin")})
        rules["TopK"] = ("NaN sorted as the largest", _sort)
    mixed: set[str] = set()
    summed: set[str] = set()
    found: dict[str, Fix] = {}
    for node in graph.node:
        if node.op_type in MIXING or mixed.intersection(node.input):
            mixed.update(node.output)
        if node.op_type == "ReduceSum" or summed.intersection(node.input):
            summed.update(node.output)
        known = summed | mixed if node.op_type == "TopK" else mixed  # distances of all pairs are many
        if node.op_type in rules and node.domain in ("", "ai.onnx") and not known.intersection(node.input[:1]):
            found[node.output[0]] = rules[node.op_type]
    return found


def _of_probabilities(graph: onnx.GraphProto) -> dict[str, Fix]:
    """Find sigmoids of whose logarithm, or by which, something is taken: ONNX Runtime's is 0 below -18."""
    sensitive: set[str] = set()
    found: dict[str, Fix] = {}
    for node in reversed(graph.node):
        if node.op_type in ("Log", "Reciprocal"):
            sensitive.add(node.input[0])
        if node.op_type == "Div":
            sensitive.add(node.input[1])
        if sensitive.intersection(node.output):
            if node.op_type in PASSING:
                sensitive.update(node.input)
            elif node.op_type == "Sigmoid":
                found[node.output[0]] = ("Sigmoid made exact for small probabilities", _sigmoid)
    return found


def _reduction(op: _Nodes, node: onnx.NodeProto) -> None:
    """Write NaN where the source's maximum or minimum is one."""
    attributes = {a.name: require("onnx", "").helper.get_attribute_value(a) for a in node.attribute}
    best = op.add(node.op_type, *node.input, **attributes)
    numbers = op.Cast(op.IsNaN(node.input[0]), to=1)
    some = op.Cast(op.ReduceMax(numbers, *node.input[1:], **attributes), to=9)
    op.Where(some, op.number(math.nan), best, output=node.output[0])


def _place(op: _Nodes, node: onnx.NodeProto) -> None:
    """Let a NaN be the extreme; an infinity before it in the row comes first."""
    extreme = op.number(math.inf if node.op_type == "ArgMax" else -math.inf)
    node.input[0] = op.Where(op.IsNaN(node.input[0]), extreme, node.input[0])
    op.nodes.append(node)


def _sort(op: _Nodes, node: onnx.NodeProto) -> None:
    """Sort NaN as infinity, and put it back into the sorted values."""
    axis = next((a.i for a in node.attribute if a.name == "axis"), -1)
    values, given = node.output[0], node.input[0]
    node.input[0] = op.Where(op.IsNaN(given), op.number(math.inf), given)
    node.output[0] = f"{values}__sorted"
    if not node.output[1]:
        node.output[1] = f"{values}__places"
    op.nodes.append(node)
    op.GatherElements(given, node.output[1], axis=axis, output=values)


def _elu(op: _Nodes, node: onnx.NodeProto) -> None:
    given = {attribute.name: attribute.f for attribute in node.attribute}
    if node.op_type == "Selu":
        factors = {"alpha": given.get("alpha", SELU[0]), "gamma": given.get("gamma", SELU[1])}
    else:
        alpha = given.get("alpha", 1.0)
        factors = {"alpha": alpha, "width": alpha if node.op_type == "Celu" else 1.0}
    op.Identity(elu(op, node.input[0], **factors), output=node.output[0])


def _sigmoid(op: _Nodes, node: onnx.NodeProto) -> None:
    """Write 1 / (1 + exp(-x))."""
    op.Reciprocal(op.Add(op.Exp(op.Neg(node.input[0])), op.number(1.0)), output=node.output[0])
