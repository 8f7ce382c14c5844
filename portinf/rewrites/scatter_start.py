"""A maximum over edges that is read back by the same edges alone needs no care for rows without any: every row starts low.

Exact: rows that no edge writes are rows that no edge reads. The softmax over a node's edges is exported with such a maximum, behind a
scatter that finds the rows that get any value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portinf.rewrites.helpers import Writer, attribute, constant, filled, made_by
from portinf.rewrites.scatter_match import RowScatter, row_scatters

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["apply"]

ORDER = {"max": "min", "min": "max"}  # the reduction that puts the start of this one in place


def apply(model: ir.Model) -> int:
    """Give every such maximum or minimum a constant start; return how many."""
    scatters = row_scatters(model)
    made = {id(scatter.node.outputs[0]): scatter for scatter in scatters}
    places = 0
    for scatter in scatters:
        start = made.get(id(scatter.data))
        if start is None or scatter.flat or not _puts_in_place(start, scatter) or not _read_back(scatter):
            continue
        writer = Writer(model, scatter.node, f"{scatter.node.outputs[0].name}__start")
        low = filled(start.updates)
        assert low is not None
        shape = writer.node("Shape", [start.data])
        data = writer.node("ConstantOfShape", [shape], {"value": writer.tensor(low.reshape(1))})
        data.shape, data.dtype = scatter.data.shape, scatter.data.dtype
        scatter.node.replace_input_with(0, data)
        places += 1
    return places


def _puts_in_place(start: RowScatter, scatter: RowScatter) -> bool:
    """Whether every row that the scatter writes starts at one number."""
    before, low = filled(start.data), filled(start.updates)
    if before is None or low is None or start.reduction != ORDER.get(scatter.reduction):
        return False
    first = low <= before if start.reduction == "min" else low >= before
    return bool(first) and _root(start.column) is _root(scatter.column)


def _read_back(scatter: RowScatter) -> bool:
    """Whether nothing but gathers of the same rows reads the result."""
    output = scatter.node.outputs[0]
    uses = list(output.uses())
    return not output.is_graph_output() and bool(uses) and all(_gathers(use, _root(scatter.column)) for use in uses)


def _gathers(use: Any, rows: Any) -> bool:
    node = use.node
    plain = node.op_type == "Gather" and node.domain in ("", "ai.onnx") and use.idx == 0 and attribute(node, "axis", 0) == 0
    return plain and _root(node.inputs[1]) is rows


def _root(index: Any) -> Any:
    """Return what an index was before axes of length 1 were added or taken off: one entry a row in any case."""
    node = made_by(index, "Reshape", "Unsqueeze", "Squeeze")
    if node is None:
        return index
    if node.op_type == "Reshape":
        shape = constant(node.inputs[1])
        if shape is None or sorted(set(shape.ravel().tolist())) not in ([-1], [-1, 1]):
            return index
    return _root(node.inputs[0])
