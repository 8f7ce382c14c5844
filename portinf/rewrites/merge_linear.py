"""Two linear layers in a row -> one: ``(x @ V + a) @ W + b = x @ (V @ W) + (a @ W + b)``.

Equal in exact arithmetic; the products of the weights are taken in float64, and sums are taken in another order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from portinf.rewrites.helpers import Writer, once, take_over
from portinf.rewrites.linear_layer import Linear, linear_at, linear_layers

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["apply"]


def apply(model: ir.Model) -> int:
    """Join every linear layer with the one before it, where that is used by it alone and less is to be multiplied; return how many."""
    places = 0
    for layer in linear_layers(model):
        before = linear_at(layer.input)
        if before is None or not once(layer.input) or not _less(before, layer):
            continue
        _joined(model, before, layer)
        places += 1
    return places


def _less(first: Linear, second: Linear) -> bool:
    inputs, between = first.weight.shape
    outputs = second.weight.shape[1]
    return bool(inputs * outputs <= inputs * between + between * outputs)


def _joined(model: ir.Model, first: Linear, second: Linear) -> None:
    kind, wide = second.weight.dtype, second.weight.astype(np.float64)
    writer = Writer(model, second.last, f"{second.output.name}__joined")
    inputs = [first.input, writer.weight((first.weight.astype(np.float64) @ wide).astype(kind))]
    if first.bias is not None or second.bias is not None:
        bias = np.zeros(wide.shape[1]) if second.bias is None else second.bias.astype(np.float64)
        if first.bias is not None:
            bias = bias + first.bias.astype(np.float64) @ wide
        inputs.append(writer.weight(bias.astype(kind)))
    take_over(second.output, writer.node("Gemm", inputs))
