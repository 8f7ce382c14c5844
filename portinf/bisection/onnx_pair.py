"""Two ONNX files and one request -> where they differ: the walk over both graphs, its message, its profile, its check."""

from __future__ import annotations

import math
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from portinf.bisection.culprit import Culprit, find_culprit, ranking
from portinf.bisection.deviation import deviation
from portinf.bisection.matching import Matching
from portinf.bisection.messages import explain, named
from portinf.bisection.single_node import Alone
from portinf.bisection.tensor_store import Store
from portinf.core.batch import Arrays
from portinf.onnx_graph.graph import Graph
from portinf.ort.trace import trace_onnx
from portinf.runners.onnx import GraphLevel, OnnxRuntimeRunner
from portinf.validation.check import Figure, Series
from portinf.validation.tolerance import Tolerance

__all__ = ["Walk", "walk"]

SMALLEST = 1e-10  # an error of nothing, on a logarithmic axis
SHOWN = 3  # entries of the ranking in the sentence
TICKS = 60  # nodes up to which each is named on the axis
_LEVELS: tuple[GraphLevel, ...] = ("basic", "extended", "all")


@dataclass(frozen=True, kw_only=True)
class Walk:
    """What a walk over two graphs found.

    Attributes:
        text: one line.
        figure: error against depth.
        culprit: where they differ; None where no node is wrong by itself.
        alone: the proof; None where there is no culprit.
        numbers: for JSON.
    """

    text: str
    figure: Figure
    culprit: Culprit | None
    alone: Alone | None
    numbers: dict[str, float | int | str]


def walk(reference: Path, candidate: Path, inputs: Arrays, tolerance: Tolerance) -> Walk:
    """Compute the inner tensors of both files on one request and find the first node where they differ.

    Args:
        reference, candidate: ONNX files with the same input names.
        inputs: the request.
        tolerance: of the comparison.

    Raises:
        RunnerError: one of them does not answer.
    """
    with ExitStack() as stack:
        expected, found = stack.enter_context(Store()), stack.enter_context(Store())
        graphs = Graph(reference), Graph(candidate)
        expected.add(inputs.items())
        for path, store in ((reference, expected), (candidate, found)):
            store.add(trace_onnx(path, inputs, None, name=str(path)))
        matching = Matching(*graphs, expected, found, tolerance)
        wrong = _wrong(matching, expected, found, tolerance)
        if not wrong and tolerance.atol is None:  # a small column hides behind a large one
            narrow = replace(tolerance, columns=True)
            by_column = Matching(*graphs, expected, found, narrow)
            wrong = _wrong(by_column, expected, found, narrow)
            tolerance, matching = (narrow, by_column) if wrong else (tolerance, matching)
        culprit = find_culprit(matching, wrong, expected, found, tolerance)
        text = explain(culprit, graphs[1]) if culprit is not None else ""
        if culprit is None and not wrong:
            text = _by_rewriting(reference, candidate, inputs, tolerance) or "the outputs agree, and no single node is wrong"
        if not text:
            text = "no single node is wrong; the error grows along the graph, as rounding errors do"
        return Walk(
            text=f"{text}; {_ranked(matching, found)}",
            figure=_figure(matching),
            culprit=culprit,
            alone=None if culprit is None else culprit.alone,
            numbers=_numbers(matching, culprit),
        )


def _wrong(matching: Matching, expected: Store, found: Store, tolerance: Tolerance) -> list[str]:
    """Return the outputs that differ when both graphs run as they stand."""
    return [
        name
        for name in matching.candidate.outputs
        if name in found and (name not in expected or not deviation(expected[name], found[name], tolerance).agrees)
    ]


def _by_rewriting(reference: Path, candidate: Path, inputs: Arrays, tolerance: Tolerance) -> str:
    """Say at which level of ONNX Runtime's own rewriting two files part that agree as they stand; empty where at none."""
    with OnnxRuntimeRunner(reference, level="none") as runner:
        plain = runner.infer(inputs)
    for path in (candidate, reference):
        for level in _LEVELS:
            with OnnxRuntimeRunner(path, level=level) as runner:
                answer = runner.infer(inputs)
            bad = [name for name in plain if name in answer and not deviation(plain[name], answer[name], tolerance).agrees]
            if bad:
                return (
                    f"without graph optimization both files agree on this request; ONNX Runtime's optimization (level '{level}') of {path} "
                    f"changes output '{bad[0]}'"
                )
    return ""


def _ranked(matching: Matching, found: Store) -> str:
    rows = [(factor, match) for factor, match in ranking(matching, found)[:SHOWN] if factor > 2]
    if not rows:
        return "the error grows nowhere by more than a factor of 2"
    shown = (f"{match.node.operator} '{match.node.name}' x{factor:.2g}" for factor, match in rows)
    return f"largest growth of the error: {', '.join(shown)}"


def _figure(matching: Matching) -> Figure:
    """Return the layer profile; tensors without a counterpart are left out, an infinite error is drawn at 1."""
    rows = [match for match in matching.matches.values() if match.deviation is not None]
    errors = [match.deviation.error for match in rows if match.deviation is not None]
    bounds = [match.deviation.allowed for match in rows if match.deviation is not None]
    numbers: Collection[float] = [float(match.node.number) for match in rows]
    nodes = matching.candidate.nodes
    return Figure(
        kind="lines",
        title="Error of the inner tensors along the candidate's graph",
        x_label="node, in the candidate's order",
        y_label="error, share of the largest element",
        series=(
            Series(name="error", x=list(numbers), y=[_drawn(error) for error in errors]),
            Series(name="allowed at its worst element", x=list(numbers), y=[_drawn(bound) for bound in bounds]),
        ),
        log_y=True,
        ticks=[f"{node.operator} {node.name}" for node in nodes] if len(nodes) <= TICKS else (),
    )


def _drawn(value: float) -> float:
    return max(value, SMALLEST) if math.isfinite(value) else 1.0


def _numbers(matching: Matching, culprit: Culprit | None) -> dict[str, float | int | str]:
    matches = matching.matches.values()
    counts: dict[str, float | int | str] = {
        "tensors": len(matches),
        "with a counterpart": sum(match.counterpart is not None for match in matches),
        "agreeing": sum(match.agrees for match in matches),
    }
    if culprit is None:
        return counts
    return {
        **counts,
        "node": culprit.node.name,
        "operator": culprit.node.operator,
        "number": culprit.node.number,
        "layer": culprit.node.layer,
        "tensor": culprit.match.tensor,
        "kind": culprit.kind,
        "error before": culprit.before,
        "error after": culprit.after,
        "error alone": culprit.alone.deviation.error,
        "says": named(culprit.node),
    }
