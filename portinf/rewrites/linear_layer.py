"""A linear layer as exporters write it: Gemm, or MatMul with or without Add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.core.batch import Array
from portinf.rewrites.helpers import attribute, constant, made_by, number_of_axes, once

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["Linear", "linear_at", "linear_layers"]


@dataclass(frozen=True, kw_only=True)
class Linear:
    """``output = input @ weight + bias`` on rows.

    Attributes:
        input: value, (rows, inputs).
        output: value, (rows, outputs).
        weight: (inputs, outputs).
        bias: (outputs,); None for none.
        last: the node that makes the output.
    """

    input: Any
    output: Any
    weight: Array
    bias: Array | None
    last: Any


def linear_at(value: ir.Value) -> Linear | None:
    """Return the linear layer that makes a value of rank 2, None where none does."""
    gemm = made_by(value, "Gemm")
    if gemm is not None:
        return _gemm(gemm)
    product, bias = made_by(value, "MatMul"), None
    total = made_by(value, "Add")
    if total is not None:
        for first, second in ((0, 1), (1, 0)):
            product, bias = made_by(total.inputs[first], "MatMul"), constant(total.inputs[second])
            if product is not None and bias is not None and once(total.inputs[first]):
                break
            product = None
    if product is None:
        return None
    weight = constant(product.inputs[1])
    if weight is None or weight.ndim != 2 or number_of_axes(product.inputs[0]) != 2 or not _floats(weight):
        return None
    if bias is not None and not _one_a_column(bias, weight):
        return None
    flat = None if bias is None else bias.reshape(-1)
    return Linear(input=product.inputs[0], output=value, weight=weight, bias=flat, last=value.producer())


def linear_layers(model: ir.Model) -> list[Linear]:
    """Return the linear layers of a model with constant weights, in the order of its nodes."""
    found = [linear_at(output) for node in model.graph for output in node.outputs]
    inner = {id(made_by(v, "MatMul")) for layer in found if layer and layer.last.op_type == "Add" for v in layer.last.inputs}
    return [layer for layer in found if layer is not None and id(layer.last) not in inner - {id(None)}]


def _gemm(node: ir.Node) -> Linear | None:
    weight = constant(node.inputs[1])
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    plain = attribute(node, "alpha", 1.0) == 1.0 and attribute(node, "beta", 1.0) == 1.0 and not attribute(node, "transA", 0)
    numbers = constant(bias)
    if weight is None or not plain or (bias is not None and numbers is None) or not _floats(weight):
        return None
    weight = weight.T if attribute(node, "transB", 0) else weight
    if numbers is not None and not (numbers.size == 1 or _one_a_column(numbers, weight)):
        return None
    flat = None if numbers is None else np.broadcast_to(numbers.reshape(-1), weight.shape[1:])
    return Linear(input=node.inputs[0], output=node.outputs[0], weight=weight, bias=flat, last=node)


def _one_a_column(bias: Array, weight: Array) -> bool:
    """Whether a bias is the same for every row: a column of numbers that only happens to be as long would not be."""
    return bias.size == weight.shape[1] and bias.shape[-1:] == weight.shape[1:]


def _floats(weight: Array) -> bool:
    return weight.dtype in (np.float32, np.float64)
