"""An ONNX file -> a parsed model that can be edited: weights in memory, no functions, no Constant nodes, every node named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.core.optional import require
from portinf.onnx_graph.model_file import load_proto

if TYPE_CHECKING:
    import onnx


__all__ = ["captured", "copied", "inner_graphs", "load_whole", "save_whole", "schema_of", "types_of"]

LARGE = 1_500_000_000  # bytes from which the weights lie beside the file
FLOAT = 1  # float32 in ONNX's numbering


def load_whole(path: Path) -> Any:
    """Parse a file with its weights, inline its functions, turn Constant nodes into initializers, and name every node.

    Raises:
        UnreadableError: missing, or not an ONNX file.
    """
    onnx = require("onnx", "")
    model = load_proto(path)
    onnx.load_external_data_for_model(model, str(path.parent))
    if model.functions:
        model = require("onnx.inliner", "").inline_local_functions(model)
    graph = model.graph
    if model.ir_version < 4:  # weights were inputs then
        weights = {tensor.name for tensor in graph.initializer}
        inputs = [value for value in graph.input if value.name not in weights]
        del graph.input[:]
        graph.input.extend(inputs)
        model.ir_version = 8
    _lift_constants(graph)
    taken: set[str] = set()
    for number, node in enumerate(graph.node):
        name = node.name or next((output for output in node.output if output), f"{node.op_type}_{number}")
        node.name = name if name not in taken else f"{name}__{number}"
        taken.add(node.name)
    return model


def _lift_constants(graph: onnx.GraphProto) -> None:
    onnx = require("onnx", "")
    nodes = list(graph.node)
    del graph.node[:]
    outputs = {value.name for value in graph.output}
    for node in nodes:
        given = {attribute.name: attribute for attribute in node.attribute}
        plain = set(given) & {"value", "value_float", "value_floats", "value_int", "value_ints"}
        if node.op_type != "Constant" or node.domain not in ("", "ai.onnx") or not plain or node.output[0] in outputs:
            graph.node.append(node)
            continue
        if "value" in given:
            tensor = graph.initializer.add()
            tensor.CopyFrom(given["value"].t)
            tensor.name = node.output[0]
            continue
        (name,) = plain
        kind = np.float32 if "float" in name else np.int64
        array = np.asarray(onnx.helper.get_attribute_value(given[name]), dtype=kind)
        graph.initializer.append(onnx.numpy_helper.from_array(array, node.output[0]))


def save_whole(model: onnx.ModelProto, path: Path) -> Path:
    """Write a model and return the path; large weights go into one file beside it, and out of the model given."""
    onnx = require("onnx", "")
    size = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if size <= LARGE:
        path.write_bytes(model.SerializeToString())
        return path
    (path.parent / f"{path.stem}.data").unlink(missing_ok=True)  # it would be added to
    onnx.save(model, str(path), save_as_external_data=True, location=f"{path.stem}.data")
    return path


def copied(model: onnx.ModelProto, *, largest: int | None = None) -> Any:
    """Return a copy, weight by weight: a message of more than 2 GB cannot be copied as a whole.

    Args:
        model: of `load_whole`.
        largest: bytes above which weights are left out; None for all.
    """
    copy = require("onnx", "").ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
    copy.opset_import.extend(model.opset_import)
    copy.metadata_props.extend(model.metadata_props)
    graph, source = copy.graph, model.graph
    graph.name = source.name
    for name in ("node", "input", "output", "value_info", "sparse_initializer"):
        getattr(graph, name).extend(getattr(source, name))
    graph.initializer.extend(t for t in source.initializer if largest is None or len(t.raw_data) <= largest)
    return copy


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    """Return the element type of every tensor of the main graph whose type is known, by its name."""
    onnx = require("onnx", "")
    light = copied(model, largest=4096)  # inference needs small numbers (shapes) and the types of the others
    inputs = {value.name for value in (*light.graph.input, *light.graph.initializer)}
    for tensor in model.graph.initializer:
        if tensor.name not in inputs:
            light.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    inferred = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    known = {tensor.name: int(tensor.data_type) for tensor in model.graph.initializer}
    for value in (*inferred.value_info, *inferred.input, *inferred.output):
        if value.type.HasField("tensor_type") and value.type.tensor_type.elem_type:
            known[value.name] = int(value.type.tensor_type.elem_type)
    return known


def schema_of(model: onnx.ModelProto, node: onnx.NodeProto) -> Any:
    """Return the schema of a node of ONNX's default domain at the model's opset, None for any other."""
    onnx = require("onnx", "")
    if node.domain not in ("", "ai.onnx"):
        return None
    version = next((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    try:
        return onnx.defs.get_schema(node.op_type, version, "")
    except onnx.defs.SchemaError:
        return None


def inner_graphs(node: onnx.NodeProto) -> Iterator[Any]:
    """Yield the bodies of a node's control flow."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def captured(node: onnx.NodeProto) -> set[str]:
    """Return the names of outer tensors that the bodies of a node may read."""
    names: set[str] = set()
    for graph in inner_graphs(node):
        for inner in graph.node:
            names |= {*inner.input, *captured(inner)}
        names |= {value.name for value in graph.output}
    return names
