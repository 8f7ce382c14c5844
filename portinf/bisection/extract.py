"""A part of a graph -> an ONNX file of its own, with given names and shapes of its inputs and its output."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portinf.core.batch import Array
from portinf.core.optional import require
from portinf.core.signature import dtype_by_numpy
from portinf.onnx_graph.graph import Graph, Node
from portinf.onnx_graph.passes.naming import rename_values

if TYPE_CHECKING:
    import onnx


__all__ = ["Part", "part_of", "write_part"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """What computes one tensor from others.

    Attributes:
        graph: that it belongs to.
        nodes: in order; those that give constants included.
        inputs: tensors that come from outside.
        output: the tensor.
    """

    graph: Graph
    nodes: Sequence[Node]
    inputs: Sequence[str]
    output: str

    @property
    def active(self) -> list[Node]:
        """The nodes that depend on the values of its inputs; where there are none, those that depend on their shapes."""
        dynamic = [node for node in self.nodes if self.graph.dynamic(node)]
        return [node for node in dynamic if not set(node.outputs) <= self.graph.sizes] or dynamic


def part_of(graph: Graph, output: str, known: Collection[str]) -> Part:
    """Walk back from a tensor to tensors that are known, else to the graph's inputs."""
    numbers: set[int] = set()
    inputs: dict[str, None] = {}
    todo = [output]
    while todo:
        name = todo.pop()
        node = graph.producer.get(name)
        if node is None or (name in known and name != output):
            if name and name not in graph.constants:
                inputs[name] = None
            continue
        if node.number not in numbers:
            numbers.add(node.number)
            todo += reversed(node.inputs)
    return Part(graph=graph, nodes=[graph.nodes[number] for number in sorted(numbers)], inputs=list(inputs), output=output)


def write_part(
    part: Part, path: Path, names: Mapping[str, str], inputs: Mapping[str, Array], output: Array, *, fixed: bool
) -> None:
    """Write the part as an ONNX file that holds its own weights.

    Args:
        part: what to write.
        path: the file.
        names: new names of its inputs and its output.
        inputs: arrays by new name; all of them are declared as inputs, needed or not.
        output: what the part gives.
        fixed: declare the arrays' shapes, else types alone.
    """
    onnx = require("onnx", "")
    nodes = [_copy(onnx.NodeProto(), node.proto) for node in part.nodes]
    used = {name for node in part.nodes for name in node.inputs}
    weights = [
        _loaded(part.graph, tensor) for name, tensor in part.graph.initializers.items() if name in used or name == part.output
    ]
    sparse = [tensor for tensor in part.graph.model.graph.sparse_initializer if tensor.values.name in used]
    graph = onnx.helper.make_graph(nodes, "part", [], [], weights, sparse_initializer=sparse)
    taken = {*used, *(out for node in part.nodes for out in node.outputs)} - set(names)
    rename_values(graph, {name: f"{name}__inner" for name in set(names.values()) & taken})
    rename_values(graph, names)
    graph.input.extend(_info(name, array, fixed) for name, array in inputs.items())
    graph.output.append(_info(names[part.output], output, fixed))
    model = onnx.helper.make_model(graph, opset_imports=list(part.graph.model.opset_import))
    model.ir_version = part.graph.model.ir_version
    model.functions.extend(part.graph.model.functions)
    onnx.save(model, str(path))


def _copy(target: Any, proto: Any) -> Any:
    target.CopyFrom(proto)
    return target


def _loaded(graph: Graph, tensor: onnx.TensorProto) -> Any:
    """Return a copy of an initializer with its data inside."""
    onnx = require("onnx", "")
    copy = _copy(onnx.TensorProto(), tensor)
    if copy.data_location == onnx.TensorProto.EXTERNAL:
        require("onnx.external_data_helper", "").load_external_data_for_tensor(copy, str(graph.path.parent))
        copy.data_location = onnx.TensorProto.DEFAULT
        del copy.external_data[:]
    return copy


def _info(name: str, array: Array, fixed: bool) -> Any:
    kind = dtype_by_numpy(str(array.dtype)).onnx
    return require("onnx", "").helper.make_tensor_value_info(name, kind, array.shape if fixed else None)
