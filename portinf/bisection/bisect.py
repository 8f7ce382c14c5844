"""Two models that disagree on a request -> the first node where they differ, and files that reproduce it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from portinf.bisection.layers import LayerWalk, walk_layers
from portinf.bisection.onnx_pair import Walk, walk
from portinf.bisection.reproducer import Reproducer, write_reproducer
from portinf.bisection.tensor_store import Store
from portinf.conversion.candidate import make_candidate
from portinf.conversion.open_source import OpenedSource
from portinf.conversion.options import ConvertOptions
from portinf.core.batch import Batch
from portinf.core.errors import CannotError, PortinfError, RunnerError, first_line
from portinf.core.progress import Progress
from portinf.core.signature import Signature
from portinf.onnx_graph.graph import Graph
from portinf.onnx_graph.model_file import read_onnx
from portinf.ort.trace import trace_onnx
from portinf.runners.source import SourceRunner
from portinf.samples.case_set import CaseSet
from portinf.validation import Comparison, Tolerance
from portinf.validation.check import CheckResult, Figure
from portinf.validation.side import Side

__all__ = ["Bisector", "Place", "choose"]

NAME = "bisection"


@dataclass(frozen=True, kw_only=True)
class Place:
    """One side of a bisection.

    Attributes:
        side: as opened.
        source: the loaded source where it is one.
    """

    side: Side
    source: OpenedSource | None = None


def choose(comparison: Comparison, batches: Iterable[Batch]) -> Batch | None:
    """Return a request that disagrees: a given one before generated ones, an empty one last, else the smallest.

    Of a comparison that is equal any request will do.
    Of a file that is read in parts the first part that disagrees is taken.
    """
    bad = [case for case in comparison.cases if case.status == "disagrees"] or comparison.cases
    parts = {case.name: case.bad_from for case in bad}
    found = (
        batch
        for batch in batches
        if (batch.stream or batch.name) in parts and parts[batch.stream or batch.name] in (None, batch.first_row)
    )
    return min(found, key=lambda batch: (_empty(batch), batch.origin != "given", _elements(batch)), default=None)


def _elements(batch: Batch) -> int:
    return sum(array.size for array in batch.inputs.values())


def _empty(batch: Batch) -> bool:
    return any(array.size == 0 for array in batch.inputs.values())


@dataclass(kw_only=True)
class Bisector:
    """Bisects the comparisons of one validation; a source is converted again once. A context manager.

    Attributes:
        tolerance: of the comparison.
        folder: where reproducers go; a second one gets ``-2`` behind its name.
        progress: called with each step.
    """

    tolerance: Tolerance
    folder: Path
    progress: Progress
    _stack: ExitStack = field(default_factory=ExitStack)
    _fresh: dict[str, Path | str] = field(default_factory=dict)
    _written: int = 0

    def bisect(self, comparison: Comparison, reference: Place, candidate: Place, batch: Batch | None) -> Comparison:
        """Return the comparison with a check ``bisection`` and the profiles of the error."""
        if batch is None:
            return _with(comparison, _cannot("there is no request to compare"))
        for place, role in ((reference, "reference"), (candidate, "candidate")):
            if place.side.endpoint:
                return _with(comparison, _cannot(_live(place.side.name, role)))
            if place.side.to_float is not None:
                return _with(
                    comparison, _cannot(f"{place.side.name}: a fixed-point network differs everywhere; see the errors by layer")
                )
            if place.side.onnx is None and place.source is None:
                return _with(comparison, _cannot(f"{place.side.name}: recorded answers have no nodes to look at"))
        self.progress(f"bisecting at {batch.name}")
        try:
            return self._bisected(comparison, reference, candidate, batch)
        except PortinfError as error:
            return _with(comparison, _cannot(f"{batch.name}: {first_line(error)}"))

    def _bisected(self, comparison: Comparison, reference: Place, candidate: Place, batch: Batch) -> Comparison:
        opset = next((read_onnx(p.side.onnx).opset for p in (candidate, reference) if p.side.onnx is not None), 18)
        files = [self._file(reference, candidate, batch, opset), self._file(candidate, reference, batch, opset)]
        left, right = files
        texts, figures, numbers = [], [], {}
        for file in files:
            texts += [file] if isinstance(file, str) else []
        if isinstance(left, Path) and isinstance(right, Path):
            found = walk(left, right, batch.inputs, self.tolerance)
            texts.append(found.text)
            figures.append(found.figure)
            numbers = found.numbers
            texts += self._reproduced(found)
        if reference.source is not None and isinstance(right, Path):
            layers = self._layers(reference.source, right, batch)
            if layers is not None:
                texts.append(f"in the source: {layers.text}")
                figures.append(layers.figure)
                numbers = {**numbers, "source layer": layers.layer.name if layers.layer is not None else ""}
        if not figures:
            return _with(comparison, _cannot("; ".join(texts)))
        result = CheckResult(name=NAME, status="reported", text=f"{batch.name}: {'; '.join(texts)}", figures=numbers)
        return _with(comparison, result, figures)

    def _reproduced(self, found: Walk) -> list[str]:
        if found.alone is None:
            return []
        folder = self.folder if not self._written else self.folder.with_name(f"{self.folder.name}-{self._written + 1}")
        written: Reproducer | None = write_reproducer(found.alone, folder, self.tolerance)
        if written is None:
            return ["no reproducer: the difference does not show when ONNX Runtime runs the node by itself"]
        self._written += 1
        return [f"reproduce with: {written.command}"]

    def _file(self, place: Place, other: Place, batch: Batch, opset: int) -> Path | str:
        """Return an ONNX file that computes what this side does, or why there is none; the other side may know more axes."""
        if place.side.onnx is not None:
            return place.side.onnx
        assert place.source is not None
        if place.side.name not in self._fresh:
            self._fresh[place.side.name] = self._converted(_described(place.source, other.side, batch), batch, opset)
        return self._fresh[place.side.name]

    def _converted(self, source: OpenedSource, batch: Batch, opset: int) -> Path | str:
        """Convert a source again by the first route that gives the source's result for this request."""
        self.progress("converting the source again")
        options = ConvertOptions(tolerance=self.tolerance, opset=opset)
        reasons = []
        for number, route in enumerate(source.process.routes(source.signature, source.example(), opset)):
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="portinf-fresh-")))
            if route["reason"]:
                reasons.append(f"{route['name']}: {route['reason']}")
                continue
            try:
                made = make_candidate(source, number, folder, options, self.progress)
            except PortinfError as error:
                reasons.append(f"{route['name']}: {first_line(error)}")
                continue
            if made.comparison.verdict == "equal":
                return made.path
            reasons.append(f"{route['name']}: disagrees with the source on this request too")
        return f"bisection needs an ONNX export of the source, and every route failed ({'; '.join(reasons)})"

    def _layers(self, source: OpenedSource, path: Path, batch: Batch) -> LayerWalk | None:
        """Look for the source's layers in the file; None where the framework shows none."""
        try:
            layers, tensors = source.runner.layers(batch.inputs)
        except (CannotError, RunnerError):
            return None
        if not layers:
            return None
        with Store() as found:
            found.add(trace_onnx(path, batch.inputs, None, name=str(path)))
            return walk_layers(layers, tensors, list(batch.inputs), Graph(path), found, self.tolerance)

    def __enter__(self) -> Bisector:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _described(source: OpenedSource, other: Side, batch: Batch) -> OpenedSource:
    """Return the source with this one request, and with the other side's axes where it has the same inputs and outputs."""
    runner, theirs = source.runner, other.signature
    if theirs is not None and other.described and _alike(theirs, runner.signature):
        runner = SourceRunner(source.process, name=runner.name, signature=theirs)
        runner.adopt(source.runner)
    return OpenedSource(source.process, runner, CaseSet(runner.signature), [batch])


def _alike(left: Signature, right: Signature) -> bool:
    sides = [(signature.inputs, signature.outputs) for signature in (left, right)]
    names = [[[(spec.name, spec.dtype) for spec in specs] for specs in side] for side in sides]
    return names[0] == names[1] and all(spec.shape is not None for spec in (*left.inputs, *left.outputs))


def _live(name: str, role: str) -> str:
    advice = {
        "candidate": "also give the ONNX file or package folder that it serves as a candidate; if that agrees with the "
        "reference, the server is at fault",
        "reference": "give the ONNX file or package folder that it serves instead",
    }[role]
    return f"{name} is a live model, which returns only its outputs and cannot be traced; {advice}"


def _cannot(text: str) -> CheckResult:
    return CheckResult(name=NAME, status="not applicable", text=text)


def _with(comparison: Comparison, result: CheckResult, figures: Sequence[Figure] = ()) -> Comparison:
    return replace(comparison, checks=(*comparison.checks, result), figures=(*comparison.figures, *figures))
