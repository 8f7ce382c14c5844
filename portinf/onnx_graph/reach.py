"""An ONNX graph -> the inputs whose numbers each output depends on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


__all__ = ["reach"]

_SIZES_ALONE = ("Shape", "Size")  # they take no number of their input


def reach(graph: onnx.GraphProto) -> dict[str, set[str]]:
    """Return the names of the inputs by output; an input of which an output takes the shape alone does not count.

    Args:
        graph: an ``onnx.GraphProto``.
    """
    known: dict[str, set[str]] = {value.name: {value.name} for value in graph.input}
    for tensor in graph.initializer:
        known.pop(tensor.name, None)
    for node in graph.node:
        taken = [] if node.op_type in _SIZES_ALONE else _taken(node)
        found = {name for value in taken for name in known.get(value, ())}
        for value in node.output:
            known[value] = found
    return {value.name: known.get(value.name, set()) for value in graph.output}


def _taken(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that a node and the graphs in it use."""
    yield from node.input
    for attribute in node.attribute:
        for inner in [attribute.g, *attribute.graphs]:
            for each in inner.node:
                yield from _taken(each)
            yield from (value.name for value in inner.output)
