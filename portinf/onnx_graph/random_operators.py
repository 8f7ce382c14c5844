"""Finds the operators of an ONNX graph that draw random numbers, and says which of them reach an output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portinf.core.errors import CannotError
from portinf.core.optional import require

if TYPE_CHECKING:
    import onnx


__all__ = ["RANDOM", "RandomNodes", "random_nodes", "refuse_random"]

RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")
_DEFAULT = ("", "ai.onnx")
_CONTRIBUTED = ("Sampling", "BiasDropout", "BitmaskDropout", "BitmaskBiasDropout")  # of com.microsoft
_SHAPES = ("Shape", "Size", "EyeLike")  # these read no numbers


@dataclass(frozen=True, kw_only=True)
class RandomNodes:
    """The random operators of a file, each as ``RandomUniformLike 'name of the node'``.

    Attributes:
        reaching: those that an output depends on.
        unused: those that no output depends on.
    """

    reaching: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def text(self) -> str:
        """Name those that an output depends on, in one line; empty where there are none."""
        if not self.reaching:
            return ""
        more = len(self.reaching) - 3
        drawn = "draws" if len(self.reaching) == 1 else "draw"
        return f"{', '.join(self.reaching[:3])}{f' and {more} more' if more > 0 else ''} {drawn} random numbers"


def random_nodes(model: onnx.ModelProto) -> RandomNodes:
    """Look through a parsed ONNX model, the graphs inside its nodes and its functions.

    Args:
        model: parsed; its external data is not needed.
    """
    search = _Search(model)
    constants = search.constants(model.graph)
    search.follow(model.graph, [value.name for value in model.graph.output], constants)
    reaching = tuple(dict.fromkeys(search.found))
    every = dict.fromkeys(search.drawing(model.graph, constants))
    return RandomNodes(reaching=reaching, unused=tuple(name for name in every if name not in reaching))


def refuse_random(model: onnx.ModelProto, shown: str) -> list[str]:
    """Refuse a parsed ONNX model whose outputs depend on random numbers; say what is random and unused.

    Args:
        model: parsed.
        shown: how the message calls it.

    Raises:
        CannotError: an output depends on random numbers; the message names the operators.
    """
    found = random_nodes(model)
    if found.reaching:
        raise CannotError(
            f"{shown} is random, its results differ from call to call: {found.text}: remove them from the model, "
            "or pass the random numbers as an input"
        )
    return [f"random operators that no output depends on: {', '.join(found.unused)}"] if found.unused else []


class _Search:
    """A walk from outputs back to what they depend on.

    Attributes:
        found: the random nodes on the way.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._functions = {(function.domain, function.name): function for function in model.functions}
        self._opset = next((entry.version for entry in model.opset_import if entry.domain in _DEFAULT), 1)
        self._with_defaults = model.ir_version >= 4  # before, a constant had to be an input, too
        self.found: list[str] = []

    def constants(self, graph: onnx.GraphProto | onnx.FunctionProto) -> dict[str, Any]:
        """Return the constants of one element of a graph or function by name, as arrays."""
        held = {tensor.name: tensor for tensor in getattr(graph, "initializer", ())}
        if self._with_defaults and held:
            inputs = {getattr(value, "name", value) for value in graph.input}
            held = {name: tensor for name, tensor in held.items() if name not in inputs}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
                held[node.output[0]] = node.attribute[0].t
        small = {name: tensor for name, tensor in held.items() if not tensor.external_data and all(n == 1 for n in tensor.dims)}
        return {name: require("onnx", "").numpy_helper.to_array(tensor) for name, tensor in small.items()}

    def follow(
        self, graph: onnx.GraphProto | onnx.FunctionProto, outputs: Sequence[str], constants: Mapping[str, Any]
    ) -> set[str]:
        """Note the random nodes that these outputs depend on; return the names that come from outside of the graph."""
        makers = {name: node for node in graph.node for name in node.output if name}
        waiting, seen, outside = list(outputs), set(outputs), set()
        while waiting:
            name = waiting.pop()
            node = makers.get(name)
            if node is None:
                outside.add(name)
                continue
            self._judge(node, constants)
            needed = set() if node.op_type in _SHAPES else set(node.input)
            for inner in _graphs(node):
                own = {**constants, **self.constants(inner)}
                needed |= self.follow(inner, [value.name for value in inner.output], own)
            waiting += needed - seen
            seen |= needed
        return outside

    def _judge(self, node: onnx.NodeProto, constants: Mapping[str, Any]) -> None:
        function = self._functions.get((node.domain, node.op_type))
        if function is not None:
            given = {
                inner: constants[name] for inner, name in zip(function.input, node.input, strict=False) if name in constants
            }
            self.follow(function, list(function.output), {**given, **self.constants(function)})
        elif self._draws(node, constants):
            self.found.append(_named(node))

    def drawing(self, graph: onnx.GraphProto, constants: Mapping[str, Any]) -> Iterator[str]:
        """Yield the random nodes of a graph and of the graphs inside it, whether they are of use or not."""
        own = {**constants, **self.constants(graph)}
        for node in graph.node:
            if self._draws(node, own):
                yield _named(node)
            for inner in _graphs(node):
                yield from self.drawing(inner, own)

    def _draws(self, node: onnx.NodeProto, constants: Mapping[str, Any]) -> bool:
        """Whether a node draws: dropout does so in training mode alone, and what has no spread is a constant."""
        if node.domain == "com.microsoft" and node.op_type in _CONTRIBUTED:
            return node.op_type == "Sampling" or self._drops(node, 4 if "Bias" in node.op_type else 2, constants)
        if node.domain not in _DEFAULT:
            return False
        numbers = {a.name: require("onnx", "").helper.get_attribute_value(a) for a in node.attribute if not a.ref_attr_name}
        if node.op_type == "Dropout":
            return not numbers.get("is_test", 0) if self._opset < 7 else self._drops(node, 2, constants)
        if node.op_type.startswith("RandomNormal"):
            return bool(numbers.get("scale", 1.0) != 0)
        if node.op_type.startswith("RandomUniform"):
            return bool(numbers.get("low", 0.0) != numbers.get("high", 1.0))
        return node.op_type in RANDOM

    def _drops(self, node: onnx.NodeProto, place: int, constants: Mapping[str, Any]) -> bool:
        """Whether a dropout with its training mode at this place of its inputs, the ratio before it, is on or may be."""
        mode = node.input[place] if len(node.input) > place else ""
        if not mode or (mode in constants and not constants[mode].any()):
            return False
        ratio = constants.get(node.input[place - 1])
        return ratio is None or bool(ratio.any())


def _named(node: onnx.NodeProto) -> str:
    return f"{node.op_type} '{node.name or next((name for name in node.output if name), '')}'"


def _graphs(node: onnx.NodeProto) -> Iterator[Any]:
    for attribute in node.attribute:
        yield from [attribute.g] if attribute.HasField("g") else attribute.graphs
