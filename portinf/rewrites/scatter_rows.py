"""ScatterElements with one index a row -> ScatterND: whole rows are added, not single elements.

Exact: rows are taken in the same order. Only on one intra-op thread: see `portinf.onnx_graph.model_file.needs_one_thread`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from portinf.rewrites.helpers import Writer, take_over
from portinf.rewrites.scatter_match import row_scatters

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["apply"]


def apply(model: ir.Model) -> int:
    """Rewrite every scatter with one index a row; return how many."""
    found = row_scatters(model)
    for scatter in found:
        output = scatter.node.outputs[0]
        writer = Writer(model, scatter.node, f"{output.name}__by_row")
        column = scatter.column
        if scatter.axes != 2:
            column = writer.node("Reshape", [column, writer.weight(np.array([-1, 1], np.int64))])
        made = writer.node("ScatterND", [scatter.data, column, scatter.updates], {"reduction": scatter.reduction})
        take_over(output, made)
    return len(found)
