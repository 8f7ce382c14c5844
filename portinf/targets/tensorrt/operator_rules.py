"""What TensorRT refuses of operators that it otherwise has, or computes wrongly: one function a rule.

Each rule names where it is written down: a page of onnx-tensorrt, its parser, or what was seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portinf.core.optional import require
from portinf.targets.tensorrt.versions import Version

if TYPE_CHECKING:
    import onnx


__all__ = ["MOST_TOP", "Finding", "broken_rules", "walk"]

MOST_ASKED = 65536  # elements of a constant that a rule looks at
MOST_TOP = 3840  # largest K of TopK: onnx-tensorrt, docs/operators.md; the builder refuses what the parser takes


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One reason why a version cannot run a graph.

    Attributes:
        what: the operator and the property.
        nodes: names of the nodes.
        why: what the version does with it.
        cure: what to do.
    """

    what: str
    nodes: tuple[str, ...]
    why: str
    cure: str


@dataclass(frozen=True, kw_only=True)
class _Site:
    """One node with what a rule asks about it: its attributes, and the constants among its inputs."""

    node: onnx.NodeProto
    attributes: Mapping[str, Any]
    constants: Mapping[str, Any]

    def constant(self, place: int) -> Any | None:
        """Return the value of an input as an array; None where it is computed, absent or kept outside the file."""
        name = self.node.input[place] if len(self.node.input) > place else ""
        return self.constants.get(name)


Rule = Callable[[_Site, Version], tuple[str, str, str] | None]  # what, why, cure


def walk(graph: onnx.GraphProto) -> Iterator[tuple[Any, str]]:
    """Yield every node of a graph and of the graphs inside it, with a name that a reader can find."""
    for number, node in enumerate(graph.node):
        yield node, node.name or f"{node.op_type} number {number}"
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from walk(inner)


def broken_rules(model: onnx.ModelProto, version: Version) -> list[Finding]:
    """Return what breaks a rule, equal reasons together."""
    helper = require("onnx", "").helper
    constants = _constants(model.graph)
    found: dict[tuple[str, str, str], list[str]] = {}
    for node, name in walk(model.graph):
        rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if rule is None:
            continue
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute if not entry.HasField("g")}
        reason = rule(_Site(node=node, attributes=attributes, constants=constants), version)
        if reason:
            found.setdefault(reason, []).append(name)
    return [Finding(what=what, nodes=tuple(nodes), why=why, cure=cure) for (what, why, cure), nodes in found.items()]


def _constants(graph: onnx.GraphProto) -> dict[str, Any]:
    """Return small constants by name, those of the graphs inside too."""
    numpy_helper = require("onnx.numpy_helper", "")
    tensors = [*((tensor.name, tensor) for tensor in graph.initializer)]
    for node, _ in walk(graph):
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                tensors.append((node.output[0], attribute.t))
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                tensors += [(tensor.name, tensor) for tensor in inner.initializer]
    return {name: numpy_helper.to_array(tensor) for name, tensor in tensors if _is_small(tensor)}


def _is_small(tensor: onnx.TensorProto) -> bool:
    """Say whether a rule may ask for the values: weights are not looked at, and may lie outside the file."""
    return bool(tensor.data_location != 1 and math.prod(tensor.dims) <= MOST_ASKED)


def _reduction(site: _Site) -> str:
    return bytes(site.attributes.get("reduction", b"none")).decode()


def _scatter_nd(site: _Site, version: Version) -> tuple[str, str, str] | None:
    """Source: onnx-tensorrt 10.1, docs/operators.md; the parser of 8.6 does not read the attribute."""
    reduction = _reduction(site)
    if reduction == "none":
        return None
    why = "its parser ignores the reduction and computes something else" if version.major < 10 else "not supported"
    cure = "optimize the original: 'portinf optimize --target onnxruntime --threads 1' writes this form, 'portinf convert' does not"
    return f"ScatterND with reduction '{reduction}'", why, cure


def _scatter_elements(site: _Site, version: Version) -> tuple[str, str, str] | None:
    """Source: the parser of onnx-tensorrt 8.6 does not read the attribute (seen: silently wrong on 8.6.1.6); from 10 a plugin."""
    reduction = _reduction(site)
    if reduction == "none" or version.major >= 10:
        return None
    why = "its parser ignores the reduction and computes something else"
    return f"{site.node.op_type} with reduction '{reduction}'", why, "take TensorRT 10 or newer (Triton 24.08, for example)"


def _top_k(site: _Site, version: Version) -> tuple[str, str, str] | None:
    """Source: onnx-tensorrt 10.15, docs/operators.md: K below 3840, sorted. TensorRT-RTX builds 3840 and refuses 3841."""
    if site.attributes.get("sorted", 1) != 1:
        return "TopK with sorted = 0", "only sorted results are supported", "set sorted = 1: the values are the same"
    count = site.constant(1)
    if count is not None and int(count.reshape(-1)[0]) > MOST_TOP:
        cure = f"take K of at most {MOST_TOP}, or serve the model with ONNX Runtime"
        return f"TopK with K = {int(count.reshape(-1)[0])}", f"the builder takes K up to {MOST_TOP}", cure
    return None


def _quantised(site: _Site, version: Version) -> tuple[str, str, str] | None:
    """Source: onnx-tensorrt, docs/operators.md: zero points must be zero; UINT8 only as network input or output."""
    zero = site.constant(2)
    if zero is None:
        return None
    cure = "quantise the float model for TensorRT: 'portinf optimize --target tensorrt --precision int8'"
    if str(zero.dtype) == "uint8":
        return f"{site.node.op_type} to or from uint8", "only symmetric int8 is supported", cure
    if zero.astype("float32").any():
        return f"{site.node.op_type} with a zero point", "only zero points of 0 are supported", cure
    return None


def _pool(site: _Site, version: Version) -> tuple[str, str, str] | None:
    """Source: onnx-tensorrt 10.1, docs/operators.md."""
    if len(site.node.output) > 1 and site.node.output[1]:
        return f"{site.node.op_type} with its output Indices", "not supported", "leave that output out"
    if any(step != 1 for step in site.attributes.get("dilations", ())):
        return f"{site.node.op_type} with dilations", "only dilations of 1 are supported", "serve the model with ONNX Runtime"
    return None


def _lstm(site: _Site, version: Version) -> tuple[str, str, str] | None:
    """Source: onnx-tensorrt 10.15, docs/operators.md."""
    for name in ("layout", "input_forget"):
        if site.attributes.get(name, 0):
            return f"LSTM with {name}", "it must be 0", "export the model with the default"
    return None


def _layer_norm(site: _Site, version: Version) -> tuple[str, str, str] | None:
    """Source: onnx-tensorrt 10.15, docs/operators.md."""
    if any(site.node.output[1:]):
        return "LayerNormalization with Mean or InvStdDev", "only its first output is supported", "leave those outputs out"
    return None


def _resize(site: _Site, version: Version) -> tuple[str, str, str] | None:
    """Source: onnx-tensorrt 10.15, docs/operators.md."""
    if site.attributes.get("mode", b"nearest") == b"cubic":
        return "Resize with mode 'cubic'", "only nearest and linear are supported", "train or export with linear"
    if site.attributes.get("antialias", 0):
        return "Resize with antialias", "not supported", "export without it"
    return None


_RULES: dict[str, Rule] = {
    "ScatterND": _scatter_nd,
    "ScatterElements": _scatter_elements,
    "TopK": _top_k,
    "QuantizeLinear": _quantised,
    "DequantizeLinear": _quantised,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "LSTM": _lstm,
    "LayerNormalization": _layer_norm,
    "Resize": _resize,
}
