"""A sum over linear layers -> a linear layer of the sum: ``sum(h @ W + b) = sum(h) @ W + count b``, per node, not per edge.

Equal in exact arithmetic; sums are taken in another order. A mean is the sum over the count, which stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.rewrites.helpers import Writer, take_over, width
from portinf.rewrites.linear_layer import Linear, linear_at
from portinf.rewrites.scatter_match import RowScatter, row_scatters

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["apply"]

LARGEST = 2  # times wider: a sum of wider rows costs more than it saves


def apply(model: ir.Model) -> int:
    """Rewrite every sum of rows that a linear layer makes for it alone; return how many."""
    places = 0
    counts: dict[tuple[int, int], Any] = {}
    for scatter in row_scatters(model):
        layer = linear_at(scatter.updates)
        if layer is None or not _fits(scatter, layer):
            continue
        _rewritten(model, scatter, layer, counts)
        places += 1
    return places


def _fits(scatter: RowScatter, layer: Linear) -> bool:
    inner, outer = layer.weight.shape
    plain = scatter.reduction == "add" and scatter.empty_start and _for_it_alone(scatter, layer) and inner <= LARGEST * outer
    return plain and scatter.axes == 2 and width(layer.input) == inner


def _for_it_alone(scatter: RowScatter, layer: Linear) -> bool:
    """Whether nothing but this sum needs the layer's rows; their shape may be asked for."""
    users = [use.node for use in layer.output.uses()]
    others = [node for node in users if node is not scatter.reader and node.op_type != "Shape"]
    return not others and not layer.output.is_graph_output()


def _rewritten(model: ir.Model, scatter: RowScatter, layer: Linear, counts: dict[tuple[int, int], Any]) -> None:
    kind = layer.weight.dtype
    output = scatter.node.outputs[0]
    writer = Writer(model, scatter.node, f"{output.name}__after_sum")
    rows = writer.node("Shape", [scatter.data], {"start": 0, "end": 1})
    total = _summed(writer, scatter.column, layer.input, rows, layer.weight.shape[0], kind)
    made = writer.node("MatMul", [total, writer.weight(np.ascontiguousarray(layer.weight))])
    if layer.bias is not None:
        key = id(scatter.column), id(scatter.data)
        if key not in counts:
            ones = writer.node("Expand", [writer.weight(np.ones((1, 1), kind)), writer.node("Shape", [scatter.column])])
            counts[key] = _summed(writer, scatter.column, ones, rows, 1, kind)
        made = writer.node("Add", [made, writer.node("Mul", [counts[key], writer.weight(np.ascontiguousarray(layer.bias))])])
    take_over(output, made)


def _summed(writer: Writer, column: Any, updates: Any, rows: Any, size: int, kind: Any) -> Any:
    """Add rows of ``updates`` into zeros, in the form that the rules for scatters find."""
    shape = writer.node("Concat", [rows, writer.weight(np.array([size], np.int64))], {"axis": 0})
    zeros = writer.node("ConstantOfShape", [shape], {"value": writer.tensor(np.zeros(1, kind))})
    index = writer.node("Expand", [column, writer.node("Shape", [updates])])
    made = writer.node("ScatterElements", [zeros, index, updates], {"axis": 0, "reduction": "add"})
    for value in (zeros, made):
        writer.describe(value, (None, size), kind)
    return made
