"""An ONNX graph -> float layers that fixed-point hardware computes, without the batch axis and with channels last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.core.batch import Array
from portinf.core.errors import CannotError
from portinf.core.optional import require
from portinf.onnx_graph.model_file import load_proto, read_onnx
from portinf.ort.basic_level import basic

if TYPE_CHECKING:
    import onnx


__all__ = ["FloatInput", "FloatLayer", "Plan", "Value", "Walk", "read_graph"]

ROWS = 7  # length of the batch axis while shapes are worked out


@dataclass(frozen=True, kw_only=True)
class FloatInput:
    """An input: its name, the shape of a row as the user gives it, and the order in which the axes are put."""

    name: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class FloatLayer:
    """A layer before its numbers have formats; fields as of `portinf.fixedpoint.network.Layer`.

    Attributes:
        weights: float64 arrays by role.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    origin: str
    axes: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Array] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Name it together with the tensor of the ONNX file."""
        return f"layer {self.name} (tensor '{self.origin}')"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Float layers in order; ``outputs`` and ``axes`` as of `portinf.fixedpoint.network.Network`."""

    inputs: tuple[FloatInput, ...]
    layers: tuple[FloatLayer, ...]
    outputs: Mapping[str, str]
    axes: Mapping[str, tuple[int, ...]]

    def layer(self, name: str) -> FloatLayer | None:
        """Return a layer; None for an input."""
        return next((layer for layer in self.layers if layer.name == name), None)


@dataclass(frozen=True, kw_only=True)
class Value:
    """Where a float tensor is found.

    Attributes:
        layer: name of the layer or input.
        shape: of one row of the float tensor.
        axes: axis of the float tensor by axis of the layer's result.
    """

    layer: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]

    @property
    def stored(self) -> tuple[int, ...]:
        """Shape of one row of the layer's result."""
        return tuple(self.shape[axis] for axis in self.axes)


def natural(rank: int) -> tuple[int, ...]:
    """Return the order in which nothing moves."""
    return tuple(range(rank))


