"""Small ONNX models written as lines, and pairs of them: wrong ones that a comparison must catch, honest twins that it must not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from portinf.core.batch import Array
from portinf.core.signature import dtype_by_numpy

Tensors = Mapping[str, tuple[str, Sequence[int | str]]]


@dataclass(frozen=True, kw_only=True)
class Model:
    """A graph as lines ``OPERATOR:attribute=1:attribute=[1,2] INPUTS -> OUTPUTS``, with weights, inputs and outputs by name."""

    nodes: Sequence[str]
    weights: Mapping[str, Any]
    inputs: Tensors
    outputs: Tensors

    def write(self, path: Path) -> Path:
        """Write it without metadata of portinf."""
        weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in self.weights.items()]
        graph = helper.make_graph(list(map(_node, self.nodes)), "g", _values(self.inputs), _values(self.outputs), weights)
        domains = {"ai.onnx.ml": 3} if any(node.startswith("LabelEncoder") for node in self.nodes) else {}
        opsets = [helper.make_opsetid(domain, version) for domain, version in {"": 18, **domains}.items()]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, path)
        return path


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """Two models and a sample: whether the second is wrong.

    Attributes:
        allow_nan: NaN at the same places is right.
    """

    reference: Model
    candidate: Model
    sample: Mapping[str, Array] = field(default_factory=dict)
    wrong: bool
    allow_nan: bool = False


def _node(line: str) -> Any:
    left, _, outputs = line.partition("->")
    head, *inputs = left.split()
    operator, *settings = head.split(":")
    attributes: dict[str, Any] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        texts = value.replace("~", " ").strip("[]").split(",")  # a tilde is a space
        known = [int(text) if text.lstrip("-").isdigit() else text for text in texts]
        attributes[name] = known if value.startswith("[") else known[0]
    domain = "ai.onnx.ml" if operator == "LabelEncoder" else ""
    return helper.make_node(
        operator, ["" if name == "_" else name for name in inputs], outputs.split(), domain=domain, **attributes
    )


def _values(tensors: Tensors) -> list[Any]:
    return [helper.make_tensor_value_info(name, dtype_by_numpy(dtype).onnx, shape) for name, (dtype, shape) in tensors.items()]


RNG = np.random.default_rng(5)
ORDER = RNG.permutation(32)
W = {
    "w1": RNG.normal(size=(8, 32)).astype(np.float32),
    "b1": RNG.normal(size=32).astype(np.float32),
    "w2": (RNG.normal(size=(32, 4)) / 6).astype(np.float32),
}
MOVED = {"w1": W["w1"][:, ORDER], "b1": W["b1"][ORDER], "w2": W["w2"][ORDER]}  # the same network, summed in another order
HIDDEN = ("MatMul x w1 -> a", "Add a b1 -> h", "Relu h -> r", "MatMul r w2 -> y0")
ROWS: Tensors = {"x": ("float32", ["n", 8])}
FOUR: Tensors = {"y": ("float32", ["n", 4])}
X = RNG.normal(size=(600, 8)).astype(np.float32)


def network(*more: str, weights: Mapping[str, Any] = W, outputs: Tensors = FOUR, **constants: Any) -> Model:
    """Return the network of two layers with further lines from ``y0`` to the outputs."""
    values = {
        name: value if isinstance(value, np.ndarray) else np.array(value, np.float32) for name, value in constants.items()
    }
    return Model(nodes=[*HIDDEN, *more], weights={**weights, **values}, inputs=ROWS, outputs=outputs)


def scaled(*scale: float, weights: Mapping[str, Any] = W, offset: Sequence[float] = (0.0, 0.0, 0.0, 0.0)) -> Model:
    """Return the network with its four outputs times these numbers."""
    return network("Mul y0 s -> z", "Add z d -> y", weights=weights, s=list(scale), d=list(offset))


def light(rows: int) -> Array:
    """Return (E, px, py, pz) of particles of 0.14 and momentum 50: E^2 - p^2 cancels."""
    momentum = RNG.normal(size=(rows, 3))
    momentum *= 50 / np.linalg.norm(momentum, axis=1, keepdims=True)
    return np.concatenate([np.sqrt((momentum**2).sum(1, keepdims=True) + 0.14**2), momentum], axis=1).astype(np.float32)
