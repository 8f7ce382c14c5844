"""Conversions of TensorFlow operators that tf2onnx writes right in the middle and wrong at the ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from portinf.converters import formulas
from portinf.converters.formulas import write
from portinf.converters.tensorflow.writer import GraphWriter
from portinf.core.optional import require

__all__ = ["formula_handlers"]

INT64 = 7  # ONNX's numbers of element types
COMPARED = (1, 6, 7, 11)  # float32, int32, int64, float64: what ONNX Runtime compares, sorts and takes logarithms of
WHOLE = (6, 7)

Handler = Callable[..., None]


def formula_handlers(opset: int) -> dict[str, Handler]:
    """Return handlers as tf2onnx calls them, by TensorFlow operator."""
    written: dict[str, Callable[..., Any]] = {
        "Log1p": formulas.log1p,
        "Expm1": formulas.expm1,
        "Atan2": formulas.atan2,
        "Xlogy": formulas.xlogy,
        "Xlog1py": formulas.xlog1py,
        "Xdivy": _divide_or_zero,
        "MulNoNan": _multiply_or_zero,
        "FloorDiv": _floor_divide,
        "FloorMod": formulas.remainder,
        "TruncateDiv": formulas.trunc_divide,
        "TruncateMod": formulas.fmod,
        "Mod": formulas.fmod,
        "Softplus": formulas.softplus,
        "Maximum": formulas.larger,
        "Minimum": formulas.smaller,
        "ClipByValue": formulas.clamp,
        "Relu": formulas.relu,
    }
    found: dict[str, Handler] = {name: partial(_formula, formula) for name, formula in written.items()}
    found.update({"Select": _select, "SelectV2": _select, "OneHot": _one_hot, "TopKV2": _top_k, "Sign": _sign, "Erfc": _erfc})
    found.update({"Greater": _as_it_is, "Less": _as_it_is, "Log": _as_it_is})
    found["SparseSoftmaxCrossEntropyWithLogits"] = _cross_entropy
    if opset >= 16:
        found["ScatterNd"] = _scatter
    return found


def _formula(formula: Callable[..., Any], graph: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    op = GraphWriter(graph, node)
    op.last("Identity", [write(op, formula, *op.inputs)])


def _builtin(module: str, kind: str, version: str, graph: Any, node: Any) -> None:
    """Let tf2onnx's own handler do it."""
    getattr(getattr(require(f"tf2onnx.onnx_opset.{module}", "tensorflow"), kind), version)(graph, node)


def _floor_divide(op: GraphWriter, a: str, b: str) -> Any:
    """TensorFlow rounds the quotient of floats; of integers it is exact."""
    return formulas.floor_divide(op, a, b) if op.kind.kind in "iu" else op.Floor(op.Div(a, b))


def _divide_or_zero(op: GraphWriter, x: str, y: str) -> Any:
    return op.Where(op.Equal(x, op.number(0.0)), op.number(0.0), op.Div(x, y))


def _multiply_or_zero(op: GraphWriter, x: str, y: str) -> Any:
    return op.Where(op.Equal(y, op.number(0.0)), op.number(0.0), op.Mul(x, y))


