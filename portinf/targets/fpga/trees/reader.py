"""An ONNX file with boosted trees, as ``portinf convert`` writes it -> trees in float, their sums, and the steps after them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.core.batch import Array
from portinf.core.errors import CannotError
from portinf.core.optional import require
from portinf.core.signature import Signature, dtype_by_onnx
from portinf.fixedpoint.head import OPERATIONS, Step
from portinf.fixedpoint.trees import Columns, Shape
from portinf.onnx_graph.model_file import load_proto
from portinf.targets.fpga.trees.nodes import Nodes, read_nodes, settled

if TYPE_CHECKING:
    import onnx


__all__ = ["FloatTrees", "holds_trees", "read_trees"]

KINDS = ("TreeEnsembleRegressor", "TreeEnsembleClassifier", "TreeEnsemble")
FLOAT = 1
BEFORE = {  # operators before the trees -> what the model does there
    "Where": "it turns some numbers into missing values, and conifer's trees have none",
    "IsNaN": "it looks for missing values, and conifer's trees have none",
    "Floor": "it has categorical splits, and conifer's trees compare with thresholds alone",
}


@dataclass(frozen=True, kw_only=True)
class FloatTrees:
    """Trees in float64, their scale and base put into leaves and start.

    Attributes:
        shape: of the trees.
        threshold: by node; 0 at leaves.
        value: by node; 0 where it is no leaf.
        start: one number per sum.
        sums: name of the tensor [rows, targets] that the sums are.
        dtype: its numpy type.
        steps: after the sums.
        constants: that the steps read, by tensor.
        outputs: tensor by output name.
        labels: output with scores and the class of each of its columns, by the output with class labels.
    """

    shape: Shape
    threshold: Array
    value: Array
    start: Array
    sums: str
    dtype: str
    steps: tuple[Step, ...]
    constants: Mapping[str, Array]
    outputs: Mapping[str, str]
    labels: Mapping[str, tuple[str, Array]]


@dataclass(frozen=True)
class _Linear:
    """A tensor [rows, columns] that is ``weights`` [columns, sums] times the operator's sums, and ``bias`` [columns]."""

    weights: Array
    bias: Array
    dtype: str


def holds_trees(path: Path) -> bool:
    """Say whether an ONNX file has an operator with trees."""
    return any(node.op_type in KINDS for node in load_proto(path).graph.node)


def read_trees(path: Path, signature: Signature) -> FloatTrees:
    """Read the trees.

    Args:
        path: the file.
        signature: its inputs and outputs.

    Raises:
        CannotError: conifer cannot take them, or another program wrote them; the message says what.
    """
    graph = load_proto(path).graph
    trees = [node for node in graph.node if node.op_type in KINDS]
    if len(trees) != 1 or trees[0].op_type != "TreeEnsembleRegressor":
        found = ", ".join(node.op_type for node in trees)
        raise CannotError(
            f"{path}: {found}: expected one TreeEnsembleRegressor, as portinf convert writes it: convert the source"
        )
    reader = _Reader(path, graph, trees[0])
    nodes = read_nodes(trees[0], str(path))
    inputs, single = reader.before(signature)
    forms = reader.after(nodes.sums)
    return reader.put_together(nodes, inputs, single, forms, signature)


