"""Collects ONNX nodes and constants under fresh names, for graphs that are written by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from portinf.core.batch import Array
from portinf.core.optional import require

__all__ = ["DOUBLE", "FLOAT", "INT64", "ML", "Parts"]

# numbers of onnx.TensorProto.DataType
FLOAT, INT64, DOUBLE = 1, 7, 11
ML = "ai.onnx.ml"


class Parts:
    """Nodes and constants of a graph in the making.

    Args:
        fresh: returns a name that is not taken, from a word; None counts upwards.
    """

    def __init__(self, fresh: Callable[[str], str] | None = None) -> None:
        numbers = count()
        self._fresh = fresh or (lambda word: f"{word}__{next(numbers)}")
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Append a node with one output and return that output's name."""
        output = self._fresh(kind.lower())
        helper = require("onnx", "").helper
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=f"{output}_node", domain=domain, **attributes))
        return output

    def constant(self, array: Array) -> str:
        """Append a constant and return its name."""
        name = self._fresh("constant")
        self.constants.append(require("onnx", "").numpy_helper.from_array(array, name))
        return name

    def cast(self, name: str, to: int) -> str:
        """Append a change of type."""
        return self.node("Cast", name, to=to)

    def named(self, name: str, requested: str) -> None:
        """Give a value the name that the caller expects."""
        helper = require("onnx", "").helper
        self.nodes.append(helper.make_node("Identity", [name], [requested], name=f"{requested}_identity"))
