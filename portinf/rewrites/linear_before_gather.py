"""A linear layer over gathered rows -> gathered rows of a linear layer: computed per node, not per edge.

``concat(x[i], x[j] - x[i], e) @ W + b = (x @ (W1 - W2) + b)[i] + (x @ W2)[j] + e @ W3``: equal in exact arithmetic; sums are
taken in another order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.core.batch import Array
from portinf.rewrites.helpers import Writer, attribute, made_by, number_of_axes, take_over, width
from portinf.rewrites.linear_layer import Linear, linear_layers

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["apply"]

Terms = list[tuple[Any, Any, float]]  # rows x, index (None for rows that are not gathered), sign


def apply(model: ir.Model) -> int:
    """Rewrite every linear layer with constant weights whose input is made of gathered rows; return how many."""
    return sum(_rewritten(model, layer) for layer in linear_layers(model))


def _rewritten(model: ir.Model, layer: Linear) -> bool:
    parts = _parts(layer.input)
    if parts is None or sum(size for _, size in parts) != len(layer.weight):
        return False
    weights: dict[tuple[int, int], tuple[Any, Any, Array]] = {}
    begin = 0
    for terms, size in parts:
        rows = layer.weight[begin : begin + size].astype(np.float64)
        begin += size
        for x, index, sign in terms:
            known = weights.get((id(x), id(index)))
            weights[id(x), id(index)] = (x, index, sign * rows if known is None else known[2] + sign * rows)
    gathered = [entry for entry in weights.values() if entry[1] is not None]
    others = [entry for entry in weights.values() if entry[1] is None]
    if not gathered:
        return False
    writer = Writer(model, layer.last, f"{layer.output.name}__per_node")
    total = None
    for number, (x, index, weight) in enumerate([*gathered, *others]):
        weight = weight.astype(layer.weight.dtype)
        inputs = [x, writer.weight(np.ascontiguousarray(weight))]
        if number == 0 and layer.bias is not None:
            inputs.append(writer.weight(np.ascontiguousarray(layer.bias)))
        made = writer.node("Gemm", inputs)
        made = made if index is None else _gathered(writer, made, index)
        total = made if total is None else writer.node("Add", [total, made])
    take_over(layer.output, total)
    return True


def _gathered(writer: Writer, rows: Any, index: Any) -> Any:
    """Gather rows with an index as it stands in the graph: (rows,), or (rows, 1) of a GatherND."""
    if number_of_axes(index) != 1:
        index = writer.node("Reshape", [index, writer.weight(np.array([-1], np.int64))])
    return writer.node("Gather", [rows, index], {"axis": 0})


def _parts(value: ir.Value) -> list[tuple[Terms, int]] | None:
    """Return the parts that are laid side by side, each as a sum of rows, with their widths; None where a width is unknown."""
    concat = made_by(value, "Concat")
    values = [value]
    if concat is not None and attribute(concat, "axis", None) in (-1, 1) and number_of_axes(value) == 2:
        values = list(concat.inputs)
    found = []
    for part in values:
        size = width(part)
        if size is None or number_of_axes(part) != 2:
            return None
        found.append((_terms(part) or [(part, None, 1.0)], size))
    return found


def _terms(value: ir.Value) -> Terms | None:
    """Return a value as a sum of gathered rows; None where it is anything else."""
    gather = made_by(value, "Gather")
    if gather is not None:
        x, index = gather.inputs
        if number_of_axes(x) != 2 or number_of_axes(index) != 1 or attribute(gather, "axis", 0) not in (0, -2):
            return None
        return [(x, index, 1.0)]
    gather = made_by(value, "GatherND")
    if gather is not None:
        x, index = gather.inputs
        plain = number_of_axes(x) == 2 and number_of_axes(index) == 2 and width(index) == 1
        return [(x, index, 1.0)] if plain and attribute(gather, "batch_dims", 0) == 0 else None
    node = made_by(value, "Sub", "Add")
    if node is None:
        return None
    left, right = (_terms(side) for side in node.inputs)
    if left is None or right is None or width(node.inputs[0]) != width(node.inputs[1]):
        return None
    sign = -1.0 if node.op_type == "Sub" else 1.0
    return [*left, *((x, index, sign * factor) for x, index, factor in right)]
