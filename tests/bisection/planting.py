"""Plants one wrong node into an ONNX file, at a random depth."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from portinf.onnx_graph.graph import Graph

__all__ = ["plant"]

OTHER = {"Add": "Sub", "Sub": "Add", "Mul": "Add", "Relu": "LeakyRelu", "Sigmoid": "Tanh", "Tanh": "Sigmoid", "Exp": "Sigmoid"}

Change = Callable[[], str]


def plant(source: Path, out: Path, inputs: Mapping[str, Any], seed: int) -> tuple[str, str]:
    """Write a copy with one wrong node and return the node's name and what was done; the outputs change well beyond rounding.

    Depth and kind are drawn from ``seed``: an initializer scaled, another operator, another epsilon, another axis.
    """
    rng = random.Random(seed)
    right = _answers(source, inputs)
    numbers = [node.number for node in Graph(source).nodes]
    rng.shuffle(numbers)
    for number in numbers:
        changes = list(_changes(source, number))
        rng.shuffle(changes)
        for what, model in changes:
            onnx.save(model, out)
            if _differs(right, out, inputs):
                return Graph(out).nodes[number].name, what
    raise AssertionError(f"nothing could be planted into {source}")


def _changes(source: Path, number: int) -> Iterator[tuple[str, Any]]:
    """Yield copies with one change of one node, which must depend on the inputs."""
    graph = Graph(source)
    place = graph.nodes[number]
    if not graph.dynamic(place):
        return
    if place.operator in OTHER:
        yield _changed(source, number, lambda _, node: _set_operator(node, OTHER[place.operator]))
    names = {attribute.name: attribute for attribute in place.proto.attribute}
    if "epsilon" in names:
        yield _changed(source, number, lambda _, node: _set(node, "epsilon", 0.5))
    if place.operator in ("Softmax", "LogSoftmax"):
        yield _changed(source, number, lambda _, node: _set(node, "axis", 0))
    for name in place.inputs:
        single = len(graph.takers.get(name, ())) == 1
        if single and name in graph.initializers and graph.initializers[name].data_type == onnx.TensorProto.FLOAT:
            yield _changed(source, number, lambda model, _, name=name: _scale(model, name))


def _changed(source: Path, number: int, change: Callable[[Any, Any], str]) -> tuple[str, Any]:
    model = onnx.load(str(source))
    return change(model, model.graph.node[number]), model


def _set_operator(node: Any, operator: str) -> str:
    before, node.op_type = node.op_type, operator
    return f"{before} -> {operator}"


def _set(node: Any, name: str, value: Any) -> str:
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])
    return f"{name} = {value}"


def _scale(model: Any, name: str) -> str:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array((1.25 * numpy_helper.to_array(tensor)).astype(np.float32), name))
    return f"{name} * 1.25"


def _answers(path: Path, inputs: Mapping[str, Any]) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return list(onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, dict(inputs)))


def _differs(right: list[Any], path: Path, inputs: Mapping[str, Any]) -> bool:
    try:
        wrong = _answers(path, inputs)
    except Exception:  # noqa: BLE001 (a change that ONNX Runtime refuses is no silently wrong node)
        return False
    if any(a.shape != b.shape or not np.isfinite(b).all() for a, b in zip(right, wrong, strict=True)):
        return False
    return any(
        np.max(np.abs(a - b), initial=0.0) > 1e-2 * np.max(np.abs(a), initial=1e-6) for a, b in zip(right, wrong, strict=True)
    )
