"""Rows in groups, times constants, summed in each group -> a linear layer: ``sum(reshape(x) * a, -1) = x @ A``.

Equal in exact arithmetic; sums are taken in another order. Attention layers score rows so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.core.batch import Array
from portinf.rewrites.helpers import Writer, attribute, constant, made_by, number_of_axes, tail, take_over, width

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["apply"]


@dataclass(frozen=True, kw_only=True)
class _Sum:
    """``target = sum over c of rows[:, g, c] * factors[g, c]``; rows (n, groups * size), target (n, groups)."""

    node: ir.Node
    target: Any
    rows: Any
    factors: Array


def apply(model: ir.Model) -> int:
    """Rewrite every such sum; return how many."""
    found = [each for each in map(_sum_at, model.graph) if each is not None]
    for each in found:
        groups, size = each.factors.shape
        weight = np.zeros((groups, size, groups), each.factors.dtype)
        weight[np.arange(groups), :, np.arange(groups)] = each.factors
        writer = Writer(model, each.node, f"{each.target.name}__linear")
        take_over(each.target, writer.node("MatMul", [each.rows, writer.weight(weight.reshape(groups * size, groups))]))
    return len(found)


def _sum_at(node: ir.Node) -> _Sum | None:
    if (
        node.op_type != "ReduceSum"
        or node.domain not in ("", "ai.onnx")
        or attribute(node, "keepdims", 1)
        or len(node.inputs) < 2
    ):
        return None
    axes, product = constant(node.inputs[1]), _without_padding(node.inputs[0])
    mul = made_by(product, "Mul")
    if mul is None or axes is None or axes.size != 1 or int(axes.reshape(())) not in (-1, 2):
        return None
    for view, factor in (mul.inputs, reversed(mul.inputs)):
        reshape, numbers, lengths = made_by(view, "Reshape"), constant(factor), tail(view)
        if reshape is None or numbers is None or lengths is None or len(lengths) != 2 or not lengths[1]:
            continue
        rows = reshape.inputs[0]
        fits = number_of_axes(rows) == 2 and width(rows) == lengths[0] * lengths[1]
        if fits and numbers.ndim <= 3 and numbers.dtype in (np.float32, np.float64) and _same_for_all(numbers):
            factors = np.broadcast_to(numbers.reshape(numbers.shape[-2:]), lengths)
            return _Sum(node=node, target=_target(node, product), rows=rows, factors=factors)
    return None


def _same_for_all(numbers: Array) -> bool:
    """Whether factors of up to three axes are the same for every row."""
    return numbers.ndim < 3 or numbers.shape[0] == 1


def _without_padding(value: ir.Value | None) -> Any:
    """Look through zeros that were added to the axis that is summed: `portinf.onnx_graph.passes.exporter_fixes` adds one."""
    pad = made_by(value, "Pad")
    if pad is None or attribute(pad, "mode", "constant") != "constant" or len(pad.inputs) > 2:
        return value
    ends = constant(pad.inputs[1])
    return pad.inputs[0] if ends is not None and ends.size == 6 and not ends[[0, 1, 2, 3, 4]].any() and ends[5] >= 0 else value


def _target(node: ir.Node, product: Any) -> Any:
    """Return the sum's value, or that value with its shape written out: `portinf.onnx_graph.passes.exporter_fixes` does so."""
    output = node.outputs[0]
    users = [use.node for use in output.uses()]
    if output.is_graph_output() or len(users) != 1 or users[0].op_type != "Reshape":
        return output
    kept = made_by(users[0].inputs[1], "Gather")
    shape = None if kept is None else made_by(kept.inputs[0], "Shape")
    places = None if kept is None else constant(kept.inputs[1])
    plain = shape is not None and not shape.attributes and shape.inputs[0] is product
    return users[0].outputs[0] if plain and places is not None and list(places.ravel()) == [0, 1] else output
