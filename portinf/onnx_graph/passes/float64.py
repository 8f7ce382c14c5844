"""An ONNX model -> the same graph computed in float64."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.core.errors import CannotError
from portinf.core.optional import require
from portinf.onnx_graph.model_file import load_proto

if TYPE_CHECKING:
    import onnx


__all__ = ["doubled"]

FLOATS = (1, 10, 16)  # float, float16, bfloat16 in ONNX's numbering
DOUBLE, FLOAT = 11, 1
_TYPE_ATTRIBUTES = ("to", "dtype", "output_datatype", "stash_type")


def doubled(path: Path) -> Any:
    """Return a copy of a model with float64 in place of every narrower float: weights, constants, casts, inputs, outputs.

    Inputs that an operator wants as float32 (Resize's scales) are cast for it. Numbers in attributes stay what they are.

    Args:
        path: the ONNX file, its external data beside it.

    Raises:
        CannotError: an operator computes in float32 alone, or is none of ONNX's own.
    """
    onnx = require("onnx", "")
    model = load_proto(path)
    onnx.load_external_data_for_model(model, str(path.parent))
    if model.functions:
        model = require("onnx.inliner", "").inline_local_functions(model)
    versions = {entry.domain or "ai.onnx": int(entry.version) for entry in model.opset_import}
    _graph(model.graph, versions)
    kept = [entry for entry in model.metadata_props if entry.key != "portinf"]  # it describes the other types
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    return model


def _graph(graph: onnx.GraphProto, versions: dict[str, int]) -> None:
    for tensor in graph.initializer:
        _widen(tensor)
    for value in (*graph.input, *graph.output, *graph.value_info):
        kind = value.type.tensor_type
        if kind.elem_type in FLOATS:
            kind.elem_type = DOUBLE
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        casts = _casts(node, versions)
        for attribute in node.attribute:
            _attribute(attribute, node, versions)
        exact = _EXACT.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        graph.node.extend([*casts, *([node] if exact is None else exact(node))])


def _sigmoid(node: onnx.NodeProto) -> list[Any]:
    """Return 1 / (1 + exp(-x)): ONNX Runtime's kernel is right to a rounding of 1, and gives 0 below it."""
    make, name = require("onnx", "").helper.make_node, node.output[0]
    return [
        make("Neg", [node.input[0]], [f"{name}__negative"]),
        make("Exp", [f"{name}__negative"], [f"{name}__exp"]),
        _constant(f"{name}__one", 1.0),
        make("Add", [f"{name}__exp", f"{name}__one"], [f"{name}__sum"]),
        make("Reciprocal", [f"{name}__sum"], [name]),
    ]


def _softplus(node: onnx.NodeProto) -> list[Any]:
    """Return exp(x) where x is so small that log(1 + exp(x)) is the same: ONNX Runtime's kernel gives 0 there."""
    make, name = require("onnx", "").helper.make_node, node.output[0]
    return [
        make("Softplus", [node.input[0]], [f"{name}__usual"]),
        make("Exp", [node.input[0]], [f"{name}__exp"]),
        _constant(f"{name}__cut", -20.0),
        make("Less", [node.input[0], f"{name}__cut"], [f"{name}__small"]),
        make("Where", [f"{name}__small", f"{name}__exp", f"{name}__usual"], [name]),
    ]


_EXACT = {"Sigmoid": _sigmoid, "Softplus": _softplus}


def _constant(name: str, value: float) -> Any:
    onnx = require("onnx", "")
    return onnx.helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(np.array(value, np.float64)))


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in FLOATS:
        numpy_helper = require("onnx", "").numpy_helper
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))


def _attribute(attribute: onnx.AttributeProto, node: onnx.NodeProto, versions: dict[str, int]) -> None:
    helper = require("onnx", "").helper
    if attribute.name in _TYPE_ATTRIBUTES and attribute.i in FLOATS:
        attribute.i = DOUBLE
    if attribute.HasField("t"):
        _widen(attribute.t)
    if node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
        given = np.asarray(helper.get_attribute_value(attribute), dtype=np.float64)
        attribute.CopyFrom(helper.make_attribute("value", require("onnx", "").numpy_helper.from_array(given)))
    for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
        _graph(inner, versions)


def _casts(node: onnx.NodeProto, versions: dict[str, int]) -> list[Any]:
    """Return the casts that a node needs before it, and let it take their outputs."""
    onnx = require("onnx", "")
    domain = node.domain or "ai.onnx"
    try:
        schema = onnx.defs.get_schema(node.op_type, versions.get(domain, 1), "" if domain == "ai.onnx" else domain)
    except onnx.defs.SchemaError as error:
        raise CannotError(
            f"operator {domain}::{node.op_type} is not a standard ONNX operator: it cannot be computed in float64 here"
        ) from error
    if any(_narrow(formal, schema) for formal in schema.outputs[: len(node.output)]):
        raise CannotError(f"operator {node.op_type} only gives float32: this graph has no fp64 reference")
    if node.op_type == "ConstantOfShape" and not node.attribute:
        node.attribute.append(
            onnx.helper.make_attribute("value", onnx.numpy_helper.from_array(np.zeros(1, np.float64)))
        )  # its default is float32
    casts = []
    for number, name in enumerate(node.input):
        formal = schema.inputs[min(number, len(schema.inputs) - 1)]
        if name and _narrow(formal, schema):
            cast = f"{name}__float_for_{node.output[0]}"
            casts.append(onnx.helper.make_node("Cast", [name], [cast], to=FLOAT))
            node.input[number] = cast
    return casts


def _narrow(formal: Any, schema: Any) -> bool:
    """Whether a schema allows float32 in this place and float64 not."""
    by_name = {entry.type_param_str: list(entry.allowed_type_strs) for entry in schema.type_constraints}
    allowed = by_name.get(formal.type_str, [formal.type_str])
    return "tensor(float)" in allowed and "tensor(double)" not in allowed
