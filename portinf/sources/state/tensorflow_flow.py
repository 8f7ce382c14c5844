"""Looks up in a graph of TensorFlow which variables' former values reach the outputs, and which are written from what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from portinf.core.optional import require
from portinf.sources.state.judging import REQUEST, Flows

__all__ = ["reaching", "writes"]

PASSING = ("Identity", "Enter", "Exit", "Merge", "Switch", "NextIteration", "RefIdentity", "IdentityN")
READS = ("ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape")
SHAPES = ("Shape", "ShapeN", "Size", "Rank", "VariableShape", "ZerosLike", "OnesLike")


def reaching(concrete: Any, handles: Mapping[str, Any]) -> Flows:
    """Follow a graph's numbers; see `portinf.sources.state.judging.Flows`.

    Args:
        concrete: a concrete function, traced at the sizes of a request.
        handles: resource by the name of the variable.
    """
    graph = _Graph(concrete)
    places = {name: graph.placeholder(handle) for name, handle in handles.items()}
    known = {placeholder: name for name, placeholder in places.items() if placeholder}
    outputs = [tensor.name for tensor in concrete.outputs]
    reached = {known[found] for found in graph.sources(outputs) if found in known}
    fed: dict[str, frozenset[str]] = {}
    for placeholder, name in known.items():
        values = [text for writer in graph.writers(placeholder) for text in writer.input[1:] if not text.startswith("^")]
        found = graph.sources(values)
        fed[name] = frozenset({known[item] for item in found if item in known} | ({REQUEST} if found & graph.inputs else set()))
    return Flows(reached=frozenset(reached), fed=fed)


def writes(concrete: Any) -> bool:
    """Say whether a concrete function writes any variable."""
    definition = concrete.graph.as_graph_def()
    inner = (node for function in definition.library.function for node in function.node_def)
    return any(_writes(node) for node in (*definition.node, *inner))


class _Graph:
    """A concrete function with every inner function and loop written out.

    Args:
        concrete: the function.
    """

    def __init__(self, concrete: Any) -> None:
        constants = require("tensorflow.python.framework.convert_to_constants", "tensorflow")
        definition = constants._run_inline_graph_optimization(concrete, lower_control_flow=True, aggressive_inlining=True)
        self._nodes = {node.name: node for node in definition.node}
        captured = [(outer, inner.op.name) for outer, inner in concrete.graph.captures]
        self._captured = captured
        names = {name for _, name in captured}
        self.inputs = {node.name for node in definition.node if node.op == "Placeholder" and node.name not in names}

    def placeholder(self, handle: Any) -> str:
        """Return the name under which the graph knows a variable; empty where it does not."""
        return next((name for outer, name in self._captured if outer is handle), "")

    def _node(self, text: str) -> Any:
        return self._nodes.get(text.lstrip("^").partition(":")[0])

    def _back(self, starts: Iterable[str], step: Callable[[Any], Sequence[str]]) -> list[Any]:
        """Return every node on the way back from some tensors."""
        seen: dict[str, Any] = {}
        todo = list(starts)
        while todo:
            node = self._node(todo.pop())
            if node is not None and node.name not in seen:
                seen[node.name] = node
                todo += step(node)
        return list(seen.values())

    def _handle(self, text: str) -> str:
        """Return the placeholder of the variable that a handle leads to."""
        found = self._back([text], lambda node: [i for i in node.input if not i.startswith("^")] if node.op in PASSING else [])
        return next((node.name for node in found if node.op == "Placeholder"), "")

    def writers(self, placeholder: str) -> list[Any]:
        """Return the operators that write a variable."""
        return [
            node for node in self._nodes.values() if _writes(node) and node.input and self._handle(node.input[0]) == placeholder
        ]

    def sources(self, starts: Iterable[str]) -> set[str]:
        """Return the placeholders that some tensors are computed from: inputs, and variables read before they were overwritten."""
        found: set[str] = set()

        def step(node: Any) -> list[str]:
            if node.op in SHAPES:
                return []
            data = [text for text in node.input if not text.startswith("^")]
            if node.op not in READS:
                return data
            handle = self._handle(node.input[0])
            before = self._back([text for text in node.input if text.startswith("^")], lambda item: list(item.input))
            writers = [item for item in before if _writes(item) and self._handle(item.input[0]) == handle]
            if writers and all(item.op == "AssignVariableOp" for item in writers):
                return [*data[1:], *(item.input[1] for item in writers)]
            found.add(handle)
            return data[1:]

        found |= {node.name for node in self._back(starts, step) if node.name in self.inputs}
        return found


def _writes(node: Any) -> bool:
    kind = str(node.op)
    return kind.startswith(("Assign", "ResourceScatter", "ResourceApply", "ResourceStridedSliceAssign"))
