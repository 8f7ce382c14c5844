"""Matched tensors of two graphs -> the first node where they differ, confirmed by running it by itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from portinf.bisection.matching import Match, Matching
from portinf.bisection.single_node import Alone, run_alone
from portinf.bisection.tensor_store import Store
from portinf.onnx_graph.graph import Graph, Node
from portinf.validation.tolerance import Tolerance, rounding

__all__ = ["Culprit", "find_culprit", "jump", "ranking"]

ROUNDINGS = 64  # a node that differs by more on the same inputs does more than round otherwise
TRIED = 40  # nodes run alone before giving up
NEXT = 2  # tensors behind a node at which its difference may be gone again

Kind = Literal["node", "suspect", "part"]


@dataclass(frozen=True, kw_only=True)
class Culprit:
    """Where two graphs part.

    Attributes:
        kind: ``node`` (out of tolerance alone, on the reference's inputs), ``suspect`` (within tolerance alone, but far
            more than rounding), ``part`` (the first of some nodes that together replace others, out of tolerance alone).
        node: the candidate's.
        match: the tensor at which the difference was confirmed.
        before: largest error among what goes into the node.
        after: error of ``match``.
        alone: the proof.
    """

    kind: Kind
    node: Node
    match: Match
    before: float
    after: float
    alone: Alone


def _error(match: Match) -> float:
    return match.deviation.error if match.deviation is not None else float("nan")


def before(matching: Matching, nodes: Sequence[Node]) -> float:
    """Return the largest error among the matched tensors that go into these nodes from outside."""
    inside = {out for node in nodes for out in node.outputs}
    names = {name for node in nodes for _, name in matching.candidate.dynamic(node)} - inside
    errors = [_error(matching.matches[name]) for name in names if name in matching.matches]
    return max((error for error in errors if not np.isnan(error)), default=0.0)


def jump(matching: Matching, match: Match, store: Store) -> float:
    """Return by what factor the error grows at a tensor, counted from one rounding on."""
    floor = rounding(str(store[match.tensor].dtype)) or 1e-12
    return max(_error(match), floor) / max(before(matching, [match.node]), floor)


def ranking(matching: Matching, found: Store) -> list[tuple[float, Match]]:
    """Return the tensors at which the error grows most, the largest factor first."""
    known = [match for match in matching.matches.values() if match.counterpart is not None]
    pairs = [(jump(matching, match, found), match) for match in known]
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1].node.number))


def find_culprit(
    matching: Matching, wrong: Collection[str], expected: Store, found: Store, tolerance: Tolerance
) -> Culprit | None:
    """Return the first node that is wrong by itself; None where every node only passes on, or rounds.

    A node that parts from what seems to be its counterpart may still be right, where the candidate computes the same in other
    steps: it is ruled out if the next tensor that all ways from it to the outputs go through is right again.

    First the nodes on the way to a wrong output whose inputs all agree and whose output does not, in the candidate's order;
    then, because rounding may cross a bound anywhere, the nodes at which the error grows most. Each is run alone on the
    reference's inputs: what then agrees is ruled out.

    Args:
        matching: of the graphs.
        wrong: the candidate's outputs that are wrong.
        expected, found: the tensors of both sides.
        tolerance: of the comparison.
    """
    agreed = {name for name, match in matching.matches.items() if match.agrees} | set(
        matching.counterparts.keys() - matching.matches.keys()
    )
    guilty = _guilty(matching, wrong, agreed)
    court = _Court(matching, expected, tolerance)
    frontier = [node for node in guilty if all(name in agreed for _, name in matching.candidate.dynamic(node))]
    for node in frontier:
        culprit = _confirmed(court, node, guilty, agreed)
        if culprit is not None:
            return culprit
    return _by_growth(court, found)


def _guilty(matching: Matching, wrong: Collection[str], agreed: set[str]) -> list[Node]:
    """Return the nodes from which tensors that do not agree lead to a wrong output, in the candidate's order."""
    graph, numbers = matching.candidate, set()
    todo = [name for name in wrong if name not in agreed]
    while todo:
        node = graph.producer.get(todo.pop())
        if node is None or node.number in numbers or not _matters(matching, node):
            continue
        numbers.add(node.number)
        todo += [name for name in node.inputs if name and name not in agreed]
    return [graph.nodes[number] for number in sorted(numbers)]


def _matters(matching: Matching, node: Node) -> bool:
    """Whether a node can be blamed: one that makes a constant only where the reference makes the same one otherwise."""
    if matching.candidate.dynamic(node):
        return True
    return any(
        match.counterpart is not None and not match.agrees
        for match in (matching.matches.get(out) for out in node.outputs)
        if match is not None
    )


