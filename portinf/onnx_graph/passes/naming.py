"""Gives an exported graph the user's input and output names, order and axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from portinf.core.errors import CannotError
from portinf.core.optional import require
from portinf.core.signature import Axis, Signature, TensorSpec, dtype_by_numpy

if TYPE_CHECKING:
    import onnx


__all__ = ["give_names", "name_inputs_by_position", "rename_values"]


def give_names(model: onnx.ModelProto, signature: Signature) -> None:
    """Rename and describe the graph's inputs ``in_0 ...`` and its outputs, by the position in which they were exported.

    Args:
        model: an ONNX model as an exporter wrote it: inputs named ``in_K`` after their position (``in_K:0`` from
            TensorFlow), outputs in the model's order.
        signature: the user's names, types and axes.

    Raises:
        CannotError: the graph has another number of outputs, or other types, than the source.
    """
    graph = model.graph
    _check_outputs(graph, signature)
    current = {value.name.split(":")[0]: value.name for value in graph.input}
    requested: dict[str, str] = {}
    for number, spec in enumerate(signature.inputs):
        if f"in_{number}" in current:
            requested[current[f"in_{number}"]] = spec.name
    final = {spec.name for spec in (*signature.inputs, *signature.outputs)}
    moved = _out_of_the_way(graph, final, keep={old for old, new in requested.items() if old == new})
    rename_values(graph, moved)
    rename_values(graph, {moved.get(old, old): new for old, new in requested.items()})
    _name_outputs(graph, signature)
    _describe(graph.input, signature.inputs)
    _describe(graph.output, signature.outputs)
    del graph.value_info[:]


def name_inputs_by_position(model: onnx.ModelProto, names: Sequence[str]) -> None:
    """Rename the inputs of a graph to ``in_0``, ``in_1``, ... as exporters do, for `give_names` afterwards.

    Args:
        model: an ONNX model.
        names: its inputs in the requested order; inputs left out keep their names.
    """
    requested = {name: f"in_{number}" for number, name in enumerate(names)}
    keep = {old for old, new in requested.items() if old == new}
    moved = _out_of_the_way(model.graph, set(requested.values()), keep)
    rename_values(model.graph, moved)
    rename_values(model.graph, {moved.get(old, old): new for old, new in requested.items()})


def _out_of_the_way(graph: onnx.GraphProto, final: set[str], keep: set[str]) -> dict[str, str]:
    """Return new names for the values that bear a name which the user wants for another."""
    names = _names(graph)
    taken = names | final
    moved: dict[str, str] = {}
    for name in sorted((names & final) - keep):
        fresh = f"{name}__inner"
        while fresh in taken:
            fresh += "_"
        taken.add(fresh)
        moved[name] = fresh
    return moved


def _check_outputs(graph: onnx.GraphProto, signature: Signature) -> None:
    if len(graph.output) != len(signature.outputs):
        raise CannotError(f"the exported graph has {len(graph.output)} outputs, the source {len(signature.outputs)}")
    for value, spec in zip(graph.output, signature.outputs, strict=True):
        found = value.type.tensor_type.elem_type
        if found != dtype_by_numpy(spec.dtype).onnx:
            raise CannotError(f"the exported graph gives output '{spec.name}' with ONNX type {found}, the source {spec.dtype}")


def _subgraphs(node: onnx.NodeProto) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _names(graph: onnx.GraphProto) -> set[str]:
    names = {value.name for value in (*graph.input, *graph.output)} | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        names.update(node.input)
        names.update(node.output)
        for inner in _subgraphs(node):
            names |= _names(inner)
    return names


def rename_values(graph: onnx.GraphProto, mapping: Mapping[str, str]) -> None:
    """Rename values of a graph everywhere, in its sub-graphs too."""
    if not mapping:
        return
    named: list[Any] = [*graph.input, *graph.output, *graph.initializer, *graph.value_info]
    for value in named:
        value.name = mapping.get(value.name, value.name)
    for sparse in graph.sparse_initializer:
        sparse.values.name = mapping.get(sparse.values.name, sparse.values.name)
    for node in graph.node:
        for field in (node.input, node.output):
            for number, name in enumerate(field):
                field[number] = mapping.get(name, name)
        for inner in _subgraphs(node):
            rename_values(inner, mapping)


def _name_outputs(graph: onnx.GraphProto, signature: Signature) -> None:
    """Give outputs their names; an Identity stands before those that are inputs, constants or given twice."""
    helper = require("onnx", "").helper
    produced = {name for node in graph.node for name in node.output}
    seen: set[str] = set()
    mapping: dict[str, str] = {}
    for value, spec in zip(graph.output, signature.outputs, strict=True):
        old = value.name
        if old in produced and old not in seen:
            mapping[old] = spec.name
        else:
            graph.node.append(helper.make_node("Identity", [old], [spec.name], name=f"output {spec.name}"))
            value.name = spec.name
        seen.add(old)
    rename_values(graph, mapping)


def _describe(values: Any, specs: tuple[TensorSpec, ...]) -> None:
    """Replace the value infos by those of the signature, in its order; inputs that the graph ignores come back."""
    helper = require("onnx", "").helper
    described = [
        helper.make_tensor_value_info(
            spec.name,
            dtype_by_numpy(spec.dtype).onnx,
            None if spec.shape is None else [_dim(axis) for axis in spec.shape],
        )
        for spec in specs
    ]
    del values[:]
    values.extend(described)


def _dim(axis: Axis) -> int | str:
    return axis.size if axis.size is not None else str(axis.label)