class Walk:
    """A graph on its way to layers: what is known of its tensors so far.

    Attributes:
        constants: float64 (or integer) arrays by tensor.
        values: by tensor.
        layers: so far.
        readers: by tensor, how often nodes and the outputs of the graph read it.
        pending: the same, without the nodes that were handled.
    """

    def __init__(self, path: Path, graph: onnx.GraphProto) -> None:
        onnx = require("onnx", "")
        self.path, self.graph = path, graph
        self.constants: dict[str, Array] = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        self.values: dict[str, Value] = {}
        self.layers: list[FloatLayer] = []
        self.inputs: list[FloatInput] = []
        self.readers: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        for name in [*(name for node in graph.node for name in node.input), *(value.name for value in graph.output)]:
            self.readers[name] = self.readers.get(name, 0) + 1
        self.pending = dict(self.readers)
        self.shapes = {
            value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
            for value in [*graph.input, *graph.value_info, *graph.output]
        }

    def refuse(self, node: onnx.NodeProto, why: str) -> CannotError:
        """Return the error that names an operator and its output."""
        return CannotError(f"{self.path}: {node.op_type} (tensor '{node.output[0]}'): {why}: not supported on --target hls4ml")

    def shape(self, node: onnx.NodeProto, tensor: str) -> tuple[int, ...]:
        """Return the shape of one row of a tensor."""
        whole = self.shapes.get(tensor, ())
        if not whole or whole[0] != ROWS or 0 in whole:
            raise self.refuse(node, f"it does not keep the batch axis (shape {list(whole)} for a batch of {ROWS})")
        return whole[1:]

    def value(self, node: onnx.NodeProto, number: int = 0) -> Value:
        """Return where an input of a node is found."""
        name = node.input[number]
        if name not in self.values:
            raise self.refuse(node, f"its input '{name}' is a constant, where numbers of the samples are expected")
        return self.values[name]

    def constant(self, node: onnx.NodeProto, number: int) -> Array | None:
        """Return an input that is a constant; None where it is none or missing."""
        return self.constants.get(node.input[number]) if len(node.input) > number else None

    def put(self, node: onnx.NodeProto, layer: FloatLayer) -> None:
        """Add the layer that computes a node's output."""
        self.layers.append(layer)
        self.values[node.output[0]] = Value(layer=layer.name, shape=self.shape(node, node.output[0]), axes=layer.axes)

    def make(self, node: onnx.NodeProto, kind: str, inputs: Sequence[Value], axes: Sequence[int], **more: Any) -> None:
        """Add a layer for a node; its shape is that of the node's output in the order of ``axes``."""
        shape = self.shape(node, node.output[0])
        self.put(
            node,
            FloatLayer(
                name=self.name(kind),
                kind=kind,
                inputs=tuple(value.layer for value in inputs),
                shape=tuple(shape[axis] for axis in axes),
                origin=node.output[0],
                axes=tuple(axes),
                **more,
            ),
        )

    def name(self, kind: str) -> str:
        """Return a new name."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        return f"{kind}_{self._counts[kind]}"

    def ordered(self, node: onnx.NodeProto, value: Value, axes: Sequence[int]) -> Value:
        """Return a value whose axes stand in this order; an input is turned where it enters, a layer by a transpose."""
        axes = tuple(axes)
        if value.axes == axes:
            return value
        if _order(value, value.axes) == _order(value, axes):  # axes of length 1 alone move
            return self._beside("reshape", value, axes, {})
        order = tuple(value.axes.index(axis) for axis in axes)
        for number, item in enumerate(self.inputs):
            if item.name == value.layer and self._alone(value):
                self.inputs[number] = replace(item, axes=tuple(item.axes[place] for place in order))
                for name, known in self.values.items():
                    if known.layer == item.name:
                        self.values[name] = replace(known, axes=tuple(known.axes[place] for place in order))
                return replace(value, axes=axes)
        return self._beside("transpose", value, axes, {"order": order})

    def _alone(self, value: Value) -> bool:
        """Say whether an input is needed in this view alone: nothing read it before, and nothing will in another one."""
        views = [name for name, known in self.values.items() if known.layer == value.layer and known != value]
        return not any(value.layer in layer.inputs for layer in self.layers) and not any(map(self.pending.get, views))

    def _beside(self, kind: str, value: Value, axes: tuple[int, ...], options: Mapping[str, Any]) -> Value:
        origin = next(name for name, known in self.values.items() if known == value)
        turned = replace(value, layer=self.name(kind), axes=axes)
        self.layers.append(
            FloatLayer(
                name=turned.layer,
                kind=kind,
                inputs=(value.layer,),
                shape=turned.stored,
                origin=origin,
                axes=axes,
                options=options,
            )
        )
        return turned

    def producer(self, node: onnx.NodeProto, kinds: Sequence[str], number: int = 0) -> FloatLayer | None:
        """Return the layer that feeds a node alone, if it is of one of these kinds and the last one made for its tensor."""
        name = node.input[number]
        layer = next((layer for layer in self.layers if layer.name == self.value(node, number).layer), None)
        alone = self.readers.get(name, 0) == 1 and layer is not None and layer.origin == name
        return layer if alone and layer is not None and layer.kind in kinds else None

    def replace_with(self, node: onnx.NodeProto, old: FloatLayer, **changes: Any) -> None:
        """Let a changed layer compute a node's output as well."""
        self.layers.remove(old)
        self.put(node, replace(old, origin=node.output[0], **changes))

    def alias(self, node: onnx.NodeProto, value: Value) -> None:
        """Let a node's output be found where its input is."""
        self.values[node.output[0]] = value


def _order(value: Value, axes: Sequence[int]) -> list[int]:
    return [axis for axis in axes if value.shape[axis] != 1]


Handler = Callable[[Walk, Any], None]


def read_graph(path: Path, folder: Path, handlers: Mapping[str, Handler]) -> Plan:
    """Turn an ONNX file into layers.

    Args:
        path: the file.
        folder: for files on the way.
        handlers: what to do with each operator.

    Raises:
        CannotError: an operator or a use of one that is not among the handlers; the message names its tensor.
    """
    walk = Walk(path, _folded(path, folder))
    for value in walk.graph.input:
        _enter(walk, value)
    for node in walk.graph.node:
        if node.op_type not in handlers or node.domain not in ("", "ai.onnx"):
            raise walk.refuse(node, f"no such layer; there are: {', '.join(sorted(handlers))}")
        read = list(node.input)
        handlers[node.op_type](walk, node)
        for name in read:
            walk.pending[name] -= 1
    return _plan(walk)


