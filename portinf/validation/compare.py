"""Two sides, or a chain of them, and a stream of batches -> the record of each hop, holding one batch at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from portinf.errors import RunnerError, UsageError, first_line
from portinf.runners.protocol import Runner
from portinf.samples import Array, Arrays, Batch, shapes_of
from portinf.signature import Signature, dtype_by_numpy
from portinf.validation.checks import Check
from portinf.validation.elementwise import Elementwise
from portinf.validation.labels import explained
from portinf.validation.results import CaseResult, CaseStatus, Hop, OutputResult
from portinf.validation.tolerance import Tolerance

__all__ = ["RECORDED", "Pair", "compare", "compare_chain"]

RECORDED = "recorded outputs"
Answer = Arrays | RunnerError


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One comparison of a chain.

    Attributes:
        reference: place among the sides; None for each batch's recorded outputs.
        candidate: place among the sides.
        takes: says of a batch whether this pair is to be compared on it.
        checks: looked at beside single elements.
        tolerance: None for that of the chain.
    """

    reference: int | None
    candidate: int
    takes: Callable[[Batch], bool] = lambda _: True
    checks: Sequence[Check] = ()
    tolerance: Tolerance | None = None


def compare(
    reference: Runner | None,
    candidate: Runner,
    batches: Iterable[Batch],
    *,
    tolerance: Tolerance,
    allow_nan: bool = False,
    progress: Callable[[str], None] | None = None,
    reference_name: str = RECORDED,
    signature: Signature | None = None,
    checks: Sequence[Check] = (),
) -> Hop:
    """Compare one candidate with one reference; see `compare_chain`.

    Args:
        reference: answers first; None takes each batch's recorded outputs.
        candidate: is judged.
        batches, tolerance, allow_nan, progress, reference_name, signature: as of `compare_chain`.
        checks: looked at beside single elements.
    """
    sides = [candidate] if reference is None else [candidate, reference]
    pair = Pair(reference=None if reference is None else 1, candidate=0, checks=checks)
    return compare_chain(
        sides,
        [pair],
        batches,
        tolerance=tolerance,
        allow_nan=allow_nan,
        progress=progress,
        reference_name=reference_name,
        signature=signature,
    )[0]


def compare_chain(
    sides: Sequence[Runner],
    pairs: Sequence[Pair],
    batches: Iterable[Batch],
    *,
    tolerance: Tolerance,
    allow_nan: bool = False,
    progress: Callable[[str], None] | None = None,
    reference_name: str = RECORDED,
    signature: Signature | None = None,
) -> list[Hop]:
    """Give all sides the same inputs, each once, and hold outputs against each other by name.

    A NaN fails on either side unless ``allow_nan`` says that it is an answer like any other; then it must stand at the
    same places. Generated inputs to which the reference itself answers NaN, or nothing, are reported as outside its domain:
    they neither pass nor fail. Batches that are parts of one file are reported as one case.

    Args:
        sides: all that can answer.
        pairs: which of them are compared.
        batches: read one at a time, once.
        tolerance: of float outputs; integers, booleans and strings are exact.
        allow_nan: NaN at the same places is right.
        progress: called with one line per case.
        reference_name: how reports call recorded outputs.
        signature: names the axes in the report; None for the sides' own.

    Raises:
        UsageError: no reference, and a batch without recorded outputs.
        ServingError: a live endpoint fails otherwise than by refusing a request.
    """
    runs = [
        _Run(
            reference=None if pair.reference is None else sides[pair.reference],
            candidate=sides[pair.candidate],
            pair=pair,
            tolerance=tolerance if pair.tolerance is None else pair.tolerance,
            allow_nan=allow_nan,
            signature=signature,
            progress=progress or (lambda _: None),
        )
        for pair in pairs
    ]
    for batch in batches:
        answers = _Answers(sides, batch)
        for run in runs:
            if run.pair.takes(batch):
                run.add(batch, answers)
    return [run.hop(reference_name) for run in runs]


