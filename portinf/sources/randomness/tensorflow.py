"""Reads off a TensorFlow graph which operations draw random numbers that an output depends on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from portinf.sources.randomness.draws import Draw, line_of

__all__ = ["graph_draws"]

# operations that draw from a state or from the system
_STATEFUL = frozenset(
    """RandomUniform RandomUniformInt RandomStandardNormal TruncatedNormal ParameterizedTruncatedNormal RandomGamma RandomPoisson
    RandomPoissonV2 RandomShuffle RandomCrop RiscRandomUniform Multinomial SampleDistortedBoundingBox SampleDistortedBoundingBoxV2
    StatefulStandardNormal StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform StatefulUniformInt
    StatefulUniformFullInt StatefulRandomBinomial RngReadAndSkip AnonymousRandomSeedGenerator Skipgram UniformCandidateSampler
    LogUniformCandidateSampler FixedUnigramCandidateSampler LearnedUnigramCandidateSampler ThreadUnsafeUnigramCandidateSampler
    AllCandidateSampler""".split()  # noqa: SIM905
)
# operations whose numbers follow from a seed that they are given: random where that changes from call to call
_STATELESS = re.compile(
    r"Stateless(Random(Uniform|Normal|Gamma|Poisson|Binomial)\w*|TruncatedNormal\w*|ParameterizedTruncatedNormal|Multinomial|Shuffle|"
    r"SampleDistortedBoundingBox)|RandomIndexShuffle|XlaRngBitGenerator"
)
_POOLS = ("FractionalMaxPool", "FractionalAvgPool")
_SHAPES = ("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike")  # these take no numbers
_READS = ("ReadVariableOp", "ResourceGather", "ResourceGatherNd")


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """One graph: the main one, or a function where it is called.

    Attributes:
        nodes: its nodes by name.
        results: names of the nodes, or arguments, that it returns.
        arguments: of a function, in order.
        call: the frame and the node that call it; None for the main graph.
        function: its name; empty for the main graph.
    """

    nodes: Mapping[str, Any]
    results: Sequence[str]
    arguments: Sequence[str] = ()
    call: tuple[_Frame, Any] | None = None
    function: str = ""


@dataclass
class _Graphs:
    """The main graph and the functions that it calls."""

    library: Mapping[str, Any]
    frames: dict[tuple[int, str, str], _Frame] = field(default_factory=dict)
    writes: dict[tuple[int, str], list[tuple[_Frame, Any]]] = field(default_factory=dict)

    def called(self, frame: _Frame, node: Any) -> list[_Frame]:
        """Return the functions that a node calls, each as it is called here."""
        functions = [value for value in node.attr.values() if value.HasField("func") or value.list.func]
        names = [name for value in functions for name in (value.func.name, *(each.name for each in value.list.func))]
        return [
            self._frame(frame, node, self.library[name]) for name in dict.fromkeys([*names, node.op]) if name in self.library
        ]

    def _frame(self, frame: _Frame, node: Any, definition: Any) -> _Frame:
        key = (id(frame), node.name, definition.signature.name)
        if key not in self.frames:
            self.frames[key] = _Frame(
                nodes={inner.name: inner for inner in definition.node_def},
                results=[_name(definition.ret[output.name]) for output in definition.signature.output_arg],
                arguments=[argument.name for argument in definition.signature.input_arg],
                call=(frame, node),
                function=definition.signature.name,
            )
        return self.frames[key]

    def find_writes(self, frame: _Frame) -> None:
        """Note which variables are written to, here and in the functions called."""
        for node in frame.nodes.values():
            if node.op.startswith("Assign") and node.input:
                self.writes.setdefault(self.root(frame, _name(node.input[0])), []).append((frame, node))
            for inner in self.called(frame, node):
                self.find_writes(inner)

    def root(self, frame: _Frame, name: str) -> tuple[int, str]:
        """Return where a variable's handle comes from: the same for all its uses."""
        while True:
            if name in frame.nodes and frame.nodes[name].op == "Identity":
                name = _name(frame.nodes[name].input[0])
            elif name in frame.arguments and frame.call is not None:
                given = _given(frame, name)
                if given is None:
                    return id(frame), name
                frame, name = frame.call[0], given
            else:
                return id(frame), name

    def before(self, start: Iterable[tuple[_Frame, str]]) -> Iterator[tuple[_Frame, Any]]:
        """Yield every node that these values depend on, those inside of functions and behind variables too."""
        waiting = list(start)
        seen = {(id(frame), name) for frame, name in waiting}
        while waiting:
            frame, name = waiting.pop()
            node = frame.nodes.get(name)
            if node is None:
                given = _given(frame, name) if name in frame.arguments else None
                found = [] if given is None or frame.call is None else [(frame.call[0], given)]
            else:
                yield frame, node
                found = [] if node.op in _SHAPES else [(frame, _name(one)) for one in node.input if not one.startswith("^")]
                found += [(inner, one) for inner in self.called(frame, node) for one in inner.results]
                if node.op in _READS:
                    written = self.writes.get(self.root(frame, _name(node.input[0])), [])
                    found += [
                        (place, _name(one)) for place, write in written for one in write.input[1:] if not one.startswith("^")
                    ]
            for place, one in found:
                if (id(place), one) not in seen:
                    seen.add((id(place), one))
                    waiting.append((place, one))

    def changes(self, frame: _Frame, node: Any) -> bool:
        """Whether the seed of a stateless operation changes from call to call: by a variable that is written, or by a draw."""
        inputs = [(frame, _name(one)) for one in node.input if not one.startswith("^")]
        for place, other in self.before(inputs):
            if _is_stateful(other):
                return True
            if other.op in _READS and self.root(place, _name(other.input[0])) in self.writes:
                return True
        return False


