"""A graph and the nodes that compute in half precision -> that graph, or one in float32 that rounds where it would.

ONNX Runtime on a CPU takes the casts around most half-precision nodes away and computes them in float32, so such a file
shows neither its rounding nor its overflows there. The rounding graph does: every weight, every operand and every result of a
lowered node goes through a cast to the type and back, which ONNX Runtime keeps at every level. Sums inside one operator are
taken in float32 and rounded once, as tensor cores do.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from portinf.core.batch import Array
from portinf.core.errors import CannotError
from portinf.core.optional import require
from portinf.mixed_precision.model import FLOAT, captured, copied
from portinf.mixed_precision.quantized_nodes import SHAPES, Place

if TYPE_CHECKING:
    import onnx


__all__ = ["Kind", "lower_graph", "numpy_type", "rounded"]

Kind = Literal["fp16", "bf16"]
LARGEST = 2_000_000_000  # bytes of one weight
_TYPES = {"fp16": 10, "bf16": 16}  # ONNX's numbering


def numpy_type(kind: Kind) -> Any:
    """Return the numpy type of a kind."""
    return np.dtype(np.float16) if kind == "fp16" else require("ml_dtypes", "").bfloat16


def rounded(array: Array, kind: Kind) -> Array:
    """Return an array in the type, rounded to nearest; what is too large becomes infinite."""
    with np.errstate(over="ignore", under="ignore"):
        return array.astype(numpy_type(kind))


def lower_graph(model: onnx.ModelProto, places: Collection[Place], kind: Kind, *, emulate: bool = False) -> Any:
    """Return a copy of a model in which the nodes of these places compute in half precision; inputs and outputs stay.

    Args:
        model: of `portinf.mixed_precision.load_whole`.
        places: from `portinf.mixed_precision.find_places`.
        kind: ``fp16`` or ``bf16``.
        emulate: return a float32 graph that rounds at the same points instead.
    """
    return _Lowering(model, places, kind, emulate).model()


class _Lowering:
    def __init__(self, model: onnx.ModelProto, places: Collection[Place], kind: Kind, emulate: bool) -> None:
        self._onnx = require("onnx", "")
        self._source, self._kind, self._emulate = model, kind, emulate
        self._places = {place.name: place for place in places}
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._open = {value.name for value in model.graph.input}  # a weight that may be overridden is an input
        self._suffix = _free_suffix(model)
        self._half: set[str] = set()  # tensors that exist in half precision
        self._full: set[str] = {*self._open, *self._weights}
        self._nodes: list[Any] = []
        self._new_weights: list[Any] = []

    def model(self) -> Any:
        graph = self._source.graph
        for node in graph.node:
            self._add(node)
        for value in graph.output:
            self._need_full(value.name)
        return self._assembled()

    def _add(self, node: onnx.NodeProto) -> None:
        place = self._places.get(node.name)
        copy = self._onnx.NodeProto()
        copy.CopyFrom(node)
        halves = place.inputs if place else ()
        for number, name in enumerate(node.input):
            if number in halves:
                copy.input[number] = self._need_half(name)
            elif node.op_type in SHAPES and name in self._half:
                copy.input[number] = name + self._suffix
            else:
                self._need_full(name)
        for name in captured(node):
            self._need_full(name)
        if place:
            self._retype(copy)
        self._nodes.append(copy)
        for number, name in enumerate(node.output):
            if place and number in place.outputs:
                self._result(copy, number, name)
            else:
                self._full.add(name)

    def _result(self, node: onnx.NodeProto, number: int, name: str) -> None:
        half = name + self._suffix
        self._half.add(name)
        if not self._emulate:
            node.output[number] = half
            return
        node.output[number] = f"{name}__exact"
        self._round(node.output[number], half)

    def _round(self, name: str, half: str) -> None:
        self._cast(name, f"{half}__bits", _TYPES[self._kind])
        self._cast(f"{half}__bits", half, FLOAT)

    def _cast(self, name: str, out: str, to: int) -> None:
        self._nodes.append(self._onnx.helper.make_node("Cast", [name], [out], name=f"{out}__cast", to=to))

    def _need_half(self, name: str) -> str:
        """Make a tensor exist in half precision and return its name there."""
        half = name + self._suffix
        if name in self._half:
            return half
        self._half.add(name)
        if name in self._weights and name not in self._open:
            array = rounded(self._onnx.numpy_helper.to_array(self._weights[name]), self._kind)
            self._new_weights.append(self._tensor(array.astype(np.float32) if self._emulate else array, half))
        elif self._emulate:
            self._round(name, half)
        else:
            self._cast(name, half, _TYPES[self._kind])
        return half

    def _need_full(self, name: str) -> None:
        """Make a tensor exist as it was."""
        if name and name in self._half and name not in self._full:
            self._full.add(name)
            if self._emulate:
                self._nodes.append(self._onnx.helper.make_node("Identity", [name + self._suffix], [name], name=f"{name}__full"))
            else:
                self._cast(name + self._suffix, name, FLOAT)

    def _retype(self, node: onnx.NodeProto) -> None:
        """Let an attribute that gives the type of the result give the new one."""
        if self._emulate:
            return
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to":
                attribute.i = _TYPES[self._kind]
            if node.op_type == "ConstantOfShape" and attribute.name == "value":
                array = rounded(self._onnx.numpy_helper.to_array(attribute.t), self._kind)
                attribute.t.CopyFrom(self._tensor(array, ""))
        if node.op_type == "ConstantOfShape" and not node.attribute:  # its default is float32
            zero = np.zeros(1, numpy_type(self._kind))
            node.attribute.append(self._onnx.helper.make_attribute("value", self._tensor(zero, "")))

    def _tensor(self, array: Array, name: str) -> Any:
        if array.nbytes > LARGEST:
            raise CannotError(
                f"{self._kind}: weight '{name}' takes {array.nbytes / 1e9:.1f} GB, more than an ONNX file can hold"
            )
        kind = FLOAT if array.dtype == np.float32 else _TYPES[self._kind]
        return self._onnx.TensorProto(name=name, data_type=kind, dims=array.shape, raw_data=array.tobytes())

    def _assembled(self) -> Any:
        source = self._source
        made = copied(source, largest=-1)
        graph = made.graph
        del graph.node[:], graph.value_info[:]
        graph.node.extend(self._nodes)
        used = {name for node in self._nodes for name in (*node.input, *captured(node))}
        used |= {value.name for value in (*graph.input, *graph.output)}
        graph.initializer.extend(tensor for tensor in source.graph.initializer if tensor.name in used)
        graph.initializer.extend(self._new_weights)
        return made


def _free_suffix(model: onnx.ModelProto) -> str:
    """Return an ending that no name of the model has: it may be a lowered one itself."""
    names = [*(name for node in model.graph.node for name in node.output), *(tensor.name for tensor in model.graph.initializer)]
    suffix = "__half"
    while any(name.endswith((suffix, f"{suffix}__bits")) for name in names):
        suffix += "_"
    return suffix
