"""Conversions of TensorFlow operators that tf2onnx lacks, or writes in a way that fails on empty or padded inputs or far out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from portinf.converters.tensorflow.formulas import formula_handlers
from portinf.converters.tensorflow.writer import GraphWriter
from portinf.core.optional import require

__all__ = ["handlers"]

Handler = Callable[..., None]
REDUCTIONS = {"Sum": "add", "Prod": "mul", "Max": "max", "Min": "min"}


def handlers(opset: int) -> dict[str, tuple[Handler, list[Any]]]:
    """Return handlers as tf2onnx takes them (``custom_op_handlers``), by TensorFlow operator."""
    found: dict[str, tuple[Handler, list[Any]]] = {
        **{name: (handler, []) for name, handler in formula_handlers(opset).items()},
        "UpperBound": (partial(_bound, right=True), []),
        "LowerBound": (partial(_bound, right=False), []),
        "Real": (partial(_part, number=0), []),
        "Imag": (partial(_part, number=1), []),
    }
    if opset >= 17:
        found.update({"RFFT": (_rfft, []), "ComplexAbs": (_complex_abs, [])})
    if opset >= 18:
        found.update({f"UnsortedSegment{name}": (partial(_segments, mode=mode), []) for name, mode in REDUCTIONS.items()})
    return found


def _bound(graph: Any, node: Any, name: str, args: Sequence[Any], *, right: bool) -> None:
    """Count the sorted entries that are below a value (``tf.searchsorted``): [rows, n] and [rows, m] give [rows, m].

    A NaN lies right of all entries, and left of none that it is compared with.
    """
    target = node.get_attr_value("out_type") or 6
    w = GraphWriter(graph, node)
    axis = w.constant(np.array([1], np.int64))
    last = w.constant(np.array([2], np.int64))
    edges, values = w.add("Unsqueeze", [w.inputs[0], axis]), w.add("Unsqueeze", [w.inputs[1], last])
    below = w.add("Not", [w.add("Greater", [edges, values])]) if right else w.add("Less", [edges, values])
    counted = w.add("Cast", [below], to=7)
    padded = w.add("Pad", [counted, w.constant(np.array([0, 0, 0, 0, 0, 1], np.int64))])  # one column: never empty
    w.last("Cast", [w.add("ReduceSum", [padded, last], keepdims=0)], to=target)


def _rfft(graph: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    """DFT of the last axis, cut or filled with zeros to the requested length; real and imaginary part on a new last axis."""
    w = GraphWriter(graph, node)
    x, length = w.inputs
    rank = w.ranks[0]
    wide = w.add("Unsqueeze", [x, w.constant(np.array([-1], np.int64))])
    scalar = w.add("Squeeze", [w.add("Cast", [length], to=7)])
    w.last("DFT", [wide, scalar], axis=rank - 1, onesided=1)


def _part(graph: Any, node: Any, name: str, args: Sequence[Any], *, number: int) -> None:
    w = GraphWriter(graph, node)
    w.last("Gather", [w.inputs[0], w.constant(np.array(number, np.int64))], axis=-1)


def _complex_abs(graph: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    w = GraphWriter(graph, node)
    parts = [w.add("Gather", [w.inputs[0], w.constant(np.int64(number))], axis=-1) for number in (0, 1)]
    w.last("Sqrt", [w.add("Add", [w.add("Mul", [part, part]) for part in parts])])


def _segments(graph: Any, node: Any, name: str, args: Sequence[Any], *, mode: str) -> None:
    """Scatter rows into segments; rows of negative segments are dropped, segments without rows hold the neutral element."""
    types = require("tf2onnx.utils", "tensorflow")
    w = GraphWriter(graph, node)
    data, segment, count = w.inputs
    kind = np.dtype(types.map_onnx_to_numpy_type(w.dtypes[0]))
    axis = w.constant(np.array([0], np.int64))
    total = w.add("Reshape", [w.add("Cast", [count], to=7), w.constant(np.array([1], np.int64))])
    more = w.add("Add", [total, w.constant(np.array([1], np.int64))])
    row = w.add("Cast", [segment], to=7)
    row = w.add("Where", [w.add("Less", [row, w.constant(np.int64(0))]), total, row])
    inner = w.add(
        "Slice",
        [w.add("Shape", [data]), w.add("Shape", [w.add("Shape", [segment])]), w.constant(np.array([1000], np.int64)), axis],
    )
    onnx = require("onnx", "")
    neutral = onnx.numpy_helper.from_array(np.array([_neutral(mode, kind)], kind))
    base = w.add("ConstantOfShape", [w.add("Concat", [more, inner], axis=0)], value=neutral)
    index = w.add("Unsqueeze", [row, w.constant(np.array([-1], np.int64))])
    full = w.add("ScatterND", [base, index, data], reduction=mode)
    w.last("Slice", [full, axis, total, axis])


def _neutral(mode: str, kind: np.dtype[Any]) -> Any:
    """TensorFlow gives segments without rows the lowest or highest finite number, not infinity."""
    if mode in ("add", "mul"):
        return 0 if mode == "add" else 1
    limits: Any = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
    return limits.min if mode == "max" else limits.max