class _Answers:
    """What each side says to one batch; each is asked when it is first needed, once."""

    def __init__(self, sides: Sequence[Runner], batch: Batch) -> None:
        self._sides, self._batch = sides, batch
        self._known: dict[int, tuple[Answer, float]] = {}

    def of(self, number: int | None) -> tuple[Answer, float]:
        """Return outputs by name, or why there are none, and the wall time that it took; None for recorded outputs."""
        if number is None:
            if self._batch.expected is None:
                raise UsageError(
                    f"{self._batch.name}: it has no recorded outputs to compare with; give a reference that can run"
                )
            return self._batch.expected, 0.0
        if number not in self._known:
            start = time.perf_counter()
            answer: Answer
            try:
                answer = self._sides[number].infer(self._batch.inputs)
            except RunnerError as error:
                answer = error
            self._known[number] = answer, time.perf_counter() - start
        return self._known[number]


@dataclass(kw_only=True)
class _Run:
    """State of one comparison: finished cases, the file that is being read, totals per output, time of the candidate."""

    reference: Runner | None
    candidate: Runner
    pair: Pair
    tolerance: Tolerance
    allow_nan: bool
    signature: Signature | None
    progress: Callable[[str], None]
    totals: dict[str, Elementwise] = field(default_factory=dict)
    cases: list[CaseResult] = field(default_factory=list)
    seconds: float = 0.0
    stream: _Stream | None = None

    def add(self, batch: Batch, answers: _Answers) -> None:
        """Judge one batch; a part of a file joins the parts before it."""
        if self.stream is not None and self.stream.name != batch.stream:
            self._finish(self.stream.case())
            self.stream = None
        case = self._judge(batch, answers)
        if not batch.stream:
            self._finish(case)
            return
        self.stream = self.stream or _Stream(name=batch.stream, origin=batch.origin)
        self.stream.add(case, batch)
        self.progress(f"{batch.stream}: row {batch.first_row + batch.rows}")

    def _finish(self, case: CaseResult) -> None:
        self.cases.append(case)
        self.progress(f"{case.title}: {case.status}" + (f": {case.reason}" if case.reason else ""))

    def hop(self, reference_name: str) -> Hop:
        """Return the record."""
        if self.stream is not None:
            self._finish(self.stream.case())
            self.stream = None
        return Hop(
            reference=reference_name if self.reference is None else self.reference.name,
            candidate=self.candidate.name,
            cases=tuple(self.cases),
            outputs=tuple(total.result() for total in self.totals.values()),
            seconds_candidate=self.seconds,
            checks=tuple(result for check in self.pair.checks for result in check.results()),
            figures=tuple(figure for check in self.pair.checks for figure in check.figures()),
        )

    def _judge(self, batch: Batch, answers: _Answers) -> CaseResult:
        """Compare the answers of both sides to one batch."""
        expected, _ = answers.of(self.pair.reference)
        if isinstance(expected, RunnerError):
            status: CaseStatus = "outside domain" if batch.origin == "generated" else "disagrees"
            return self._case(batch, status, f"the reference has no answer: {first_line(expected)}")
        missing = _nan_outputs(expected)
        if missing and batch.origin == "generated" and not self.allow_nan:
            return self._case(batch, "outside domain", f"the reference gives NaN at output {', '.join(missing)}")
        found, seconds = answers.of(self.pair.candidate)
        self.seconds += seconds
        if isinstance(found, RunnerError):
            return self._case(batch, "disagrees", f"the reference answers, the candidate does not: {first_line(found)}")
        expected, found = self._aligned(expected, found)
        labels = getattr(self.candidate, "labels", None)
        if labels:
            bound = self.tolerance.for_dtype("float32", {str(given.dtype) for given in batch.inputs.values()})
            found = explained(expected, found, labels, bound)
        for check in self.pair.checks:
            check.update(expected, found, batch)
        return self._compared(batch, expected, found)

    def _compared(self, batch: Batch, expected: Arrays, found: Arrays) -> CaseResult:
        results = []
        for name in [*expected, *(extra for extra in found if extra not in expected)]:
            single = self._single(name, expected, found, batch)
            if name in self.totals:
                self.totals[name].merge(single)
            else:
                self.totals[name] = single
            results.append(self._with_hint(single.result(), expected, found))
        bad = [result for result in results if not result.equal]
        reason = "; ".join(f"output '{result.name}': {result.reason}" for result in bad[:1])
        if not results:
            reason = "neither side has any output"
        return self._case(batch, "disagrees" if reason else "equal", reason + _others(bad), tuple(results))

    def _single(self, name: str, expected: Arrays, found: Arrays, batch: Batch) -> Elementwise:
        array = expected[name] if name in expected else found[name]
        single = Elementwise(
            name,
            str(array.dtype),
            tolerance=self.tolerance,
            allow_nan=self.allow_nan,
            inputs={str(given.dtype) for given in batch.inputs.values()},
        )
        if name not in found:
            single.reject(f"the candidate has no such output; it has: {', '.join(found) or 'none'}")
        elif name not in expected:
            single.reject(f"the reference has no such output; it has: {', '.join(expected) or 'none'}")
        else:
            single.update(expected[name], found[name], case=batch.name)
        return single

    def _aligned(self, expected: Arrays, found: Arrays) -> tuple[Arrays, Arrays]:
        """Take [1] for a scalar where a side has no scalars: a live endpoint without batching."""
        if all(getattr(side, "carries_scalars", True) for side in (self.reference, self.candidate)):
            return expected, found
        pairs = {name: {expected[name].shape, found[name].shape} for name in expected if name in found}
        scalars = [name for name, shapes in pairs.items() if shapes == {(), (1,)}]
        return _scalars(expected, scalars), _scalars(found, scalars)

    def _with_hint(self, result: OutputResult, expected: Arrays, found: Arrays) -> OutputResult:
        """Name another output of the candidate that holds the values that this one should."""
        if result.equal or result.name not in expected:
            return result
        for other, array in found.items():
            if other != result.name and self._same(expected[result.name], array):
                word = "swapped with" if other in expected else "renamed to"
                return replace(result, reason=f"{result.reason}; looks {word} '{other}'")
        return result

    def _same(self, reference: Array, candidate: Array) -> bool:
        if not reference.size or reference.shape != candidate.shape:
            return False
        single = Elementwise("", str(reference.dtype), tolerance=self.tolerance, allow_nan=True)
        single.update(reference, candidate)
        return single.result().equal

    def _case(self, batch: Batch, status: CaseStatus, reason: str, outputs: tuple[OutputResult, ...] = ()) -> CaseResult:
        return CaseResult(
            name=batch.name, origin=batch.origin, sizes=self._sizes(batch), status=status, reason=reason, outputs=outputs
        )

    def _sizes(self, batch: Batch) -> dict[str, int]:
        """Read the axis lengths with the first signature that names any; empty where none fits."""
        sides = [side.signature for side in (self.reference, self.candidate) if side is not None]
        known = [_sizes(signature, batch.inputs) for signature in (self.signature, *sides) if signature is not None]
        return next((sizes for sizes in known if sizes), {})


