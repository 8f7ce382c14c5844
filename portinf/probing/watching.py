"""Suspicious nodes and a request -> which of their regions it reaches, and which of them is at fault."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from portinf.core.batch import Array, Arrays
from portinf.core.errors import PortinfError, RunnerError
from portinf.onnx_graph.graph import Graph
from portinf.ort.trace import OpenedGraph
from portinf.probing.requests import Kind
from portinf.probing.suspects import Danger, Suspect, find_suspects, upstream

__all__ = ["Cause", "Watch", "named_cause"]

FAMILIES = {"nan": ("nan",), "infinite": ("nan", "far"), "integer": ("integer", "far"), "": ("integer", "nan", "far")}


@dataclass(frozen=True)
class Cause:
    """A node that goes wrong in some region of its operands; its text names operator, danger and node."""

    operator: str
    text: str

    def __str__(self) -> str:
        return self.text


class Watch:
    """Shows the operands of suspicious nodes while the graph as it stands answers; a context manager.

    Args:
        graph: of the file.
        suspects: its nodes.

    Raises:
        UnreadableError: ONNX Runtime cannot load the graph as it stands.
    """

    def __init__(self, graph: Graph, suspects: Sequence[Suspect]) -> None:
        self._graph, self._suspects = graph, suspects
        self._constants: dict[str, Array | None] = {}
        self._last: tuple[Mapping[str, Array], Arrays] | None = None
        names = {name for s in suspects for name in (*s.node.proto.input, *s.node.outputs) if name in graph.producer}
        self._opened = OpenedGraph(graph.model, graph.path.parent, sorted(names), str(graph.path))

    def reached(self, inputs: Arrays) -> set[tuple[int, Danger]]:
        """Return number of the node and danger where the operands are in its region; nothing where the graph has no answer."""
        seen = self._seen(inputs)
        found: set[tuple[int, Danger]] = set()
        for suspect in self._suspects if seen else ():
            operands = [self._operand(name, seen) for name in suspect.node.proto.input]
            found |= {(suspect.node.number, danger) for danger in suspect.dangers if danger.holds(operands)}
        return found

    def cause(self, inputs: Arrays, output: str, kind: Kind | None) -> Cause | None:
        """Return the first suspicious node before an output that is in its region, one that makes no number of numbers first.

        Args:
            inputs: the request.
            output: name of the output; empty for any.
            kind: of the request; None where it is a case like any other.
        """
        before = upstream(self._graph, output) if output else {suspect.node.number for suspect in self._suspects}
        reached = self.reached(inputs)
        for family in FAMILIES.get(kind or "", ("far", "integer")):
            pairs = [(s, d) for s in self._suspects for d in s.dangers if d.family == family and s.node.number in before]
            active = [(s, d) for s, d in pairs if (s.node.number, d) in reached]
            if active:
                first = next((pair for pair in active if pair[1].known), active[0])
                suspect, danger = next(((s, d) for s, d in active if self._breaks(s, inputs)), first)
                return Cause(operator=suspect.title, text=f"{suspect.title} ({danger.name}; {suspect.where})")
        return None

    def _breaks(self, suspect: Suspect, inputs: Arrays) -> bool:
        """Whether a node makes infinity or NaN of finite operands."""
        seen = self._seen(inputs)
        given = [self._operand(name, seen) for name in suspect.node.proto.input]
        return _finite(given) and not _finite(seen.get(name) for name in suspect.node.outputs)

    def _seen(self, inputs: Arrays) -> Arrays:
        if self._last is None or self._last[0] is not inputs:
            try:
                self._last = inputs, {**inputs, **self._opened.see(inputs)}
            except RunnerError:
                self._last = inputs, {}
        return self._last[1]

    def _operand(self, name: str, seen: Arrays) -> Array | None:
        if name in seen:
            return seen[name]
        if name not in self._constants:
            self._constants[name] = self._graph.value(name) if name else None
        return self._constants[name]

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.__exit__()


def named_cause(path: Path, inputs: Arrays, output: str) -> str:
    """Name the first suspicious node that an output comes from and that this request brings into its region; empty for none.

    Args:
        path: an ONNX file that answers this request.
        inputs: the request.
        output: name of the output.
    """
    graph = Graph(path)
    try:
        with Watch(graph, find_suspects(graph, list(inputs))) as watch:
            return str(watch.cause(inputs, output, None) or "")
    except PortinfError:
        return ""


def _finite(arrays: Iterable[Array | None]) -> bool:
    return all(array is None or array.dtype.kind != "f" or bool(np.isfinite(array).all()) for array in arrays)
