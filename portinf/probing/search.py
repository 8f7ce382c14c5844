"""A source, its ONNX file and a request that both answer alike -> requests outside the samples' range that the file answers differently."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from portinf.core.errors import PortinfError, RunnerError, first_line
from portinf.core.optional import require
from portinf.core.signature import Signature
from portinf.onnx_graph.graph import Graph
from portinf.ort.isolated import ApartSession
from portinf.probing.judging import Answerer, Arbiter, Difference, differences
from portinf.probing.requests import Probe, Space, far_probes, general_probes, infinite_probes, integer_probes, nan_probes
from portinf.probing.suspects import (
    Danger,
    asks_for_infinity,
    asks_for_nan,
    dependents,
    find_suspects,
    inner_nodes,
    outputs_behind,
)
from portinf.probing.watching import Cause, Watch
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.validation.tolerance import Tolerance, rounding

__all__ = ["Finding", "Sides", "search"]

MOST = 12  # requests that are chosen because they reach a danger
NAMED = 12  # findings that are kept: the first of each output and manner
HALVES = (10, 16)  # float16 and bfloat16 in ONNX's numbering
INTEGERS = (2, 3, 4, 5, 6, 7, 12, 13)  # whole numbers in ONNX's numbering
LOOPS = ("Loop", "Scan")
CHOICES = ("TopK", "ArgMax", "ArgMin", "Hardmax", "NonMaxSuppression")  # of equal numbers either may be taken
LARGE = 10_000_000  # weights from which one answer costs more than all else here
# operators whose result is as long as an operand says: which one; None for any
LENGTHS = {"Range": None, "ConstantOfShape": None, "Expand": 1, "Tile": 1, "Reshape": 1, "OneHot": 1, "Resize": None, "Pad": 1}


@dataclass(frozen=True, kw_only=True)
class Sides:
    """What is compared.

    Attributes:
        source: runs first; what it refuses is not sent to the file.
        path: the ONNX file.
        signature: of both.
        truth: the source in float64; None where there is none.
        tolerance: of the conversion.
    """

    source: Answerer
    path: Path
    signature: Signature
    truth: Answerer | None
    tolerance: Tolerance


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One request that the file answers differently.

    Attributes:
        probe: the request.
        difference: of one output; None where the file refuses the request.
        refusal: what it says then.
        cause: the operator, its danger and its node; None where none is known.
    """

    probe: Probe
    difference: Difference | None
    refusal: str = ""
    cause: Cause | None = None

    @property
    def gross(self) -> bool:
        """Whether a file with this should not be written."""
        return self.difference is not None and self.difference.gross


def search(sides: Sides, space: Space) -> tuple[list[Finding], int]:
    """Ask both sides outside the samples' range and return what differs, with the number of requests that both answered.

    Args:
        sides: source and file.
        space: base, samples and bounds; what the graph says of them (``sized``, ``loops``, ``half``, ``costly``) is found out here.

    Raises:
        CannotError: the source's process ended.
    """
    with ExitStack() as stack:
        return _Search(sides, space, stack).run()


