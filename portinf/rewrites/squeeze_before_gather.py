"""The only entry of an axis of length 1, taken after rows were gathered and joined -> taken before: rows of two axes throughout.

Exact: nothing is computed. Layers with towers are exported so, and the rules for linear layers look for rows of two axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.rewrites.helpers import Writer, attribute, constant, made_by, number_of_axes, tail, take_over, width

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["apply"]


def apply(model: ir.Model) -> int:
    """Rewrite every ``x[:, 0]`` of rows (n, 1, width) that are made of gathered or joined ones; return how many."""
    places = 0
    for node in model.graph:
        if not _takes_the_only_entry(node) or made_by(node.inputs[0], "Gather", "Concat", "Reshape", "Expand", "Tile") is None:
            continue
        writer = Writer(model, node, f"{node.outputs[0].name}__only")
        take_over(node.outputs[0], _without_axis(writer, node.inputs[0]))
        places += 1
    return places


def _takes_the_only_entry(node: ir.Node) -> bool:
    if node.op_type != "Gather" or node.domain not in ("", "ai.onnx") or attribute(node, "axis", 0) not in (1, -2):
        return False
    index, lengths = constant(node.inputs[1]), tail(node.inputs[0])
    return index is not None and index.ndim == 0 and int(index) in (0, -1) and lengths is not None and _one_then_width(lengths)


def _one_then_width(lengths: tuple[int, ...]) -> bool:
    return len(lengths) == 2 and lengths[0] == 1


def _without_axis(writer: Writer, value: ir.Value | None) -> Any:
    """Return a value (n, 1, width) as (n, width), looking through what made it."""
    node = made_by(value, "Gather", "Concat", "Reshape", "Expand", "Tile")
    found = None if node is None else _looked_through(writer, node, value)
    return writer.node("Squeeze", [value, writer.weight(np.array([1], np.int64))]) if found is None else found


def _looked_through(writer: Writer, node: ir.Node, value: ir.Value | None) -> Any:
    first = node.inputs[0]
    if node.op_type == "Reshape":
        return first if number_of_axes(first) == 2 and width(first) == width(value) else None
    if node.op_type in ("Expand", "Tile"):
        factors = constant(node.inputs[1])
        same = factors is not None and bool(np.all(factors == 1)) and number_of_axes(first) == 3
        return _without_axis(writer, first) if same else None
    if node.op_type == "Concat":
        parts = [tail(part) for part in node.inputs]
        if attribute(node, "axis", 0) not in (-1, 2) or any(lengths is None or lengths[0] != 1 for lengths in parts):
            return None
        made = writer.node("Concat", [_without_axis(writer, part) for part in node.inputs], {"axis": -1})
        return _described(writer, made, value)
    if attribute(node, "axis", 0) not in (0, -3) or number_of_axes(first) != 3 or number_of_axes(node.inputs[1]) != 1:
        return None
    made = writer.node("Gather", [_without_axis(writer, first), node.inputs[1]], {"axis": 0})
    return _described(writer, made, value)


def _described(writer: Writer, made: Any, value: ir.Value | None) -> Any:
    assert value is not None and value.dtype is not None  # its rank and width are known
    writer.describe(made, (None, width(value)), value.dtype.numpy())
    return made
