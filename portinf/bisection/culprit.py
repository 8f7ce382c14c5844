"""Matched tensors of two graphs -> the first node at which they part, proved by running it alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from portinf.bisection.alone import Alone, run_alone
from portinf.bisection.graph import Node
from portinf.bisection.matching import Match, Matching
from portinf.bisection.store import Store
from portinf.validation.tolerance import Tolerance, rounding

__all__ = ["Culprit", "find_culprit", "jump", "ranking"]

ROUNDINGS = 64  # a node that differs by more on the same inputs does more than round otherwise
TRIED = 40  # nodes run alone before giving up

Kind = Literal["node", "suspect", "part"]


@dataclass(frozen=True, kw_only=True)
class Culprit:
    """Where two graphs part.

    Attributes:
        kind: ``node`` (out of tolerance alone, on the reference's own inputs), ``suspect`` (within tolerance alone, but far
            more than rounding), ``part`` (the first of some nodes that together replace others, out of tolerance alone).
        node: the candidate's.
        match: the tensor at which the difference was proved.
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

    First the nodes on the way to a wrong output whose inputs all agree and whose output does not, in the candidate's order;
    then, because rounding may cross a bound anywhere, the nodes at which the error grows most. Each is run alone on the
    reference's inputs: what then agrees is innocent.

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
    frontier = [node for node in guilty if all(name in agreed for _, name in matching.candidate.dynamic(node))]
    for node in frontier:
        culprit = _proved(matching, node, guilty, agreed, expected, tolerance)
        if culprit is not None:
            return culprit
    return _by_growth(matching, expected, found, tolerance)


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


def _proved(
    matching: Matching, node: Node, guilty: Sequence[Node], agreed: set[str], expected: Store, tolerance: Tolerance
) -> Culprit | None:
    """Run what computes the first comparable tensor behind a node, alone."""
    later = [match for other in guilty if other.number >= node.number for match in _parted(matching, other, agreed)]
    for match in later[:TRIED]:
        alone = run_alone(matching, match, agreed, expected, tolerance)
        if alone is None or all(inner.number != node.number for inner in alone.candidate.nodes):
            continue
        if alone.deviation.agrees:
            return None
        active = alone.candidate.active
        kind: Kind = "node" if len(active) <= 1 or match.node == node else "part"
        first = node if node in active else active[0] if active else node
        return Culprit(kind=kind, node=first, match=match, before=before(matching, [first]), after=_error(match), alone=alone)
    return None


def _parted(matching: Matching, node: Node, agreed: set[str]) -> list[Match]:
    matches = [matching.matches[out] for out in node.outputs if out in matching.matches and out not in agreed]
    return [match for match in matches if match.counterpart is not None]


def _by_growth(matching: Matching, expected: Store, found: Store, tolerance: Tolerance) -> Culprit | None:
    """Try the nodes at which the error grows most; the first in order that is out of tolerance, else the worst by far."""
    known = set(matching.counterparts)
    own: list[tuple[float, Match, Alone]] = []
    for factor, match in ranking(matching, found)[:TRIED]:
        if factor <= 2:
            break
        alone = run_alone(matching, match, known - {match.tensor}, expected, tolerance)
        if alone is not None:
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
