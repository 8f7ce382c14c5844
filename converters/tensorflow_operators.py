"""Conversions of TensorFlow operators that tf2onnx lacks, or writes in a way that fails on empty or padded inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from portinf.lazy import require

__all__ = ["handlers"]

Handler = Callable[..., None]
REDUCTIONS = {"Sum": "add", "Prod": "mul", "Max": "max", "Min": "min"}


def handlers(opset: int) -> dict[str, tuple[Handler, list[Any]]]:
    """Return handlers as tf2onnx takes them (``custom_op_handlers``), by TensorFlow operator."""
    found: dict[str, tuple[Handler, list[Any]]] = {
        "Log1p": (_log1p, []),
        "Expm1": (_expm1, []),
        "Xlogy": (_xlogy, []),
        "UpperBound": (partial(_bound, comparison="LessOrEqual"), []),
        "LowerBound": (partial(_bound, comparison="Less"), []),
        "Real": (partial(_part, number=0), []),
        "Imag": (partial(_part, number=1), []),
    }
    if opset >= 17:
        found.update({"RFFT": (_rfft, []), "ComplexAbs": (_complex_abs, [])})
    if opset >= 18:
        found.update({f"UnsortedSegment{name}": (partial(_segments, mode=mode), []) for name, mode in REDUCTIONS.items()})
    return found


class _Writer:
    """Replaces one node by several, the last of which bears its name and output.

    Args:
        graph: tf2onnx's graph.
        node: the node to replace.
    """

    def __init__(self, graph: Any, node: Any) -> None:
        self._graph, self._name, self._outputs = graph, node.name, list(node.output)
        self._shapes, self._dtypes = node.output_shapes, node.output_dtypes
        self.inputs = list(node.input)
        self.dtypes = [graph.get_dtype(name) for name in node.input]
        self.ranks = [graph.get_rank(name) for name in node.input]
        graph.remove_node(node.name)

    def add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node and return its output."""
        return str(self._graph.make_node(kind, list(inputs), attr=attributes, op_name_scope=self._name).output[0])

    def last(self, kind: str, inputs: Sequence[str], **attributes: Any) -> None:
        """Add the node that stands for the one replaced."""
        self._graph.make_node(
            kind,
            list(inputs),
            attr=attributes,
            name=self._name,
            outputs=self._outputs,
            shapes=self._shapes,
            dtypes=self._dtypes,
        )

    def constant(self, value: Any) -> str:
        """Add a constant."""
        names = require("tf2onnx.utils", "tensorflow")
        return str(self._graph.make_const(names.make_name(f"{self._name}_constant"), np.asarray(value)).output[0])

    def like(self, number: int, value: float) -> str:
        """Add a constant of the type of an input."""
        types = require("tf2onnx.utils", "tensorflow")
        return self.constant(np.array(value, types.map_onnx_to_numpy_type(self.dtypes[number])))


def _log1p(graph: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    """With u = 1 + x: x log(u) / (u - 1), exact to rounding also near 0 (Kahan); x where u is 1, u where it is infinite."""
    w = _Writer(graph, node)
    x, one = w.inputs[0], w.like(0, 1.0)
    u = w.add("Add", [x, one])
    ratio = w.add("Div", [w.add("Mul", [x, w.add("Log", [u])]), w.add("Sub", [u, one])])
    infinite = w.add("Equal", [u, w.like(0, np.inf)])
    plain = w.add("Or", [w.add("Equal", [u, one]), infinite])
    w.last("Where", [plain, x, ratio])


def _expm1(graph: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    """With u = exp(x): (u - 1) x / log(u), exact to rounding also near 0 (Kahan); x where u is 1, u - 1 where |x| is large."""
    w = _Writer(graph, node)
    x, one = w.inputs[0], w.like(0, 1.0)
    u = w.add("Exp", [x])
    less = w.add("Sub", [u, one])
    near = w.add("Where", [w.add("Equal", [u, one]), x, w.add("Div", [w.add("Mul", [less, x]), w.add("Log", [u])])])
    large = w.add("Greater", [w.add("Abs", [x]), w.like(0, 1.0)])
    w.last("Where", [large, less, near])


def _xlogy(graph: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    """x log(y), and 0 where x is 0."""
    w = _Writer(graph, node)
    x, y = w.inputs
    zero = w.like(0, 0.0)
    w.last("Where", [w.add("Equal", [x, zero]), zero, w.add("Mul", [x, w.add("Log", [y])])])


def _bound(graph: Any, node: Any, name: str, args: Sequence[Any], *, comparison: str) -> None:
    """Count the sorted entries that are below a value (``tf.searchsorted``): [rows, n] and [rows, m] give [rows, m]."""
    target = node.get_attr_value("out_type") or 6
    w = _Writer(graph, node)
    axis = w.constant(np.array([1], np.int64))
    last = w.constant(np.array([2], np.int64))
    below = w.add(comparison, [w.add("Unsqueeze", [w.inputs[0], axis]), w.add("Unsqueeze", [w.inputs[1], last])])
    counted = w.add("Cast", [below], to=7)
    padded = w.add("Pad", [counted, w.constant(np.array([0, 0, 0, 0, 0, 1], np.int64))])  # one column: never empty
    w.last("Cast", [w.add("ReduceSum", [padded, last], keepdims=0)], to=target)


def _rfft(graph: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    """DFT of the last axis, cut or filled with zeros to the length asked; real and imaginary part on a new last axis."""
    w = _Writer(graph, node)
    x, length = w.inputs
    rank = w.ranks[0]
    wide = w.add("Unsqueeze", [x, w.constant(np.array([-1], np.int64))])
    scalar = w.add("Squeeze", [w.add("Cast", [length], to=7)])
    w.last("DFT", [wide, scalar], axis=rank - 1, onesided=1)


def _part(graph: Any, node: Any, name: str, args: Sequence[Any], *, number: int) -> None:
    w = _Writer(graph, node)
    w.last("Gather", [w.inputs[0], w.constant(np.array(number, np.int64))], axis=-1)


def _complex_abs(graph: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    w = _Writer(graph, node)
    parts = [w.add("Gather", [w.inputs[0], w.constant(np.int64(number))], axis=-1) for number in (0, 1)]
    w.last("Sqrt", [w.add("Add", [w.add("Mul", [part, part]) for part in parts])])


def _segments(graph: Any, node: Any, name: str, args: Sequence[Any], *, mode: str) -> None:
    """Scatter rows into segments; rows of negative segments are dropped, segments without rows hold the neutral element."""
    types = require("tf2onnx.utils", "tensorflow")
    w = _Writer(graph, node)
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
