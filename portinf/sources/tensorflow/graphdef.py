"""A frozen TensorFlow graph (GraphDef, ``.pb``): inputs are its placeholders, outputs the nodes named or those no one consumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from portinf.core.batch import Array
from portinf.core.errors import CannotError, UnreadableError, UsageError, first_line
from portinf.sources.tensorflow.source import TensorSource, declared_spec

__all__ = ["GraphDefSource"]

# Never an output that someone asks for: constants, inputs, and the control flow of TensorFlow 1.
SILENT = (
    "Const",
    "Placeholder",
    "PlaceholderWithDefault",
    "NoOp",
    "Assert",
    "Enter",
    "Exit",
    "Merge",
    "Switch",
    "NextIteration",
)
VARIABLES = ("Variable", "VariableV2", "VarHandleOp", "TemporaryVariable", "AutoReloadVariable")


class GraphDefSource(TensorSource):
    """A frozen graph.

    Args:
        path: the file.
        requested: ``--outputs``: names of nodes or tensors (``node:1``) select them; names that are none rename the outputs.
    """

    framework = "graphdef"

    def __init__(self, path: Path, requested: Sequence[str]) -> None:
        super().__init__()
        self.definition = _read(self._tf, path)
        graph = _imported(self._tf, path, self.definition)
        chosen = _chosen(path, graph.graph, requested)
        needed = _ancestors(chosen.values())
        _check_frozen(path, needed)
        placeholders = [op for op in graph.graph.get_operations() if op.type == "Placeholder"]
        used = [op for op in placeholders if op in needed]
        unused = [op.name for op in placeholders if op not in needed]
        if not used:
            raise CannotError(f"{path}: no placeholder leads to {', '.join(chosen)}: the graph has no input")
        if unused:
            self.notes.append(f"left out: the outputs do not depend on the placeholders {', '.join(unused)}")
        self._feeds = [op.name for op in used]
        self.fetches = list(chosen)
        self.model = graph.prune([op.outputs[0] for op in used], list(chosen.values()))
        self.inputs = [declared_spec(op.name, op.outputs[0]) for op in used]

    def call(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Run the graph on TensorFlow tensors by name."""
        answer = self.model(*[tensors[name] for name in self._feeds])
        return dict(zip(self.fetches, answer, strict=True))

    def _graph(self, inputs: Mapping[str, Array]) -> Any:
        return self.model.graph


def _read(tf: Any, path: Path) -> Any:
    definition = tf.compat.v1.GraphDef()
    try:
        definition.ParseFromString(path.read_bytes())
    except Exception as error:
        raise UnreadableError(f"{path}: a damaged or truncated GraphDef: {first_line(error)}") from error
    return definition


def _imported(tf: Any, path: Path, definition: Any) -> Any:
    """Import the graph as a function without arguments, from which parts can be cut."""
    try:
        return tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(definition, name=""), [])
    except Exception as error:
        if "Op type not registered" in str(error):
            raise CannotError(
                f"{path}: uses an operator that TensorFlow {tf.__version__} does not have: {first_line(error)}"
            ) from error
        raise UnreadableError(f"{path}: TensorFlow {tf.__version__} cannot import it: {first_line(error)}") from error


def _chosen(path: Path, graph: Any, requested: Sequence[str]) -> dict[str, Any]:
    """Return the output tensors by name."""
    found = {name: tensor for name in requested if (tensor := _tensor(graph, name)) is not None}
    if requested and len(found) == len(requested):
        return found
    default = _unconsumed(graph)
    if found:
        missing = [name for name in requested if name not in found]
        raise UsageError(
            f"--outputs: {', '.join(found)} {'is a node' if len(found) == 1 else 'are nodes'} of {path}, {missing[0]} is not; "
            f"name nodes only; those that no other node consumes: {', '.join(default) or 'none'}"
        )
    if not default:
        raise UsageError(f"{path}: every node is consumed by another one: name the outputs with --outputs NODE,NODE")
    return default


def _tensor(graph: Any, name: str) -> Any:
    node, colon, number = name.rpartition(":")
    if not (colon and number.isdigit()):
        node, number = name, "0"
    try:
        return graph.get_operation_by_name(node).outputs[int(number)]
    except (KeyError, IndexError, ValueError):
        return None


def _unconsumed(graph: Any) -> dict[str, Any]:
    """Return the tensors of the nodes from which no other node takes anything and that depend on an input, in the graph's order."""
    found: dict[str, Any] = {}
    for op in graph.get_operations():
        if op.type in SILENT or not op.outputs or any(tensor.consumers() for tensor in op.outputs):
            continue
        if op.type == "Identity" and op.inputs[0].op.type == "Switch":  # marks a branch
            continue
        if not any(other.type == "Placeholder" for other in _ancestors(op.outputs)):
            continue
        for number, tensor in enumerate(op.outputs):
            found[op.name if number == 0 else f"{op.name}:{number}"] = tensor
    return found


def _ancestors(tensors: Any) -> set[Any]:
    waiting = [tensor.op for tensor in tensors]
    seen = set(waiting)
    while waiting:
        op = waiting.pop()
        for other in (*(tensor.op for tensor in op.inputs), *op.control_inputs):
            if other not in seen:
                seen.add(other)
                waiting.append(other)
    return seen


def _check_frozen(path: Path, operations: set[Any]) -> None:
    variables = sorted(op.name for op in operations if op.type in VARIABLES)
    if variables:
        raise CannotError(
            f"{path}: not frozen: it holds {len(variables)} variables without values ({', '.join(variables[:3])}); freeze it with "
            "tf.compat.v1.graph_util.convert_variables_to_constants, or give the SavedModel that it came from"
        )