class _Court:
    """Runs parts of both graphs on the reference's own tensors.

    Args:
        matching: of the graphs.
        expected: the reference's tensors.
        tolerance: of the comparison.
    """

    def __init__(self, matching: Matching, expected: Store, tolerance: Tolerance) -> None:
        self.matching = matching
        self._expected, self._tolerance = expected, tolerance
        self._through = _through(matching.candidate)

    def alone(self, match: Match, known: Collection[str]) -> Alone | None:
        """Run what computes one tensor from known ones."""
        return run_alone(self.matching, match, known, self._expected, self._tolerance)

    def absorbed(self, node: Node, known: Collection[str]) -> bool:
        """Whether the difference of a node is gone at the next tensors that all ways from it to the outputs go through."""
        behind = _behind(self.matching.candidate, node)
        outside = set(known) - behind
        for number in _bits(self._through.get(node.number, 0))[:NEXT]:
            later = self.matching.candidate.nodes[number]
            matches = [self.matching.matches[out] for out in later.outputs if out in self.matching.matches]
            parts = [self.alone(match, outside) for match in matches if match.counterpart is not None]
            runs = [part for part in parts if part is not None]
            if runs and all(run.deviation.error <= ROUNDINGS * rounding(str(run.output.dtype)) for run in runs):
                return True
        return False


def _behind(graph: Graph, node: Node) -> set[str]:
    """Return all tensors that depend on a node."""
    found = set(node.outputs)
    for later in graph.nodes[node.number + 1 :]:
        if not found.isdisjoint(later.inputs):
            found.update(later.outputs)
    return found


def _through(graph: Graph) -> dict[int, int]:
    """Return for each node the later nodes that every way from it to an output goes through (post-dominators), as bits."""
    masks: dict[int, int] = {}
    for node in reversed(graph.nodes):
        takers = {taker.number for out in node.outputs if out for taker in graph.takers.get(out, ())}
        ways = [masks[number] for number in takers if number in masks]
        if any(out in graph.outputs for out in node.outputs):
            ways = [0]
        if not ways:
            continue  # nothing needs it
        common = ways[0]
        for mask in ways[1:]:
            common &= mask
        masks[node.number] = common | (1 << node.number)
    return {number: mask & ~(1 << number) for number, mask in masks.items()}


def _bits(mask: int) -> list[int]:
    return [number for number in range(mask.bit_length()) if mask >> number & 1]


def _confirmed(court: _Court, node: Node, guilty: Sequence[Node], agreed: set[str]) -> Culprit | None:
    """Run what computes the first comparable tensor behind a node, alone."""
    matching = court.matching
    later = [match for other in guilty if other.number >= node.number for match in _parted(matching, other, agreed)]
    for match in later[:TRIED]:
        alone = court.alone(match, agreed)
        if alone is None or all(inner.number != node.number for inner in alone.candidate.nodes):
            continue
        if alone.deviation.agrees or court.absorbed(match.node, agreed):
            return None
        active = alone.candidate.active
        kind: Kind = "node" if len(active) <= 1 or match.node == node else "part"
        first = node if node in active else active[0] if active else node
        return Culprit(kind=kind, node=first, match=match, before=before(matching, [first]), after=_error(match), alone=alone)
    return None


def _parted(matching: Matching, node: Node, agreed: set[str]) -> list[Match]:
    matches = [matching.matches[out] for out in node.outputs if out in matching.matches and out not in agreed]
    return [match for match in matches if match.counterpart is not None]


def _by_growth(court: _Court, found: Store) -> Culprit | None:
    """Try the nodes at which the error grows most; the first in order that is out of tolerance, else the worst by far."""
    matching = court.matching
    known = set(matching.counterparts)
    own: list[tuple[float, Match, Alone]] = []
    for factor, match in ranking(matching, found)[:TRIED]:
        if factor <= 2:
            break
        alone = court.alone(match, known - {match.tensor})
        if alone is not None and alone.deviation.error and not court.absorbed(match.node, known):
            share = alone.deviation.error / (rounding(str(alone.output.dtype)) or 1e-12)
            own.append((share, match, alone))
    wrong = [entry for entry in own if not entry[2].deviation.agrees]
    chosen = min(wrong, key=lambda entry: entry[1].node.number, default=None)
    kind: Kind = "node"
    if chosen is None and own:
        kind, best = "suspect", max(own, key=lambda entry: entry[0])
        chosen = best if best[0] > ROUNDINGS else None
    if chosen is None:
        return None
    _, match, alone = chosen
    inside = before(matching, alone.candidate.nodes)
    return Culprit(kind=kind, node=match.node, match=match, before=inside, after=_error(match), alone=alone)
