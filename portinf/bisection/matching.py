"""Two graphs and the tensors that they compute -> which tensors correspond, and how much they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from portinf.bisection.deviation import Deviation, deviation
from portinf.bisection.tensor_store import Store
from portinf.core.batch import Array
from portinf.core.signature import dtype_by_numpy
from portinf.onnx_graph.graph import Graph, Node
from portinf.validation.tolerance import Tolerance

__all__ = ["Match", "Matching"]

_SWAP = ("Add", "Mul", "And", "Or", "Xor", "Equal", "Max", "Min", "Sum", "Mean")
_FEW = 8  # elements below which equal values mean nothing


@dataclass(frozen=True, kw_only=True)
class Match:
    """One tensor of the candidate.

    Attributes:
        node: that gives it.
        tensor: its name.
        counterpart: name of the reference's tensor; None where none was found.
        how: ``name``, ``structure`` (same operator on the same tensors), ``value``, ``position`` (another operator on the
            same tensors); empty where none was found.
        deviation: from the counterpart; None where there is none.
    """

    node: Node
    tensor: str
    counterpart: str | None = None
    how: str = ""
    deviation: Deviation | None = None

    @property
    def agrees(self) -> bool:
        """Whether a counterpart was found and is equal within its bound."""
        return self.deviation is not None and self.deviation.agrees


class Matching:
    """Walks the candidate in its own order and finds each tensor in the reference.

    A tensor is looked for by its name (where most names that both files have stand for the same operator), then as what the
    same operator makes of the same tensors, then by its values among what is not taken yet, then as what another operator
    makes of the same tensors. The first of these that agrees is taken; where none agrees, the first that was not found by
    value alone.

    Args:
        reference, candidate: the graphs.
        expected, found: their tensors, graph inputs included in ``expected``.
        tolerance: of the comparison.
    """

    def __init__(self, reference: Graph, candidate: Graph, expected: Store, found: Store, tolerance: Tolerance) -> None:
        self.reference, self.candidate = reference, candidate
        self._expected, self._found, self._tolerance = expected, found, tolerance
        self.counterparts: dict[str, str] = {name: name for name in candidate.inputs if name in reference.inputs}
        self.matches: dict[str, Match] = {}
        self._taken: set[str] = set(self.counterparts.values())
        self._claimed: set[int] = set()
        self._trusted = self._names_are_kept()
        self._alike = _by_kind(expected)
        self._sizes: dict[str, float] = {}
        for node in candidate.nodes:
            self._visit(node)

    def _names_are_kept(self) -> bool:
        common = [name for name in self.candidate.producer if name in self.reference.producer]
        same = sum(self._operator(self.candidate, name) == self._operator(self.reference, name) for name in common)
        return 2 * len(common) >= min(len(self.candidate.producer), len(self.reference.producer)) and same >= 0.8 * len(common)

    @staticmethod
    def _operator(graph: Graph, name: str) -> str:
        return graph.producer[name].operator

    def _visit(self, node: Node) -> None:
        for position, tensor in enumerate(node.outputs):
            if not tensor or tensor not in self._found:
                continue
            best: Match | None = None
            for counterpart, how in self._proposals(node, position, tensor):
                match = self._match(node, tensor, counterpart, how)
                if match.agrees:
                    best = match
                    break
                if best is None and how != "value":
                    best = match
            self._keep(best or Match(node=node, tensor=tensor))

    def _keep(self, match: Match) -> None:
        self.matches[match.tensor] = match
        if match.counterpart is not None:
            self.counterparts[match.tensor] = match.counterpart
            self._taken.add(match.counterpart)
            maker = self.reference.producer.get(match.counterpart)
            if maker is not None:
                self._claimed.add(maker.number)

    def _match(self, node: Node, tensor: str, counterpart: str, how: str) -> Match:
        gap = deviation(self._expected[counterpart], self._found[tensor], self._tolerance)
        return Match(node=node, tensor=tensor, counterpart=counterpart, how=how, deviation=gap)

    def _proposals(self, node: Node, position: int, tensor: str) -> Iterator[tuple[str, str]]:
        same = self.reference.producer.get(tensor)
        named = same is not None and tensor in self._expected
        if named and (self._trusted or tensor in self.reference.outputs):
            yield tensor, "name"
        for other in self._structural(node, same_operator=True):
            if position < len(other.outputs) and other.outputs[position] in self._expected:
                yield other.outputs[position], "structure"
        yield from ((name, "value") for name in self._same_values(tensor))
        if named and same is not None and same.operator == node.operator:
            yield tensor, "name"
        for other in self._structural(node, same_operator=False):
            for name in other.outputs[:1]:
                if name in self._expected and self._expected[name].shape == self._found[tensor].shape:
                    yield name, "position"
        if named and self._expected[tensor].shape == self._found[tensor].shape:
            yield tensor, "name"

    def _structural(self, node: Node, *, same_operator: bool) -> list[Node]:
        """Return the reference's unclaimed nodes on the same tensors, those with the most equal constants and attributes first."""
        known = {number: self.counterparts[name] for number, name in self.candidate.dynamic(node) if name in self.counterparts}
        if not known:
            return []
        takers = self.reference.takers.get(next(iter(known.values())), [])
        fitting = [
            other
            for other in takers
            if (other.operator == node.operator) == same_operator
            and other.number not in self._claimed
            and self._takes(other, node, known)
        ]
        return sorted(fitting, key=lambda other: (-self._likeness(node, other), other.number))

    def _takes(self, other: Node, node: Node, known: Mapping[int, str]) -> bool:
        if other.operator != node.operator:
            return set(known.values()) <= set(other.inputs) and self._constants_fit(node, other)
        if node.proto.op_type in _SWAP:
            return set(known.values()) <= set(other.inputs)
        return len(other.inputs) == len(node.inputs) and all(other.inputs[number] == name for number, name in known.items())

    def _constants_fit(self, node: Node, other: Node) -> bool:
        """Whether two nodes take as many inputs, and stored constants of the same shapes."""
        shapes = []
        for graph, each in ((self.candidate, node), (self.reference, other)):
            values = [graph.value(name) for name in each.inputs if name in graph.constants and name]
            shapes.append(sorted(value.shape for value in values if value is not None))
        return len(node.inputs) == len(other.inputs) and shapes[0] == shapes[1]

    def _likeness(self, node: Node, other: Node) -> int:
        equal = sum(
            same_constant(self.candidate, mine, self.reference, theirs)
            for mine, theirs in zip(node.inputs, other.inputs, strict=False)
            if mine in self.candidate.constants and theirs in self.reference.constants
        )
        return equal + (node.attributes() == other.attributes())

    def _same_values(self, tensor: str) -> Iterator[str]:
        """Yield free tensors of the reference that may hold these values; equal values of a few elements mean nothing."""
        array = self._found[tensor]
        if not _telling(array):
            return
        size = _size(array)
        for name in self._alike.get((array.shape, str(array.dtype)), ()):
            if name not in self._taken:
                if name not in self._sizes:
                    self._sizes[name] = _size(self._expected[name])
                if abs(self._sizes[name] - size) <= 1e-2 * size:
                    yield name


def same_constant(left: Graph, mine: str, right: Graph, theirs: str) -> bool:
    """Whether two constants hold the same value, as far as both are stored ones."""
    a, b = left.value(mine), right.value(theirs)
    return a is not None and b is not None and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def _by_kind(store: Store) -> dict[tuple[tuple[int, ...], str], list[str]]:
    found: dict[tuple[tuple[int, ...], str], list[str]] = {}
    for name in store.names:
        array = store[name]
        found.setdefault((array.shape, str(array.dtype)), []).append(name)
    return found


def _telling(array: Array) -> bool:
    return (
        array.size >= _FEW and array.dtype != object and dtype_by_numpy(str(array.dtype)).is_float and bool(np.ptp(array) != 0)
    )


def _size(array: Array) -> float:
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.mean(np.square(np.nan_to_num(array.astype(np.float64))))))
