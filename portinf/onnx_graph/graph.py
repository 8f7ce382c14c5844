"""An ONNX file -> its nodes in order, who makes and who takes each tensor, and what is constant."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from portinf.core.batch import Array
from portinf.core.optional import require
from portinf.onnx_graph.model_file import load_proto
from portinf.onnx_graph.random_operators import RANDOM

if TYPE_CHECKING:
    import onnx


__all__ = ["Graph", "Node"]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node of the main graph.

    Attributes:
        number: its place in the file's order, from 0.
        proto: as parsed.
        inputs: its inputs by position ("" where one is left out), then what its sub-graphs take from outside.
        outputs: what it gives, by position ("" where one is left out).
    """

    number: int
    proto: onnx.NodeProto
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def operator(self) -> str:
        """The operator, with its domain where that is not the default one."""
        domain = self.proto.domain
        return f"{domain}::{self.proto.op_type}" if domain not in ("", "ai.onnx") else str(self.proto.op_type)

    @property
    def name(self) -> str:
        """The node's own name, else the name of its first output."""
        return str(self.proto.name) or next((out for out in self.outputs if out), "")

    @property
    def layer(self) -> str:
        """The layer of the source that it comes from, as far as an exporter wrote that down; else empty."""
        notes = {entry.key: entry.value for entry in self.proto.metadata_props}
        if "pkg.torch.onnx.name_scopes" in notes:
            return _torch_layer(notes["pkg.torch.onnx.name_scopes"])
        name = str(self.proto.name)
        return name.rsplit("/", 1)[0].lstrip("/") if "/" in name else ""

    def attributes(self) -> dict[str, bytes]:
        """Return the attributes by name, in a form that can be compared."""
        return {attribute.name: attribute.SerializeToString(deterministic=True) for attribute in self.proto.attribute}


def _torch_layer(text: str) -> str:
    """Read the innermost module's name; the exporters' wrapper calls the user's module ``model``."""
    try:
        scopes = [str(scope) for scope in ast.literal_eval(text)][:-1]
    except (ValueError, SyntaxError):
        return ""
    innermost = next((scope for scope in reversed(scopes) if scope), "")
    return "" if innermost == "model" else innermost.removeprefix("model.")


class Graph:
    """The main graph of an ONNX file.

    Args:
        path: the file, its external data beside it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model: onnx.ModelProto = load_proto(path)
        graph = self.model.graph
        self.nodes = [
            Node(number=number, proto=proto, inputs=(*proto.input, *_captured(proto)), outputs=tuple(proto.output))
            for number, proto in enumerate(graph.node)
        ]
        self.producer = {out: node for node in self.nodes for out in node.outputs if out}
        self.takers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                self.takers.setdefault(name, []).append(node)
        self.initializers = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = [value.name for value in graph.input if value.name not in self.initializers]
        self.outputs = [value.name for value in graph.output]
        self.constants = self._constants()
        self.sizes = self._sizes()

    def _constants(self) -> set[str]:
        """Return the names of all values that no input changes."""
        found = {"", *self.initializers, *(tensor.values.name for tensor in self.model.graph.sparse_initializer)}
        for node in self.nodes:
            if node.proto.op_type not in RANDOM and all(name in found for name in node.inputs):
                found.update(node.outputs)
        return found

    def _sizes(self) -> set[str]:
        """Return the names of all values that depend on the inputs' shapes alone."""
        found: set[str] = set()
        for node in self.nodes:
            taken = [name for name in node.inputs if name not in self.constants]
            if taken and (node.proto.op_type in ("Shape", "Size") or all(name in found for name in taken)):
                found.update(node.outputs)
        return found

    def dynamic(self, node: Node) -> list[tuple[int, str]]:
        """Return position and name of the inputs of a node that depend on the model's inputs."""
        return [(number, name) for number, name in enumerate(node.inputs) if name not in self.constants]

    def value(self, name: str) -> Array | None:
        """Return the value of an initializer or a Constant node; None for anything else."""
        numpy_helper = require("onnx", "").numpy_helper
        if name in self.initializers:
            array: Array = numpy_helper.to_array(self.initializers[name], base_dir=str(self.path.parent))
            return array
        node = self.producer.get(name)
        if node is None or node.proto.op_type != "Constant":
            return None
        given = require("onnx", "").helper.get_attribute_value(node.proto.attribute[0])
        return numpy_helper.to_array(given) if hasattr(given, "dims") else np.asarray(given)


def _captured(proto: onnx.NodeProto) -> Iterator[str]:
    """Yield what the sub-graphs of a node take from outside, each once."""
    seen: set[str] = set(proto.input)
    for attribute in proto.attribute:
        for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            for name in _free(inner):
                if name not in seen:
                    seen.add(name)
                    yield name


def _free(graph: onnx.GraphProto) -> Iterator[str]:
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        for name in (*node.input, *_captured(node)):
            if name and name not in known:
                yield name
        known.update(node.output)
    yield from (value.name for value in graph.output if value.name not in known)
