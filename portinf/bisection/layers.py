"""The layers of a source and the tensors of an ONNX file -> the first layer whose inputs the file has and whose output it lacks."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from portinf.bisection.deviation import deviation
from portinf.bisection.tensor_store import Store
from portinf.core.batch import Array, Arrays
from portinf.onnx_graph.graph import Graph, Node
from portinf.sources.layers import Layer
from portinf.validation.check import Figure, Series
from portinf.validation.tolerance import Tolerance

__all__ = ["LayerWalk", "walk_layers"]

MOST_AXES = 5  # up to which every order of the axes is tried
SMALLEST = 1e-10


@dataclass(frozen=True, kw_only=True)
class LayerWalk:
    """What a walk over the layers found.

    Attributes:
        text: one line.
        layer: the first that is lost; None where none is.
        nodes: of the file that stand in this layer, as far as an exporter wrote that down.
        figure: least error against any tensor of the file, by layer.
    """

    text: str
    layer: Layer | None
    nodes: Sequence[Node]
    figure: Figure


def walk_layers(
    layers: Sequence[Layer], tensors: Arrays, inputs: Collection[str], graph: Graph, found: Store, tolerance: Tolerance
) -> LayerWalk:
    """Look up what each layer gives among the file's tensors, by values and in any order of the axes.

    A layer whose output the file lacks is ignored where the file has the output of a layer that takes it, or of the layer
    that it runs inside of: converters fold layers into each other.

    Args:
        layers: in the order in which they finish.
        tensors: what they take and give.
        inputs: names of the model's inputs, which the file has by nature.
        graph: of the file.
        found: its tensors.
        tolerance: of the comparison.
    """
    errors = {name: _least(tensors[name], found, tolerance) for layer in layers for name in layer.outputs}
    has = {name for name, (_, agrees) in errors.items() if agrees} | set(inputs)
    for name in {name for layer in layers for name in layer.inputs} - has - errors.keys():
        if _least(tensors[name], found, tolerance)[1]:
            has.add(name)
    lost = next(_lost(layers, has), None)
    figure = _figure(layers, {name: error for name, (error, _) in errors.items()})
    if lost is None:
        return LayerWalk(
            text="the file contains the outputs of all layers that can be traced", layer=None, nodes=(), figure=figure
        )
    nodes = [node for node in graph.nodes if _stands_in(node, lost.name)]
    names = ", ".join(f"{node.operator} '{node.name}'" for node in nodes[:6])
    there = f"; its nodes: {names}{' and more' if len(nodes) > 6 else ''}" if nodes else ""
    text = (
        f"layer '{lost.name}' ({lost.kind}) is the first whose inputs are in the file and whose output is not "
        f"(nearest tensor: error {errors[lost.outputs[0]][0]:.2g}){there}"
    )
    return LayerWalk(text=text, layer=lost, nodes=nodes, figure=figure)


def _lost(layers: Sequence[Layer], has: Collection[str]) -> Iterator[Layer]:
    for layer in layers:
        if not layer.outputs or all(name in has for name in layer.outputs) or any(name not in has for name in layer.inputs):
            continue
        takers = [other for other in layers if set(other.inputs) & set(layer.outputs)]
        if not any(name in has for other in takers for name in other.outputs) and not _inside(layer, layers, has):
            yield layer


def _inside(layer: Layer, layers: Sequence[Layer], has: Collection[str]) -> bool:
    """Whether the file has the output of a layer that this one runs inside of."""
    parents = {other.outputs[0]: other.parent for other in layers if other.outputs}
    parent = layer.parent
    while parent:
        if parent in has:
            return True
        parent = parents.get(parent, "")
    return False


def _stands_in(node: Node, name: str) -> bool:
    return node.layer == name or node.layer.startswith(f"{name}.") or name in node.layer.split("/")


def _least(array: Array, found: Store, tolerance: Tolerance) -> tuple[float, bool]:
    """Return the least error of any tensor of the same elements in any order of the axes, and whether one agrees."""
    least = np.inf
    shape = sorted(array.shape)
    for name in found.names:
        other = found[name]
        if other.dtype != array.dtype or other.size != array.size:
            continue
        for turned in _turned(other, array.shape) if sorted(other.shape) == shape else [other.reshape(array.shape)]:
            gap = deviation(array, turned, tolerance)
            if gap.agrees:
                return gap.error, True
            least = min(least, gap.error)
    return least, False


def _turned(array: Array, shape: tuple[int, ...]) -> Iterator[Array]:
    if array.shape == shape:
        yield array
    if 2 <= array.ndim <= MOST_AXES:
        for order in itertools.permutations(range(array.ndim)):
            if order != tuple(range(array.ndim)) and tuple(array.shape[axis] for axis in order) == shape:
                yield array.transpose(order)


def _figure(layers: Sequence[Layer], errors: dict[str, float]) -> Figure:
    rows = [(layer, max(errors[name] for name in layer.outputs)) for layer in layers if layer.outputs]
    heights = [max(error, SMALLEST) if np.isfinite(error) else 1.0 for _, error in rows]
    return Figure(
        kind="bars",
        title="Error of the source's layers",
        x_label="layer, in order of execution",
        y_label="smallest difference from any tensor of the file / largest element",
        series=(Series(name="error", x=[float(number) for number in range(len(rows))], y=heights),),
        log_y=True,
        ticks=[layer.name for layer, _ in rows],
    )
