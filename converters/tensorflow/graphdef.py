"""Offers the routes from a frozen TensorFlow graph to ONNX: tf2onnx from a function, then from the graph as it is."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from portinf.converters.tensorflow.operators import handlers
from portinf.converters.tensorflow.routes import LARGEST_OPSET, CallableSource
from portinf.converters.tensorflow.routes import routes as from_function
from portinf.core.errors import CannotError, first_line
from portinf.core.optional import require
from portinf.onnx_graph.passes.exporter_fixes import fix
from portinf.onnx_graph.passes.known_operators import check_operators
from portinf.onnx_graph.passes.naming import rename_values
from portinf.sources.routes import ExportOptions, Route

__all__ = ["routes"]


class GraphSource(CallableSource, Protocol):
    """A source that holds a graph."""

    definition: Any  # the GraphDef
    fetches: Sequence[str]  # names of the outputs: ``node`` or ``node:1``


def routes(source: GraphSource, options: ExportOptions) -> Iterable[Route]:
    """Yield the routes, in order of trust; only the second one takes the loops of TensorFlow 1.

    Args:
        source: holds the graph.
        options: signature under the graph's own names, the opset.
    """
    yield from from_function(source, options)
    yield Route(name="tf2onnx from_graph_def", export=lambda folder: _from_graph_def(source, options, folder))


def _from_graph_def(source: GraphSource, options: ExportOptions, folder: Path) -> Path:
    onnx = require("onnx", "")
    tf2onnx = require("tf2onnx", "tensorflow")
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    opset = min(options.opset, LARGEST_OPSET)
    names = [f"{spec.name}:0" for spec in options.signature.inputs]
    try:
        model, _ = tf2onnx.convert.from_graph_def(
            source.definition,
            input_names=names,
            output_names=[name if ":" in name else f"{name}:0" for name in source.fetches],
            opset=opset,
            custom_op_handlers=handlers(opset),
        )
        fix(model)
        check_operators(model)
    except Exception as error:
        if not any(node.op == "Enter" for node in source.definition.node):
            raise
        raise CannotError(
            f"its loops are lowered to Enter and Exit, and tf2onnx fails on them ({first_line(error)[:120]}): freeze it with "
            "convert_variables_to_constants_v2(..., lower_control_flow=False), or give the SavedModel or Keras model it came from"
        ) from error
    rename_values(model.graph, {name: f"in_{number}" for number, name in enumerate(names)})
    path = folder / "model.onnx"
    onnx.save(model, str(path))
    return path