def graph_draws(graph: Any, layers: Iterable[str] = ()) -> list[Draw]:
    """Return the draws that the outputs of a function's graph depend on.

    Args:
        graph: a ``FuncGraph``.
        layers: names of the model's layers, which operations have in their names.
    """
    definition = graph.as_graph_def()
    main = _Frame(nodes={node.name: node for node in definition.node}, results=[tensor.op.name for tensor in graph.outputs])
    graphs = _Graphs({function.signature.name: function for function in definition.library.function})
    graphs.find_writes(main)
    found = [
        (frame, node)
        for frame, node in graphs.before((main, name) for name in main.results)
        if _is_stateful(node) or (_STATELESS.fullmatch(node.op) and graphs.changes(frame, node))
    ]
    if any(node.op != "RngReadAndSkip" for _, node in found):  # which gives numbers to those that draw
        found = [(frame, node) for frame, node in found if node.op != "RngReadAndSkip"]
    known = sorted(layers, key=len)
    return [Draw(what=node.op, layer=_layer(node.name, known), place=_place(graph, frame, node.name)) for frame, node in found]


def _is_stateful(node: Any) -> bool:
    return node.op in _STATEFUL or (node.op in _POOLS and not node.attr["deterministic"].b)


def _name(value: str) -> str:
    """Return the node or argument that a value belongs to."""
    return value.removeprefix("^").partition(":")[0]


def _given(frame: _Frame, argument: str) -> str | None:
    """Return what the caller gives for an argument; of a branch the condition comes first."""
    assert frame.call is not None
    node = frame.call[1]
    inputs = [_name(one) for one in node.input if not one.startswith("^")]
    place = list(frame.arguments).index(argument) + (node.op in ("If", "StatelessIf", "Case", "StatelessCase"))
    return inputs[place] if place < len(inputs) else None


def _layer(name: str, layers: Sequence[str]) -> str:
    """Return the innermost layer in the name of an operation, for example ``net_1/drop_1/stateless_dropout/...``."""
    for part in reversed(name.split("/")):
        for layer in layers:
            if re.fullmatch(rf"{re.escape(layer)}(_\d+)*", part):
                return layer
    return ""


def _place(graph: Any, frame: _Frame, name: str) -> str:
    """Return the user's line that made an operation, where the graph still knows."""
    try:
        owner = graph._get_function(frame.function).graph if frame.function else graph
        trace = owner.get_operation_by_name(name).traceback
        return line_of([(entry.filename, entry.lineno) for entry in reversed(list(trace))])
    except Exception:  # noqa: BLE001 (a graph that was loaded, or a function inside another)
        return ""
