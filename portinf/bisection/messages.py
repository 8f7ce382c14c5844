"""The first different node -> the sentences that name it and say what differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from portinf.bisection.culprit import Culprit
from portinf.core.optional import require
from portinf.onnx_graph.graph import Graph, Node

__all__ = ["differences", "explain", "named"]


def named(node: Node, total: int | None = None) -> str:
    """Return ``node 'relu_1' (Relu, number 3 of 12, layer 'body.2')``."""
    place = "" if total is None else f", number {node.number + 1} of {total}"
    layer = f", layer '{node.layer}'" if node.layer else ""
    return f"node '{node.name}' ({node.operator}{place}{layer})"


def explain(culprit: Culprit, graph: Graph) -> str:
    """Return one line: the node, the errors before and after it, its own error, and what differs."""
    match, alone = culprit.match, culprit.alone
    name = named(culprit.node, len(graph.nodes))
    allowed = f", allowed {match.deviation.allowed:.2g}" if match.deviation is not None and match.deviation.allowed else ""
    head = (
        f"the models first differ at {name}: error {culprit.before:.2g} before it, {culprit.after:.2g} after it "
        f"(of the largest element of '{match.tensor}'{allowed}); run by itself on the reference's inputs, its error is "
        f"{alone.deviation.error:.2g}"
    )
    if culprit.kind == "part":
        head += f" (together with {len(alone.candidate.active) - 1} more nodes up to '{match.tensor}')"
    if culprit.kind == "suspect":
        head = (
            f"no single node is out of tolerance; the node with the largest error of its own is {name}: {alone.deviation.error:.2g} "
            f"of the largest element of '{match.tensor}' on the reference's inputs, far more than rounding"
        )
    more = "; ".join(differences(culprit))
    return f"{head}; {more}" if more else head


def differences(culprit: Culprit) -> Iterator[str]:
    """Yield what the candidate's node and the reference's do not share."""
    theirs = culprit.alone.reference.active
    left, right = culprit.alone.reference.graph, culprit.alone.candidate.graph
    if len(theirs) != 1 or culprit.kind == "part":
        operators = ", ".join(f"{node.operator} '{node.name}'" for node in theirs[:4])
        more = f" and {len(theirs) - 4} more" if len(theirs) > 4 else ""
        yield f"the reference computes it by {operators or 'a constant'}{more}"
        return
    [other] = theirs
    if other.operator != culprit.node.operator:
        yield f"operator {culprit.node.operator} in place of the reference's {other.operator} '{other.name}'"
    yield from _attributes(other, culprit.node)
    yield from _constants(left, other, right, culprit.node)


def _attributes(reference: Node, candidate: Node) -> Iterator[str]:
    mine, theirs = _values(candidate), _values(reference)
    if reference.operator != candidate.operator:
        return
    for name in sorted(mine.keys() | theirs.keys()):
        if name in mine and name in theirs and np.array_equal(mine[name], theirs[name]):
            continue
        yield f"attribute {name} {mine.get(name, 'missing')} in place of {theirs.get(name, 'none')}"


def _values(node: Node) -> dict[str, Any]:
    get = require("onnx", "").helper.get_attribute_value
    plain = [a for a in node.proto.attribute if not (a.HasField("g") or a.HasField("t") or a.graphs)]
    return {a.name: get(a) if not isinstance(get(a), bytes) else get(a).decode(errors="replace") for a in plain}


def _constants(left: Graph, reference: Node, right: Graph, candidate: Node) -> Iterator[str]:
    for theirs, mine in zip(reference.inputs, candidate.inputs, strict=False):
        a, b = left.value(theirs), right.value(mine)
        if a is None or b is None:
            continue
        if a.shape != b.shape or a.dtype != b.dtype:
            yield f"constant '{mine}' is {b.dtype} {list(b.shape)} in place of {a.dtype} {list(a.shape)}"
        elif a.dtype.kind in "fiu" and a.size and not np.array_equal(a, b):
            gap = float(np.max(np.abs(b.astype(np.float64) - a.astype(np.float64))))
            largest = float(np.max(np.abs(a)))
            yield f"constant '{mine}' differs from the reference's by up to {gap:.3g} (its largest element: {largest:.3g})"
