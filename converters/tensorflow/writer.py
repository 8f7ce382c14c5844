"""Writes nodes into the graph of tf2onnx in place of one that TensorFlow's model holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import numpy as np

from portinf.core.optional import require

__all__ = ["GraphWriter"]


class GraphWriter:
    """Replaces one node by several, the last of which bears its name and output; a `portinf.converters.formulas.Writer`.

    Args:
        graph: tf2onnx's graph.
        node: the node to replace.

    Attributes:
        kind: numpy's type of the first input.
    """

    def __init__(self, graph: Any, node: Any) -> None:
        self._graph, self._name, self._outputs = graph, node.name, list(node.output)
        self._shapes, self._dtypes = node.output_shapes, node.output_dtypes
        self.inputs = list(node.input)
        self.dtypes = [graph.get_dtype(name) for name in node.input]
        self.ranks = [graph.get_rank(name) for name in node.input]
        self.kind = np.dtype(require("tf2onnx.utils", "tensorflow").map_onnx_to_numpy_type(self.dtypes[0]))
        graph.remove_node(node.name)

    def __getattr__(self, operator: str) -> Callable[..., str]:
        if not operator[0].isupper():
            raise AttributeError(operator)
        return lambda *inputs, **attributes: self.add(operator, inputs, **attributes)

    def number(self, value: float) -> str:
        """Add a constant of the writer's type."""
        return self.constant(np.array(value, self.kind))

    def cast(self, value: str) -> str:
        """Add a cast to the writer's type."""
        return self.Cast(value, to=require("onnx", "").helper.np_dtype_to_tensor_dtype(self.kind))

    def in_float32(self) -> GraphWriter:
        """Return the same writer for values of float32."""
        other = copy(self)
        other.kind = np.dtype(np.float32)
        return other

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
