"""ScatterElements with one index a row -> ScatterElements on one flat axis: the same additions with simpler places.

Exact, and right on any number of threads: ONNX Runtime runs ScatterElements on one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from portinf.rewrites.helpers import Writer, take_over, width
from portinf.rewrites.scatter_match import row_scatters

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["apply"]

NARROW = 8  # elements a row up to which the index is cheap as it is


def apply(model: ir.Model) -> int:
    """Rewrite every scatter of wide rows with one index a row; return how many."""
    found = [scatter for scatter in row_scatters(model) if (width(scatter.updates) or 0) > NARROW and scatter.axes == 2]
    found = [scatter for scatter in found if width(scatter.data) == width(scatter.updates) and not scatter.flat]
    for scatter in found:
        size = int(width(scatter.updates) or 0)
        output = scatter.node.outputs[0]
        writer = Writer(model, scatter.node, f"{output.name}__flat")
        flat = writer.weight(np.array([-1], np.int64))
        begin = writer.node("Mul", [scatter.column, writer.weight(np.array([size], np.int64))])
        place = writer.node("Add", [begin, writer.weight(np.arange(size, dtype=np.int64))])
        inputs = [writer.node("Reshape", [value, flat]) for value in (scatter.data, place, scatter.updates)]
        made = writer.node("ScatterElements", inputs, {"axis": 0, "reduction": scatter.reduction})
        shaped = writer.node("Reshape", [made, writer.weight(np.array([-1, size], np.int64))])
        take_over(output, shaped)
    return len(found)