class _Reader:
    def __init__(self, path: Path, graph: onnx.GraphProto, tree: Any) -> None:
        onnx = require("onnx", "")
        self.path, self.graph, self.tree = path, graph, tree
        self.constants = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                self.constants[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
        self.maker = {name: node for node in graph.node for name in node.output}
        self.helper = onnx.helper

    def refuse(self, node: onnx.NodeProto, why: str) -> CannotError:
        return CannotError(f"{self.path}: {node.op_type} (tensor '{node.output[0]}'): {why}")

    def options(self, node: onnx.NodeProto) -> dict[str, Any]:
        found = {item.name: self.helper.get_attribute_value(item) for item in node.attribute}
        if "to" in found:
            number = found.pop("to")
            found["to"] = "str" if number == 8 else dtype_by_onnx(number).numpy
        return {name: value for name, value in found.items() if isinstance(value, (int, float, str))}

    def before(self, signature: Signature) -> tuple[tuple[Columns, ...], bool]:
        """Return the inputs in the order of the trees' columns, and whether they pass through float32."""
        names, single = self._joined(self.tree.input[0])
        inputs = []
        for name in names:
            spec = signature.input(name)
            count = spec.shape[1].size if spec.shape is not None and len(spec.shape) == 2 else None
            if count is None:
                raise CannotError(
                    f"{self.path}: input '{name}' is {spec.shape_text()}: expected rows of a fixed number of columns"
                )
            inputs.append(Columns(name=name, count=count))
        unused = {spec.name for spec in signature.inputs} - set(names)
        if unused or len(set(names)) < len(names):
            raise CannotError(f"{self.path}: its inputs do not go into the trees once each: not supported")
        return tuple(inputs), single

    def _joined(self, tensor: str) -> tuple[list[str], bool]:
        node = self.maker.get(tensor)
        if node is None:
            return [tensor], False
        if node.op_type == "Concat":
            parts = [self._joined(name) for name in node.input]
            return [name for names, _ in parts for name in names], any(single for _, single in parts)
        if node.op_type in ("Cast", "Identity"):
            names, single = self._joined(node.input[0])
            return names, single or self.options(node).get("to") == "float32"
        raise self.refuse(node, BEFORE.get(node.op_type, "it stands before the trees, and conifer takes trees alone"))

    def after(self, sums: int) -> dict[str, _Linear]:
        """Return every tensor after the trees that is linear in the operator's sums."""
        found = {self.tree.output[0]: _Linear(np.eye(sums), np.zeros(sums), "float32")}
        for node in self.graph.node:
            form = self._linear(node, found)
            if form is not None:
                found[node.output[0]] = form
        return found

    def _linear(self, node: onnx.NodeProto, forms: Mapping[str, _Linear]) -> _Linear | None:
        given = [forms[name] for name in node.input if name in forms]
        fixed = [self.constants[name] for name in node.input if name in self.constants]
        if not given or len(given) + len(fixed) < len(node.input):
            return None
        one = given[0]
        if node.op_type == "Cast":
            to = self.options(node)["to"]
            return replace(one, dtype=to) if to in ("float32", "float64") else None
        if node.op_type == "Gather" and self.options(node).get("axis") == 1 and node.input[0] in forms and fixed[0].ndim == 1:
            return _Linear(one.weights[fixed[0]], one.bias[fixed[0]], one.dtype)
        if node.op_type == "Add" and len(given) == 2:
            return _Linear(one.weights + given[1].weights, one.bias + given[1].bias, one.dtype)
        if node.op_type in ("Add", "Mul") and fixed and fixed[0].ndim <= 2 and fixed[0].size in (1, len(one.bias)):
            by = fixed[0].astype(np.float64).ravel() * np.ones(len(one.bias))
            if node.op_type == "Add":
                return replace(one, bias=one.bias + by)
            return replace(one, weights=one.weights * by[:, None], bias=one.bias * by)
        return None

    def put_together(
        self, nodes: Nodes, inputs: tuple[Columns, ...], single: bool, forms: Mapping[str, _Linear], signature: Signature
    ) -> FloatTrees:
        requested = {spec.name for spec in signature.outputs}
        names = list(forms)
        for count in range(len(names), 0, -1):  # as much as can be goes into the leaves; what is read separately stays a step
            read, nodes_after, seen = self._split(set(names[:count]), requested)
            if len(read) == 1:
                break
        if len(read) != 1:
            raise CannotError(f"{self.path}: no single sum of the trees is answered: not supported")
        steps = [self._step(node) for node in nodes_after]
        for name in requested - seen:
            raise CannotError(f"{self.path}: output '{name}' does not depend on the trees")
        sums = read.pop()
        form = forms[sums]
        fixed = {name for step in steps for name in step.inputs} & set(self.constants)
        shape, threshold, value = settled(nodes, inputs, single, form.weights, str(self.path))
        if shape.targets == 2:
            raise CannotError(f"{self.path}: two sums (two targets): conifer takes two for the classes of one: not supported")
        return FloatTrees(
            shape=shape,
            threshold=threshold,
            value=value,
            start=form.bias + form.weights @ nodes.base,
            sums=sums,
            dtype=form.dtype,
            steps=tuple(steps),
            constants={name: self._text(self.constants[name]) for name in sorted(fixed)},
            outputs={spec.name: spec.name for spec in signature.outputs},
            labels=self._labels(steps, signature),
        )

    def _split(self, linear: set[str], requested: set[str]) -> tuple[set[str], list[Any], set[str]]:
        """Return which of the linear tensors are read or answered, the nodes after them, and everything after the trees."""
        read, after, seen = linear & requested, [], set(linear)
        for node in self.graph.node:
            if node.output[0] in linear or not any(name in seen for name in node.input):
                continue
            read |= {name for name in node.input if name in linear}
            seen |= set(node.output)
            after.append(node)
        return read, after, seen

    def _step(self, node: onnx.NodeProto) -> Step:
        if node.op_type not in OPERATIONS or len(node.output) != 1:
            raise self.refuse(node, "it stands after the trees, and is not computed there")
        return Step(kind=node.op_type, inputs=tuple(node.input), output=node.output[0], options=self.options(node))

    def _text(self, array: Array) -> Array:
        if array.dtype != object:
            return array
        return np.array([item.decode() if isinstance(item, bytes) else item for item in array.ravel()], object).reshape(
            array.shape
        )

    def _labels(self, steps: Sequence[Step], signature: Signature) -> dict[str, tuple[str, Array]]:
        """Pair the output with class labels with the one output with scores: one column for each class."""
        floats = [spec for spec in signature.outputs if spec.dtype in ("float32", "float64")]
        others = [spec for spec in signature.outputs if spec not in floats]
        if len(floats) != 1 or len(others) != 1:
            return {}
        gathers = [step for step in steps if step.kind == "Gather" and step.inputs[0] in self.constants]
        if len(gathers) != 1 or floats[0].shape is None or len(floats[0].shape) != 2:
            return {}
        classes = self._text(self.constants[gathers[0].inputs[0]])
        return {others[0].name: (floats[0].name, classes)} if classes.ndim == 1 else {}
