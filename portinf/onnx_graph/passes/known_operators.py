"""Finds operators that ONNX does not have: exporters write what they could not convert under its own name and report success."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from portinf.core.errors import CannotError
from portinf.core.optional import require

if TYPE_CHECKING:
    import onnx


__all__ = ["check_operators"]

DEFAULT = ("", "ai.onnx")
OTHERS = ("ai.onnx.ml", "com.microsoft")  # known to ONNX Runtime, which checks them itself


def check_operators(model: onnx.ModelProto) -> None:
    """Hold every operator of a parsed ONNX model against ONNX's own list at the model's opset.

    Raises:
        CannotError: some are unknown; the message names them.
    """
    defs = require("onnx", "").defs
    own = {(function.domain, function.name) for function in model.functions}
    unknown: Counter[str] = Counter()
    holders: list[tuple[Any, Any]] = [(model, model.graph), *((function, function) for function in model.functions)]
    for holder, graph in holders:
        opset = next((entry.version for entry in holder.opset_import if entry.domain in DEFAULT), 1)
        for node in _nodes(graph):
            if (node.domain, node.op_type) in own or node.domain in OTHERS:
                continue
            if node.domain not in DEFAULT:
                unknown[f"{node.domain}.{node.op_type}"] += 1
            elif not _known(defs, node.op_type, opset):
                unknown[node.op_type] += 1
    if unknown:
        named = ", ".join(f"{name} ({count} times)" if count > 1 else name for name, count in sorted(unknown.items()))
        raise CannotError(
            f"the exporter could not convert {named}: ONNX has no such operator; express it in the model by other operations"
        )


def _known(defs: Any, name: str, opset: int) -> bool:
    try:
        return not defs.get_schema(name, opset, "").deprecated
    except defs.SchemaError:
        return False


def _nodes(graph: onnx.GraphProto) -> Iterator[Any]:
    """Yield the nodes of a graph or function and of the graphs inside them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _nodes(inner)
