"""Convolutions and poolings of an ONNX graph -> float layers with channels last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.core.optional import require
from portinf.targets.fpga.reader.plan import Handler, Value, Walk

if TYPE_CHECKING:
    import onnx


__all__ = ["HANDLERS", "attributes"]


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the attributes of a node by name."""
    onnx = require("onnx", "")
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _channels_last(walk: Walk, node: onnx.NodeProto, value: Value) -> Value:
    if len(value.shape) not in (2, 3):
        raise walk.refuse(node, f"over {len(value.shape) - 1} axes: expected one or two")
    return walk.ordered(node, value, [*range(1, len(value.shape)), 0])


def _conv(walk: Walk, node: onnx.NodeProto) -> None:
    given = attributes(node)
    weight, bias = walk.constant(node, 1), walk.constant(node, 2)
    if weight is None or (len(node.input) > 2 and node.input[2] and bias is None):
        raise walk.refuse(node, "weights that are not constant")
    value = _channels_last(walk, node, walk.value(node))
    if given.get("group", 1) != 1:
        raise walk.refuse(node, f"in {given['group']} groups")
    window = weight.shape[2:]
    numbers = {
        "weight": np.moveaxis(weight, (0, 1), (-1, -2)).astype(np.float64),
        "bias": np.zeros(weight.shape[0]) if bias is None else bias.astype(np.float64),
    }
    walk.make(node, "conv", [value], value.axes, options=_steps(walk, node, given, window, value), weights=numbers)


def _steps(walk: Walk, node: onnx.NodeProto, given: dict[str, Any], window: Sequence[int], value: Value) -> dict[str, Any]:
    """Return strides and pads."""
    if any(step != 1 for step in given.get("dilations", ())) or given.get("ceil_mode"):
        raise walk.refuse(node, "with dilations or rounded-up shapes")
    strides = list(given.get("strides", [1] * len(window)))
    auto = given.get("auto_pad", b"NOTSET").decode()
    count = len(window)
    pads = list(given.get("pads", [0] * (2 * count))) if auto == "NOTSET" else [0] * (2 * count)
    if auto.startswith("SAME"):
        for axis, (size, step, length) in enumerate(zip(window, strides, value.stored, strict=False)):
            more = max(0, (-(-length // step) - 1) * step + size - length)
            small, large = more // 2, more - more // 2
            pads[axis], pads[axis + count] = (small, large) if auto == "SAME_UPPER" else (large, small)
    return {"strides": strides, "pads": [[pads[axis], pads[axis + count]] for axis in range(count)]}


def _pool(operation: str) -> Handler:
    def handle(walk: Walk, node: onnx.NodeProto) -> None:
        given = attributes(node)
        if len(node.output) > 1:
            raise walk.refuse(node, "with indices")
        value = _channels_last(walk, node, walk.value(node))
        window = list(given["kernel_shape"])
        options = {
            **_steps(walk, node, given, window, value),
            "operation": operation,
            "window": window,
            "count_pad": bool(given.get("count_include_pad")),
            "inside": list(value.stored[:-1]),
        }
        walk.make(node, "pool", [value], value.axes, options=options)

    return handle


def _global(operation: str) -> Handler:
    def handle(walk: Walk, node: onnx.NodeProto) -> None:
        _whole(walk, node, operation, _channels_last(walk, node, walk.value(node)))

    return handle


def _whole(walk: Walk, node: onnx.NodeProto, operation: str, value: Value) -> None:
    """Pool over every position; what remains are the channels."""
    shape = walk.shape(node, node.output[0])
    window = list(value.stored[:-1])
    options = {
        "operation": operation,
        "window": window,
        "strides": window,
        "pads": [[0, 0] for _ in window],
        "count_pad": False,
        "inside": window,
        "whole": True,
    }
    long = [axis for axis, length in enumerate(shape) if length != 1]
    channel = long[0] if long else 0
    axes = [*(axis for axis in range(len(shape)) if axis != channel), channel]
    walk.make(node, "pool", [value], axes, options=options)


def _reduce(operation: str) -> Handler:
    """A mean or maximum over all axes but one is a pooling over every position."""

    def handle(walk: Walk, node: onnx.NodeProto) -> None:
        value = walk.value(node)
        constant = walk.constant(node, 1)
        found = attributes(node).get("axes", () if constant is None else constant.tolist())
        rank = 1 + len(value.shape)
        axes = sorted(axis % rank - 1 for axis in found)
        kept = [axis for axis in range(rank - 1) if axis not in axes]
        if len(kept) != 1 or -1 in axes or len(axes) not in (1, 2):
            raise walk.refuse(node, f"over axes {[axis + 1 for axis in axes]}")
        _whole(walk, node, operation, walk.ordered(node, value, [*axes, *kept]))

    return handle


HANDLERS: dict[str, Handler] = {
    "AveragePool": _pool("average"),
    "Conv": _conv,
    "GlobalAveragePool": _global("average"),
    "GlobalMaxPool": _global("max"),
    "MaxPool": _pool("max"),
    "ReduceMax": _reduce("max"),
    "ReduceMean": _reduce("average"),
}