def _enter(walk: Walk, value: Any) -> None:
    shape = walk.shapes[value.name]
    kind = require("onnx", "").TensorProto.DataType.Name(value.type.tensor_type.elem_type)
    if kind not in ("FLOAT", "DOUBLE", "FLOAT16"):
        raise CannotError(f"{walk.path}: input '{value.name}' is of type {kind}: --target hls4ml takes floats")
    if len(shape) < 2 or 0 in shape:
        raise CannotError(
            f"{walk.path}: input '{value.name}' has shape {list(shape)}: --target hls4ml wants rows of a fixed shape"
        )
    axes = natural(len(shape) - 1)
    walk.inputs.append(FloatInput(name=value.name, shape=shape[1:], axes=axes))
    walk.values[value.name] = Value(layer=value.name, shape=shape[1:], axes=axes)


def _plan(walk: Walk) -> Plan:
    outputs, axes = {}, {}
    for value in walk.graph.output:
        if value.name not in walk.values:
            raise CannotError(f"{walk.path}: output '{value.name}' does not depend on the inputs")
        found = walk.values[value.name]
        if not any(layer.name == found.layer for layer in walk.layers):
            raise CannotError(f"{walk.path}: output '{value.name}' is an input: there is nothing to compute")
        outputs[value.name] = found.layer
        if found.axes != natural(len(found.axes)):
            axes[value.name] = tuple(int(axis) for axis in np.argsort(found.axes))
    return Plan(inputs=tuple(walk.inputs), layers=_used(walk, outputs), outputs=outputs, axes=axes)


def _used(walk: Walk, outputs: Mapping[str, str]) -> tuple[FloatLayer, ...]:
    layers = _turned_weights(walk.layers, set(outputs.values()))
    requested = set(outputs.values())
    for layer in reversed(layers):
        if layer.name in requested:
            requested |= set(layer.inputs)
    return tuple(layer for layer in layers if layer.name in requested)


def _turned_weights(layers: Sequence[FloatLayer], outputs: set[str]) -> list[FloatLayer]:
    """Where what is flattened for a dense layer was turned first, turn the rows of its weights instead: that costs nothing."""
    found = {layer.name: layer for layer in layers}
    for dense in layers:
        flat = found.get(dense.inputs[0])
        turn = found.get(flat.inputs[0]) if flat is not None and flat.kind == "reshape" and len(flat.shape) == 1 else None
        if dense.kind != "dense" or flat is None or turn is None or turn.kind != "transpose":
            continue
        readers = [layer.name for layer in layers for name in layer.inputs if name in (flat.name, turn.name)]
        if sorted(readers) != sorted([flat.name, dense.name]) or outputs & {flat.name, turn.name}:
            continue
        order = turn.options["order"]
        before = tuple(turn.shape[order.index(axis)] for axis in range(len(order)))
        source = np.arange(int(np.prod(before))).reshape(before).transpose(order).ravel()
        weight = np.empty_like(dense.weights["weight"])
        weight[source] = dense.weights["weight"]
        found[dense.name] = replace(dense, weights={**dense.weights, "weight": weight})
        found[flat.name] = replace(flat, inputs=turn.inputs, origin="")
    return list(found.values())


def _folded(path: Path, folder: Path) -> Any:
    """Return the graph for a fixed number of rows, constants folded and shapes known."""
    onnx = require("onnx", "")
    model = load_proto(path)
    onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
    labels = {axis.label for spec in read_onnx(path).signature.inputs for axis in (spec.shape or ())[:1]}
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        for number, dim in enumerate(dims):
            if number and not dim.HasField("dim_value"):
                raise CannotError(
                    f"{path}: axis {number} of input '{value.name}' has no fixed length ({dim.dim_param or '?'}): "
                    "hardware has one shape: export the model with this length fixed"
                )
        if dims:
            dims[0].Clear()
            dims[0].dim_value = ROWS
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    whole = folder / "rows.onnx"
    whole.write_bytes(model.SerializeToString())
    made = folder / "folded"
    made.mkdir()
    if len(labels) > 1:
        raise CannotError(f"{path}: its inputs have separate batch axes ({', '.join(map(str, sorted(map(str, labels))))})")
    folded = basic(whole, made, without=["TransposeOptimizer"])  # which renames tensors: their ranges could not be seen
    try:
        return onnx.shape_inference.infer_shapes(onnx.load(str(folded or whole)), strict_mode=True).graph
    except onnx.shape_inference.InferenceError as error:
        raise CannotError(f"{path}: its shapes cannot be worked out: {error}") from error
