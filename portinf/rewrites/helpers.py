"""Small questions and edits that rewritings share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.core.batch import Array
from portinf.core.optional import require

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["Writer", "attribute", "constant", "filled", "made_by", "number_of_axes", "once", "tail", "take_over", "width"]


def constant(value: ir.Value | None) -> Array | None:
    """Return the numbers of an initializer or a Constant node, None for anything else."""
    if value is None:
        return None
    if value.const_value is not None and not value.is_graph_input():
        return np.asarray(value.const_value.numpy())
    node = value.producer()
    if node is None or node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
        return None
    tensor = require("onnx_ir", "").convenience.get_const_tensor(value)
    return None if tensor is None else np.asarray(tensor.numpy())


def made_by(value: ir.Value | None, *operators: str) -> Any:
    """Return the node of the default domain that makes a value, if it is one of these operators; else None."""
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type in operators and node.domain in ("", "ai.onnx") else None


def attribute(node: ir.Node, name: str, default: Any) -> Any:
    """Return an attribute's plain value."""
    found = node.attributes.get(name)
    return default if found is None else found.value


def once(value: ir.Value) -> bool:
    """Whether a value is used by one node alone and is no output of the model."""
    return len(value.uses()) == 1 and not value.is_graph_output()


def number_of_axes(value: ir.Value | None) -> int | None:
    """Return the rank, None where it is not known."""
    return None if value is None or value.shape is None else len(value.shape)


def width(value: ir.Value | None) -> int | None:
    """Return the fixed length of the last axis, None where it is dynamic or not known."""
    if value is None or value.shape is None or not len(value.shape):
        return None
    last = value.shape[-1]
    return int(last) if isinstance(last, int) else None


def tail(value: ir.Value | None) -> tuple[int, ...] | None:
    """Return the fixed lengths of all axes after the first, None where one is dynamic or not known."""
    if value is None or value.shape is None or not len(value.shape):
        return None
    lengths = [length for length in value.shape[1:] if isinstance(length, int)]
    return tuple(lengths) if len(lengths) == len(value.shape) - 1 else None


def filled(value: ir.Value) -> Array | None:
    """Return the one number, of shape (), that a tensor of any size is filled with; None for anything else."""
    made = made_by(value, "ConstantOfShape")
    if made is not None:
        fill = made.attributes.get("value")
        return np.zeros((), np.float32) if fill is None else np.asarray(fill.value.numpy()).reshape(())
    made = made_by(value, "Expand")
    number = None if made is None else constant(made.inputs[0])
    return number.reshape(()) if number is not None and number.size == 1 else None


def take_over(old: Any, new: Any) -> None:
    """Let everything that used the old value use the new one, under the old name; an output of the model too."""
    name, shape, dtype = old.name, old.shape, old.dtype
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    old.name = f"{name}__old"
    new.name, new.shape = name, shape
    if dtype is not None:  # a type of None cannot be written
        new.dtype = dtype


class Writer:
    """Puts new nodes before an old one.

    Args:
        model: the model.
        anchor: the node before which they go.
        name: start of the names of new values.
    """

    def __init__(self, model: ir.Model, anchor: Any, name: str) -> None:
        self._ir = require("onnx_ir", "")
        self._model, self._anchor, self._name = model, anchor, name
        self._count = 0

    def node(self, operator: str, inputs: Sequence[Any], attributes: Mapping[str, Any] | None = None) -> Any:
        """Insert a node of one output and return its value."""
        self._count += 1
        node = self._ir.node(operator, inputs, dict(attributes or {}), name=f"{self._name}__{operator}_{self._count}")
        node.outputs[0].name = f"{self._name}__{self._count}"
        self._anchor.graph.insert_before(self._anchor, node)
        return node.outputs[0]

    def tensor(self, array: Array) -> Any:
        """Return a tensor for an attribute."""
        return self._ir.tensor(array)

    def describe(self, value: ir.Value, shape: Sequence[int | None], kind: Any) -> None:
        """Say shape and type of a new value, for rules that come after."""
        value.shape = self._ir.Shape(shape)
        value.dtype = self._ir.DataType.from_numpy(np.dtype(kind))

    def weight(self, array: Array) -> Any:
        """Add an initializer and return its value."""
        self._count += 1
        name = f"{self._name}__w{self._count}"
        value = self._ir.Value(name=name, const_value=self._ir.tensor(array, name=name))
        value.shape, value.dtype = value.const_value.shape, value.const_value.dtype
        self._model.graph.register_initializer(value)
        return value
