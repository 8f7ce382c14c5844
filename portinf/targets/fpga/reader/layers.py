"""One operator of an ONNX graph -> the float layer that computes it: the table of what --target hls4ml takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.core.batch import Array
from portinf.core.optional import require
from portinf.targets.fpga.reader.plan import FloatLayer, Handler, Value, Walk, natural
from portinf.targets.fpga.reader.windows import HANDLERS as WINDOWS
from portinf.targets.fpga.reader.windows import attributes

if TYPE_CHECKING:
    import onnx


__all__ = ["HANDLERS"]


def _gemm(walk: Walk, node: onnx.NodeProto) -> None:
    given = attributes(node)
    weight, bias = walk.constant(node, 1), walk.constant(node, 2)
    if weight is None or given.get("transA") or (len(node.input) > 2 and node.input[2] and bias is None):
        raise walk.refuse(node, "weights that are not constant")
    weight = (weight.T if given.get("transB") else weight) * given.get("alpha", 1.0)
    start = np.zeros(weight.shape[1]) if bias is None else bias * given.get("beta", 1.0)
    _dense(walk, node, weight, np.broadcast_to(start, (1, weight.shape[1]))[0])


def _matmul(walk: Walk, node: onnx.NodeProto) -> None:
    weight = walk.constant(node, 1)
    if weight is None or weight.ndim != 2:
        raise walk.refuse(node, "a product whose right side is not a constant matrix")
    _dense(walk, node, weight, np.zeros(weight.shape[1]))


def _dense(walk: Walk, node: onnx.NodeProto, weight: Array, bias: Array) -> None:
    value = walk.value(node)
    value = walk.ordered(node, value, natural(len(value.shape)))
    weights = {"weight": weight.astype(np.float64), "bias": bias.astype(np.float64)}
    walk.make(node, "dense", [value], natural(len(value.shape)), weights=weights)


def _batch_norm(walk: Walk, node: onnx.NodeProto) -> None:
    parts = [walk.constant(node, number) for number in range(1, 5)]
    given = attributes(node)
    if any(part is None for part in parts) or given.get("training_mode"):
        raise walk.refuse(node, "statistics that are not constant")
    gamma, beta, mean, variance = [np.asarray(part, np.float64) for part in parts]
    factor = gamma / np.sqrt(variance + given.get("epsilon", 1e-5))
    _scale(walk, node, factor, beta - mean * factor, axis=0)


def _scale(walk: Walk, node: onnx.NodeProto, factor: Array, offset: Array, *, axis: int) -> None:
    """Multiply and shift along one axis of a row; joined to the layer before where that has weights."""
    before = walk.producer(node, ("dense", "conv", "scale"))
    if before is not None and before.axes[-1] == axis:
        role = "scale" if before.kind == "scale" else "weight"
        weights = {role: before.weights[role] * factor, "bias": before.weights["bias"] * factor + offset}
        walk.replace_with(node, before, weights=weights)
        return
    value = walk.value(node)
    rest = [other for other in value.axes if other != axis]
    value = walk.ordered(node, value, value.axes if value.axes[-1] == axis else [*rest, axis])
    count = value.shape[axis]
    weights = {"scale": np.broadcast_to(factor, count).copy(), "bias": np.broadcast_to(offset, count).copy()}
    walk.make(node, "scale", [value], value.axes, weights=weights)


def _arithmetic(walk: Walk, node: onnx.NodeProto) -> None:
    """Add, subtract, multiply or divide: two tensors, or one and a constant along at most one axis."""
    constants = [walk.constant(node, number) for number in (0, 1)]
    if constants[0] is None and constants[1] is None:
        _both(walk, node)
        return
    number = 0 if constants[1] is not None else 1
    constant = np.asarray(constants[1 - number], np.float64)
    kind = node.op_type
    if number and kind in ("Sub", "Div"):
        if kind == "Div":
            raise walk.refuse(node, "a division by what is computed")
        factor, offset = np.asarray(-1.0), constant
    else:
        factor = {"Mul": constant, "Div": 1 / constant if kind == "Div" else constant}.get(kind, np.asarray(1.0))
        offset = {"Add": constant, "Sub": -constant}.get(kind, np.asarray(0.0))
    if number:
        node.input[0] = node.input[1]
    shape = walk.value(node).shape
    axis, long = _one_axis(walk, node, constant, shape)
    _scale(walk, node, _along(factor, long), _along(offset, long), axis=axis)


def _one_axis(walk: Walk, node: onnx.NodeProto, constant: Array, shape: Sequence[int]) -> tuple[int, bool]:
    """Return the axis of a row along which a constant changes, and whether it does; the channels' where it does not."""
    padded = (1,) * (1 + len(shape) - constant.ndim) + constant.shape
    long = [axis - 1 for axis, length in enumerate(padded) if length > 1]
    if len(padded) > 1 + len(shape) or len(long) > 1 or -1 in long:
        raise walk.refuse(node, f"a constant of shape {list(constant.shape)} beside rows of shape {list(shape)}")
    return (long[0], True) if long else (walk.value(node).axes[-1], False)


def _along(numbers: Array, long: bool) -> Array:
    return numbers.reshape(-1) if long and numbers.size > 1 else np.asarray(numbers.reshape(-1)[0])


