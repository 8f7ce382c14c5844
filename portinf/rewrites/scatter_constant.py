"""A scatter of one number into rows that all hold one number -> the same in one column, repeated along the rows.

Exact: every column of such a result is the same. PyTorch's ``amax`` is exported with one that finds the rows that get any value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.core.batch import Array
from portinf.rewrites.helpers import Writer, filled, tail, take_over
from portinf.rewrites.scatter_match import row_scatters

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["apply"]


def apply(model: ir.Model) -> int:
    """Rewrite every scatter of a constant into a constant, more than one column wide; return how many."""
    places = 0
    for scatter in row_scatters(model):
        start, update = filled(scatter.data), filled(scatter.updates)
        lengths = tail(scatter.data)
        if start is None or update is None or lengths is None or lengths != tail(scatter.updates) or set(lengths) <= {1}:
            continue
        output = scatter.node.outputs[0]
        writer = Writer(model, scatter.node, f"{output.name}__one_column")
        whole = writer.node("Shape", [scatter.data])
        rows = writer.node("Shape", [scatter.data], {"start": 0, "end": 1})
        shape = writer.node("Concat", [rows, writer.weight(np.ones(scatter.axes - 1, np.int64))], {"axis": 0})
        data, updates = _full(writer, shape, start), _full(writer, writer.node("Shape", [scatter.column]), update)
        inputs = [data, scatter.column, updates]
        column = writer.node("ScatterElements", inputs, {"axis": 0, "reduction": scatter.reduction})
        take_over(output, writer.node("Expand", [column, whole]))
        places += 1
    return places


def _full(writer: Writer, shape: Any, fill: Array) -> Any:
    return writer.node("ConstantOfShape", [shape], {"value": writer.tensor(fill.reshape(1))})
