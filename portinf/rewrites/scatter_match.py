"""A scatter as exporters write it: rows of updates that go to rows of data, the index repeated along every row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.rewrites.helpers import attribute, constant, filled, made_by, number_of_axes, width

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["RowScatter", "row_scatters"]


@dataclass(frozen=True, kw_only=True)
class RowScatter:
    """``data[index[k]] = reduction(data[index[k]], updates[k])`` for every row k.

    Attributes:
        node: the ScatterElements.
        data: value, (rows, ...).
        column: value with one index a row, (updates, 1) or (updates, 1, 1), ...
        axes: number of axes of data, column and updates.
        updates: value, (updates, ...).
        reader: the node that reads the updates.
        reduction: ``add``, ``max``, ``min`` or ``mul``.
        flat: it is one on a flat axis already.
    """

    node: ir.Node
    data: Any
    column: Any
    axes: int
    updates: Any
    reader: Any
    reduction: str
    flat: bool = False

    @property
    def empty_start(self) -> bool:
        """Whether the data are zeros."""
        fill = filled(self.data)
        return fill is not None and bool(fill == 0)


def row_scatters(model: ir.Model) -> list[RowScatter]:
    """Return the scatters with a reduction along axis 0 whose index is repeated along every row."""
    found = []
    for node in model.graph:
        fixed = _fixed(node)
        if fixed is not None:
            found.append(fixed)
            continue
        if node.op_type != "ScatterElements" or node.domain not in ("", "ai.onnx") or attribute(node, "axis", 0) != 0:
            continue
        reduction = attribute(node, "reduction", "none")
        data, index, updates = node.inputs
        column, axes = _column(index)
        known = {number_of_axes(value) for value in (data, index, updates)} - {None}
        if reduction == "none" or column is None or known != {axes}:
            continue
        parts = {"data": data, "column": column, "updates": updates, "reader": node}
        found.append(RowScatter(node=node, axes=axes, reduction=reduction, **parts))
    return found


def _fixed(node: ir.Node) -> RowScatter | None:
    """Return the scatter that `exporter_fixes` wrote in place of a ScatterND with one index a row; None for anything else."""
    if node.op_type != "Reshape" or node.domain not in ("", "ai.onnx"):
        return None
    flat = made_by(node.inputs[0], "ScatterElements")
    if flat is None or attribute(flat, "reduction", "none") == "none":
        return None
    data, place, updates = (made_by(value, "Reshape") for value in flat.inputs)
    total = made_by(place.inputs[0], "Add") if place is not None else None
    begin = made_by(total.inputs[0], "Mul") if total is not None else None
    column = made_by(begin.inputs[0], "Unsqueeze") if begin is not None else None
    row = made_by(column.inputs[0], "Reshape") if column is not None else None
    gather = made_by(row.inputs[0], "GatherND") if row is not None else None
    table = made_by(gather.inputs[0], "Reshape") if gather is not None else None
    if table is None or made_by(table.inputs[0], "Range") is None or data is None or updates is None or gather is None:
        return None
    shape = made_by(node.inputs[1], "Shape")
    indices = gather.inputs[1]
    if shape is None or shape.inputs[0] is not data.inputs[0] or number_of_axes(indices) != 2 or width(indices) != 1:
        return None
    if number_of_axes(updates.inputs[0]) != 2:
        return None
    parts = {"data": data.inputs[0], "column": indices, "updates": updates.inputs[0], "reader": updates}
    return RowScatter(node=node, axes=2, reduction=attribute(flat, "reduction", "none"), flat=True, **parts)


def _column(index: Any) -> tuple[Any, int]:
    """Return what an index was repeated from, a value whose axes after the first have length 1, and how many axes it has."""
    expand = made_by(index, "Expand")
    if expand is None:
        return None, 0
    column = expand.inputs[0]
    reshape, unsqueeze = made_by(column, "Reshape"), made_by(column, "Unsqueeze")
    if reshape is not None:
        shape = constant(reshape.inputs[1])
        fits = shape is not None and shape.size > 1 and shape[0] == -1 and bool(np.all(shape[1:] == 1))
        return (column, int(shape.size)) if fits and shape is not None else (None, 0)
    if unsqueeze is not None and number_of_axes(unsqueeze.inputs[0]) == 1:
        axes = constant(unsqueeze.inputs[1])
        fits = axes is not None and 0 not in axes and bool(np.all(axes != -1 - axes.size))
        return (column, 1 + int(axes.size)) if fits and axes is not None else (None, 0)
    return None, 0