class _Search:
    def __init__(self, sides: Sides, space: Space, stack: ExitStack) -> None:
        self._sides, self._stack = sides, stack
        self._graph = graph = Graph(sides.path)
        names = [*space.floats, *space.integers]
        kinds = {str(kind.op_type) for node in graph.nodes for kind in (node.proto, *inner_nodes(node))}
        self._space = replace(
            space,
            sized=frozenset(name for name in names if _becomes_length(graph, name)),
            loops=not kinds.isdisjoint(LOOPS),
            half=_is_half(graph),
            costly=sum(int(np.prod(tensor.dims)) for tensor in graph.initializers.values()) > LARGE,
        )
        self._zeros = {}
        if not kinds.isdisjoint(CHOICES):
            self._zeros = {name: float(np.abs(space.base[name]).max(initial=0.0)) or 1.0 for name in space.floats}
        self._suspects = find_suspects(graph, names)
        self._meant = {"nan": outputs_behind(graph, asks_for_nan), "infinite": outputs_behind(graph, asks_for_infinity)}
        self._fragile = _divides_integers(graph, names)
        self._file = self._opened()
        self._watch: Watch | None = None
        self._findings: list[Finding] = []
        self._answered = 0

    def _opened(self) -> Answerer:
        """Open the file; one that divides whole numbers in a process of its own, which a division by 0 ends."""
        if self._fragile:
            session = ApartSession(self._sides.path, level="all", name="onnx")
            self._stack.callback(session.close)
            return session
        return self._stack.enter_context(OnnxRuntimeRunner(self._sides.path, name="onnx", signature=self._sides.signature))

    def _watching(self) -> Watch | None:
        """Open the graph with its suspicious nodes shown, once; None where that is not possible."""
        if self._watch is None:
            try:
                self._watch = self._stack.enter_context(Watch(self._graph, self._suspects))
            except PortinfError:
                return None
        return self._watch

    def run(self) -> tuple[list[Finding], int]:
        """Ask the probes that the graph gives a reason for, and the few that need none."""
        for probe in self._float_probes():
            self._ask(probe)
        for name in self._space.integers:
            for alternatives in integer_probes(self._space, name):
                any(self._ask(probe) for probe in alternatives)
        first: dict[tuple[str, ...], Finding] = {}
        for finding in sorted(self._findings, key=lambda finding: not finding.gross):
            what = finding.difference
            first.setdefault((finding.probe.kind, *((what.output, what.manner) if what is not None else ())), finding)
        return [self._named(finding) for finding in list(first.values())[:NAMED]], self._answered

    def _float_probes(self) -> Iterator[Probe]:
        chosen = general_probes(self._space)
        yield from chosen
        yield from self._reaching(chosen)
        if any(danger.family == "nan" for suspect in self._suspects for danger in suspect.dangers):
            yield from (*nan_probes(self._space), *infinite_probes(self._space))

    def _reaching(self, chosen: Sequence[Probe]) -> Iterator[Probe]:
        """Yield the probes, nearest first, that bring a suspicious node into a region in a way that nothing before has."""
        if all(danger.family != "far" for suspect in self._suspects for danger in suspect.dangers):
            return
        watch = None if self._fragile else self._watching()
        if watch is None:
            yield from list(far_probes(self._space))[:MOST]
            return
        known = watch.reached(self._space.base).union(*(watch.reached(probe.inputs) for probe in chosen))
        seen: set[tuple[int, Danger, str]] = set()
        count = 0
        for probe in far_probes(self._space):
            reached = watch.reached(probe.inputs) - known
            new = {(*key, probe.way) for key in reached if key[1].tie <= (probe.kind == "tie")} - seen
            if new and count < MOST:
                seen |= new
                count += 1
                yield probe

    def _ask(self, probe: Probe) -> bool:
        """Ask both sides; whether the source answers."""
        try:
            expected = self._sides.source.infer(probe.inputs)
        except RunnerError:
            return False
        try:
            found = self._file.infer(probe.inputs)
        except RunnerError as error:
            self._findings.append(Finding(probe=probe, difference=None, refusal=first_line(error)))
            return True
        self._answered += 1
        kinds = ["float16"] if self._space.half else [str(array.dtype) for array in probe.inputs.values()]
        eps = rounding(*kinds) or rounding("float32")
        arbiter = Arbiter(self._sides.source, self._file, self._sides.truth, probe, eps, zeros=self._zeros)
        gaps = differences(expected, found, probe, arbiter, self._sides.tolerance, meant=self._meant.get(probe.kind, ()))
        self._findings += [Finding(probe=probe, difference=difference) for difference in gaps]
        return True

    def _named(self, finding: Finding) -> Finding:
        watch = self._watching()
        if watch is None:
            return finding
        output = "" if finding.difference is None else finding.difference.output
        return replace(finding, cause=watch.cause(finding.probe.inputs, output, finding.probe.kind))


def _is_half(graph: Graph) -> bool:
    if any(tensor.data_type in HALVES for tensor in graph.initializers.values()):
        return True
    return any(
        a.name == "to" and a.i in HALVES for node in graph.nodes if node.operator == "Cast" for a in node.proto.attribute
    )


def _becomes_length(graph: Graph, name: str) -> bool:
    """Whether the numbers of an input say how long something is."""
    reached = dependents(graph, [name])
    for node in graph.nodes:
        place = LENGTHS.get(node.operator)
        if node.operator in LENGTHS and not reached.isdisjoint(
            node.inputs if place is None else node.inputs[place : place + 1]
        ):
            return True
    return False


def _divides_integers(graph: Graph, names: Sequence[str]) -> bool:
    """Whether whole numbers are divided by numbers that depend on inputs: ONNX Runtime crashed at a divisor of 0."""
    reached = dependents(graph, names)
    divisors = [node.inputs[1] for node in graph.nodes if node.operator in ("Div", "Mod") and node.inputs[1] in reached]
    if not divisors:
        return False
    known = require("onnx", "").shape_inference.infer_shapes(graph.model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*known.input, *known.output, *known.value_info)}
    return any(types.get(name, INTEGERS[0]) in INTEGERS for name in divisors)
