"""Lets an ONNX graph refuse inputs that are longer than the signature allows, where it would answer wrongly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portinf.core.optional import require
from portinf.core.signature import Signature, TensorSpec
from portinf.onnx_graph.passes.naming import rename_values

if TYPE_CHECKING:
    import onnx


__all__ = ["refuse_longer"]

OPEN = (1 << 63) - 1  # of an axis without a largest length


def refuse_longer(model: onnx.ModelProto, signature: Signature) -> bool:
    """Put before every input with a largest length a Reshape that fails where the input is longer, and else changes nothing.

    The shape that is asked for is the input's own, plus 1 where an axis is too long: no runtime can do that. The name of
    the node, which ONNX Runtime shows, says why.

    Args:
        model: an ONNX model whose inputs have the signature's names; changed in place.
        signature: the largest lengths.

    Returns:
        Whether anything was changed.
    """
    graph, changed = model.graph, False
    there = {node.name for node in graph.node}
    for spec in signature.inputs:
        name = _name(spec)
        if name and name not in there and any(value.name == spec.name for value in graph.input):
            _insert(graph, spec, name)
            changed = True
    return changed


def _name(spec: TensorSpec) -> str:
    limits = [f"{axis.maximum} along axis {k}" for k, axis in enumerate(spec.shape or ()) if axis.maximum is not None]
    return f"input {spec.name} is valid up to {', '.join(limits)}" if limits else ""


def _insert(graph: onnx.GraphProto, spec: TensorSpec, name: str) -> None:
    onnx = require("onnx", "")
    inner = [f"{spec.name}__{part}" for part in ("within", "limits", "shape", "longer", "added", "wanted")]
    within, limits, shape, longer, added, requested = inner
    rename_values(graph, {spec.name: within})
    next(value for value in graph.input if value.name == within).name = spec.name
    lengths = [OPEN if axis.maximum is None else axis.maximum for axis in spec.shape or ()]
    graph.initializer.append(onnx.helper.make_tensor(limits, onnx.TensorProto.INT64, [len(lengths)], lengths))
    nodes = [
        onnx.helper.make_node("Shape", [spec.name], [shape]),
        onnx.helper.make_node("Greater", [shape, limits], [longer]),
        onnx.helper.make_node("Cast", [longer], [added], to=onnx.TensorProto.INT64),
        onnx.helper.make_node("Add", [shape, added], [requested]),
        onnx.helper.make_node("Reshape", [spec.name, requested], [within], name=name),
    ]
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