def _erfc(graph: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    """Write 1 - erf(x) inside GELU, x erfc(-x / sqrt(2)) / 2: the product is as precise, and GELU is many networks' activation."""
    scaled = node.inputs[0]
    root = [n for n in scaled.inputs if n.is_const() and np.allclose(np.abs(n.get_tensor_value(as_list=False)), 0.5**0.5)]
    users = graph.find_output_consumers(node.output[0])
    if scaled.type == "Mul" and root and all(n.type == "Mul" and not any(i.is_const() for i in n.inputs) for n in users):
        op = GraphWriter(graph, node)
        op.last("Sub", [op.number(1.0), op.Erf(op.inputs[0])])
    else:
        _formula(formulas.erfc, graph, node, name, args)


def _sign(graph: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    """Of floats ONNX's own, which keeps NaN as TensorFlow does."""
    if graph.get_dtype(node.input[0]) == INT64:
        _formula(formulas.sign, graph, node, name, args)


def _as_it_is(graph: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    """Keep an operator whose operands tf2onnx casts to float32, which holds 24 bits."""
    if any(graph.get_dtype(value) not in COMPARED for value in node.input):
        if node.type == "Log":
            _builtin("math", "DirectOp", "version_6", graph, node)
        else:
            _builtin("logical", "GreaterLess", "version_7", graph, node)
    elif graph.get_dtype(node.input[0]) in WHOLE:
        for value in dict.fromkeys(node.input):  # tf2onnx makes the counters of loops int64 without noting their type
            graph.insert_new_node_on_input(node, "Cast", value, to=require("onnx", "").TensorProto.INT64)


def _select(graph: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    """Choose; tf2onnx multiplies by 0 and 1, which makes NaN of the infinities and NaN that are not chosen."""
    ranks = [graph.get_rank(value) for value in node.input]
    kind = np.dtype(require("tf2onnx.utils", "tensorflow").map_onnx_to_numpy_type(graph.get_dtype(node.input[1])))
    if kind.kind != "f" or (node.type == "Select" and None in ranks[:2]):
        _builtin("controlflow", "Select", "version_9", graph, node)
        return
    first = node.type == "Select" and ranks[0] == 1 and ranks[1] != 1  # one condition a row
    op = GraphWriter(graph, node)
    chosen = op.Reshape(op.inputs[0], op.constant(np.array([-1] + [1] * (ranks[1] - 1)))) if first else op.inputs[0]
    op.last("Where", [chosen, *op.inputs[1:]])


def _one_hot(graph: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    """Compare with 0, 1, 2, ...: nothing equals a negative index, which ONNX's OneHot counts from the end."""
    axis = node.get_attr_value("axis", -1)
    rank = graph.get_rank(node.input[0])
    if rank is None and axis != -1:
        _builtin("tensor", "OneHot", "version_11", graph, node)
        return
    op = GraphWriter(graph, node)
    indices, depth, on, off = op.inputs
    numbers = op.Range(op.constant(np.int64(0)), op.Cast(depth, to=INT64), op.constant(np.int64(1)))
    if axis != -1 and rank > axis:
        numbers = op.Unsqueeze(numbers, op.constant(np.arange(1, rank - axis + 1)))
    place = op.Unsqueeze(op.Cast(indices, to=INT64), op.constant(np.array([axis], np.int64)))
    here = op.Equal(place, numbers)
    kind = op.dtypes[2]
    if kind in COMPARED:
        op.last("Where", [here, on, off])
    else:
        wide = 1 if kind in (10, 16) else INT64  # halves go through float32
        op.last("Cast", [op.Where(here, op.Cast(on, to=wide), op.Cast(off, to=wide))], to=kind)


def _top_k(graph: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    """Sort integers and float64 as they are: tf2onnx casts them to float32."""
    if graph.get_dtype(node.input[0]) not in COMPARED:
        _builtin("tensor", "TopKV2", "version_13", graph, node)
        return
    outputs, shapes, kinds = list(node.output), node.output_shapes, node.output_dtypes
    op = GraphWriter(graph, node)
    count = op.Reshape(op.Cast(op.inputs[1], to=INT64), op.constant(np.array([1], np.int64)))
    made = graph.make_node(
        "TopK", [op.inputs[0], count], output_count=2, op_name_scope=name, shapes=shapes, dtypes=[kinds[0], INT64]
    )
    for source, output, shape, kind in zip(made.output, outputs, shapes, kinds, strict=True):
        graph.make_node("Cast", [source], attr={"to": kind}, outputs=[output], shapes=[shape], dtypes=[kind])


def _cross_entropy(graph: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    """Take the label's entry of LogSoftmax; tf2onnx takes the logarithm of a probability that may be 0."""
    outputs, shapes, kinds = list(node.output), node.output_shapes, node.output_dtypes
    op = GraphWriter(graph, node)
    last = op.constant(np.array([-1], np.int64))
    place = op.Unsqueeze(op.Cast(op.inputs[1], to=INT64), last)
    found = op.Squeeze(op.GatherElements(op.LogSoftmax(op.inputs[0], axis=-1), place, axis=-1), last)
    graph.make_node("Neg", [found], outputs=outputs[:1], shapes=shapes[:1], dtypes=kinds[:1])


def _scatter(graph: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    """Add what is scattered to the same place; ONNX without a reduction keeps the last."""
    op = GraphWriter(graph, node)
    place, values, shape = op.inputs
    helper = require("onnx", "").helper
    zero = helper.make_tensor("value", op.dtypes[1], [1], [0])
    base = op.add("ConstantOfShape", [op.Cast(shape, to=INT64)], value=zero)
    op.last("ScatterND", [base, op.Cast(place, to=INT64), values], reduction="add")