@dataclass(kw_only=True)
class _Stream:
    """The parts of one file so far, as one case: added up where they are equal, the first bad part named."""

    name: str
    origin: str
    rows: int = 0
    bad: int = 0
    parts: int = 0
    reason: str = ""
    outputs: dict[str, OutputResult] = field(default_factory=dict)

    def add(self, case: CaseResult, batch: Batch) -> None:
        """Add one part."""
        self.rows += batch.rows
        self.parts += 1
        for output in case.outputs:
            before = self.outputs.get(output.name)
            self.outputs[output.name] = output if before is None else before.plus(output)
        if case.status != "equal":
            self.bad += 1
            rows = f"rows {batch.first_row} to {batch.first_row + max(0, batch.rows - 1)}"
            self.reason = self.reason or f"{rows}: {case.reason}"

    def case(self) -> CaseResult:
        """Return all parts as one case."""
        more = f" (and {self.bad - 1} more of {self.parts} parts)" if self.bad > 1 else ""
        return CaseResult(
            name=self.name,
            origin=self.origin,
            sizes={"rows": self.rows},
            status="disagrees" if self.bad else "equal",
            reason=self.reason + more,
            outputs=tuple(self.outputs.values()),
        )


def _scalars(arrays: Arrays, names: Sequence[str]) -> Arrays:
    return {name: array.reshape(()) if name in names else array for name, array in arrays.items()}


def _sizes(signature: Signature, inputs: Mapping[str, Array]) -> dict[str, int]:
    try:
        return signature.sizes(shapes_of(inputs))
    except UsageError:
        return {}


def _others(bad: list[OutputResult]) -> str:
    rest = len(bad) - 1
    return f" (and {rest} more output{'s' * (rest != 1)})" if rest > 0 else ""


def _nan_outputs(arrays: Mapping[str, Array]) -> list[str]:
    floats = {name: array for name, array in arrays.items() if dtype_by_numpy(str(array.dtype)).is_float}
    return [f"'{name}'" for name, array in floats.items() if bool(np.isnan(array).any())]
