"""Fixes reshapes of tensors without elements, where an exporter left a length to be guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.core.optional import require

if TYPE_CHECKING:
    import onnx


__all__ = ["fix_reshapes"]


def fix_reshapes(model: onnx.ModelProto, *, free: bool = False) -> list[str]:
    """Make reshapes right where there are no elements from which a length could be guessed.

    A shape that is computed means its zeros literally, as TensorFlow and PyTorch do. In a constant shape with a copied
    length (0) and an unknown one (-1) the unknown one is computed from the lengths that are not copied, which costs time.

    Args:
        model: a parsed ONNX model, changed in place.
        free: do only what costs no time.

    Returns:
        What was done, one line each.
    """
    onnx = require("onnx", "")
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < 14:
        return []
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes: list[Any] = []
    count = 0
    for node in [type(node).FromString(node.SerializeToString()) for node in model.graph.node]:
        if node.op_type != "Reshape" or node.domain or any(a.name == "allowzero" and a.i for a in node.attribute):
            nodes.append(node)
            continue
        shape = constants.get(node.input[1])
        if shape is None:
            _allow_zero(node)
        elif 0 in shape and -1 in shape and not free:
            nodes.extend(_lengths(model.graph, node, shape.tolist()))
            _allow_zero(node)
        else:
            nodes.append(node)
            continue
        nodes.append(node)
        count += 1
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return [f"reshapes fixed for empty tensors ({count} times)"] if count else []


def _allow_zero(node: onnx.NodeProto) -> None:
    """Let a reshape take zeros in its shape literally; exporters may have written the opposite."""
    kept = [attribute for attribute in node.attribute if attribute.name != "allowzero"]
    del node.attribute[:]
    node.attribute.extend([*kept, require("onnx", "").helper.make_attribute("allowzero", 1)])


def _lengths(graph: onnx.GraphProto, node: onnx.NodeProto, shape: list[int]) -> list[Any]:
    """Compute the shape that a reshape must have, and make the node take it."""
    onnx = require("onnx", "")
    x, y = node.input[0], node.output[0]

    def constant(suffix: str, value: Any) -> str:
        graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value, np.int64), f"{y}__{suffix}"))
        return f"{y}__{suffix}"

    def make(kind: str, inputs: list[str], suffix: str, **attributes: Any) -> Any:
        return onnx.helper.make_node(kind, inputs, [f"{y}__{suffix}"], name=f"{y}__{suffix}", **attributes)

    copied = [number for number, length in enumerate(shape) if length == 0]
    known = int(np.prod([length for length in shape if length > 0], dtype=np.int64))
    held = constant("copied", copied)
    pieces = []
    for number, length in enumerate(shape):
        if length > 0:
            pieces.append(constant(f"length_{number}", [length]))
        else:
            pieces.append(f"{y}__rest" if length < 0 else f"{y}__copied_{number}")
    node.input[1] = f"{y}__shape"
    return [
        make("Shape", [x], "lengths"),
        *(make("Gather", [f"{y}__lengths", constant(f"place_{k}", [k])], f"copied_{k}") for k in copied),
        make("ScatterElements", [f"{y}__lengths", held, constant("ones", [1] * len(copied))], "others"),
        make("ReduceProd", [f"{y}__others"], "product", keepdims=1),
        make("Div", [f"{y}__product", constant("known", [known])], "rest"),
        make("Concat", pieces, "shape", axis=0),
    ]