def _both(walk: Walk, node: onnx.NodeProto) -> None:
    kinds = {"Add": "add", "Sub": "subtract", "Mul": "multiply"}
    one, two = walk.value(node, 0), walk.value(node, 1)
    if node.op_type not in kinds or one.shape != two.shape:
        raise walk.refuse(node, f"of two tensors of shapes {list(one.shape)} and {list(two.shape)}")
    walk.make(node, kinds[node.op_type], [one, walk.ordered(node, two, one.axes)], one.axes)


def _activation(kind: str, **options: Any) -> Handler:
    def handle(walk: Walk, node: onnx.NodeProto) -> None:
        value = walk.value(node)
        walk.make(node, kind, [value], value.axes, options=options)

    return handle


def _leaky_relu(walk: Walk, node: onnx.NodeProto) -> None:
    value = walk.value(node)
    slope = np.asarray(attributes(node).get("alpha", 0.01)) if node.op_type == "LeakyRelu" else walk.constant(node, 1)
    if slope is None or not slope.size or np.ptp(slope):
        raise walk.refuse(node, "with other than one constant slope for all numbers")
    alpha = np.asarray(slope.reshape(-1)[0], np.float64)
    walk.make(node, "leaky_relu", [value], value.axes, weights={"alpha": alpha})


def _softmax(walk: Walk, node: onnx.NodeProto) -> None:
    value = walk.value(node)
    axis = int(attributes(node).get("axis", -1))
    last = len(value.shape) - 1
    if axis not in (-1, 1 + last):
        raise walk.refuse(node, f"along axis {axis}, which is not the last one")
    value = walk.ordered(node, value, natural(1 + last))
    walk.make(node, "softmax", [value], value.axes, options={"implementation": "stable"})


def _same(walk: Walk, node: onnx.NodeProto) -> None:
    walk.alias(node, walk.value(node))


def _cast(walk: Walk, node: onnx.NodeProto) -> None:
    kind = require("onnx", "").TensorProto.DataType.Name(attributes(node)["to"])
    if kind not in ("FLOAT", "DOUBLE"):
        raise walk.refuse(node, f"to type {kind}")
    _same(walk, node)


def _transpose(walk: Walk, node: onnx.NodeProto) -> None:
    """Nothing moves: the axes of what is stored get other numbers."""
    value = walk.value(node)
    order = list(attributes(node).get("perm", reversed(range(1 + len(value.shape)))))
    if order[0] != 0:
        raise walk.refuse(node, "of the rows")
    place = {axis - 1: number for number, axis in enumerate(order[1:])}
    shape = tuple(value.shape[axis - 1] for axis in order[1:])
    walk.alias(node, Value(layer=value.layer, shape=shape, axes=tuple(place[axis] for axis in value.axes)))


def _reshape(walk: Walk, node: onnx.NodeProto) -> None:
    value = walk.value(node)
    shape = walk.shape(node, node.output[0])
    if int(np.prod(shape)) != int(np.prod(value.shape)):
        raise walk.refuse(node, "over several rows")
    value = walk.ordered(node, value, natural(len(value.shape)))
    if shape == value.shape:
        walk.alias(node, value)
        return
    walk.make(node, "reshape", [value], natural(len(shape)))


def _concatenate(walk: Walk, node: onnx.NodeProto) -> None:
    first = walk.value(node)
    values = [first, *(walk.ordered(node, walk.value(node, k), first.axes) for k in range(1, len(node.input)))]
    axis = int(attributes(node)["axis"])
    axis = axis - 1 if axis > 0 else axis + len(first.shape)
    if not 0 <= axis < len(first.shape):
        raise walk.refuse(node, "of rows")
    place = first.axes.index(axis)
    for number, value in enumerate(values[1:], start=2):  # hls4ml joins two at a time
        if number == len(values):
            walk.make(node, "concatenate", [first, value], first.axes, options={"axis": place})
            return
        shape = tuple(n + value.shape[k] if k == axis else n for k, n in enumerate(first.shape))
        joined = FloatLayer(
            name=walk.name("concatenate"),
            kind="concatenate",
            inputs=(first.layer, value.layer),
            shape=tuple(shape[k] for k in first.axes),
            origin="",
            axes=first.axes,
            options={"axis": place},
        )
        walk.layers.append(joined)
        first = Value(layer=joined.name, shape=shape, axes=first.axes)
    walk.alias(node, first)


HANDLERS: dict[str, Handler] = {
    **WINDOWS,
    "Add": _arithmetic,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Concat": _concatenate,
    "Div": _arithmetic,
    "Dropout": _same,
    "Flatten": _reshape,
    "Gemm": _gemm,
    "Identity": _same,
    "LeakyRelu": _leaky_relu,
    "MatMul": _matmul,
    "Mul": _arithmetic,
    "PRelu": _leaky_relu,
    "Relu": _activation("relu"),
    "Reshape": _reshape,
    "Sigmoid": _activation("table", function="sigmoid", span=16),
    "Softmax": _softmax,
    "Squeeze": _reshape,
    "Sub": _arithmetic,
    "Tanh": _activation("table", function="tanh", span=8),
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
}
