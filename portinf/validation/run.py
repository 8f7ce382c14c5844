"""One comparison under way: batches and answers in, cases and totals out."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from portinf.core.batch import Array, Arrays, Batch, shapes_of
from portinf.core.errors import RunnerError, UsageError, first_line
from portinf.core.signature import Signature, dtype_by_numpy
from portinf.onnx_graph.model_file import load_proto
from portinf.onnx_graph.reach import reach
from portinf.runners.float64 import Float64
from portinf.runners.protocol import Runner
from portinf.validation.batched import why_not_batched
from portinf.validation.check import Check, CheckResult
from portinf.validation.checks.class_flips import FLIPS
from portinf.validation.domain import answered_rows, has_numbers, masked, nan_places
from portinf.validation.elementwise import Elementwise
from portinf.validation.labels import explained
from portinf.validation.limits import Judging, Limits
from portinf.validation.results import CaseResult, CaseStatus, Comparison, OutputResult
from portinf.validation.rounding.opinion import Heard, Opinion
from portinf.validation.scale import Sizes
from portinf.validation.streamed import Streamed
from portinf.validation.tolerance import Tolerance

__all__ = ["Answers", "Run"]

Answer = Arrays | RunnerError
NAN = "the reference gives NaN"
PADDING = "a generated row is all padding, and the reference's output depends on the values in the padding"
BASE = 8  # batches on which the reference is measured against itself in float64, should a second opinion be needed


class Answers:
    """The outputs of each model for one batch; each is run once, when first needed."""

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

    def about(self, batch: Batch) -> Answers:
        """Return the same models for another batch."""
        return Answers(self._sides, batch)


@dataclass(kw_only=True)
class Run:
    """State of one comparison: batches that wait for the scales, finished cases, totals per output, time of the candidate."""

    numbers: tuple[int | None, int]
    reference: Runner | None
    candidate: Runner
    checks: Sequence[Check]
    tolerance: Tolerance
    allow_nan: bool
    signature: Signature | None
    float64: Float64 | None
    recorded_by: Path | None
    progress: Callable[[str], None]
    limits: Limits = field(init=False)
    opinion: Opinion | None = None
    waiting: list[tuple[Batch, Answers]] = field(default_factory=list)
    settled: bool = False
    totals: dict[str, Elementwise] = field(default_factory=dict)
    wrong: set[str] = field(default_factory=set)
    cases: list[CaseResult] = field(default_factory=list)
    seconds: float = 0.0
    stream: Streamed | None = None

    def __post_init__(self) -> None:
        """Start to wait for the scales where the tolerance follows them."""
        self.limits = Limits(tolerance=self.tolerance)
        self._sizes = Sizes(*self._sides)

    @property
    def _sides(self) -> list[Runner]:
        return [side for side in (self.reference, self.candidate) if side is not None]

    def add(self, batch: Batch, answers: Answers) -> None:
        """Judge one batch once the scales are known: from the given samples; from generated ones only where there are none."""
        if not self.settled and batch.origin == "generated" and any(known.origin == "given" for known, _ in self.waiting):
            self._settle()
        if self.settled:
            self._next(batch, answers)
            return
        self.waiting.append((batch, answers))
        expected, _ = answers.of(self.numbers[0])
        if not isinstance(expected, RunnerError):
            self._sizes.add(expected)
        if self.tolerance.atol is not None or self._sizes.full:
            self._settle()

    def _settle(self) -> None:
        """Fix the rules, and judge what waits."""
        self.settled = True
        batches = [batch for batch, _ in self.waiting]
        scales, narrow = self._sizes.scales(), self._sizes.narrow()
        self.limits = Limits(tolerance=self.tolerance, scales=scales, reach=self._reach(batches), narrow=narrow)
        for check in self.checks:
            if isinstance(check, Judging):
                check.use(self.limits)
        if self.float64 is not None:
            first = [(batch, answers.of(self.numbers[0])[0]) for batch, answers in self.waiting[:BASE]]
            self.opinion = Opinion(
                float64=self.float64,
                reference=self.reference or self.recorded_by,
                candidate=self.candidate,
                limits=self.limits,
                allow_nan=self.allow_nan,
                known=[(batch, answer) for batch, answer in first if not isinstance(answer, RunnerError)],
            )
        for batch, answers in self.waiting:
            self._next(batch, answers)
        self.waiting = []

    def _reach(self, batches: Sequence[Batch]) -> Mapping[str, Collection[str]]:
        """Return what each output depends on, where the inputs' types differ in precision and a graph shows it."""
        kinds = {array.dtype for batch in batches for array in batch.inputs.values()}
        floats = [kind for kind in kinds if dtype_by_numpy(str(kind)).is_float]
        path = next((side.info.path for side in self._sides if side.info.path is not None), None)
        return reach(load_proto(path).graph) if len(floats) > 1 and path is not None else {}

    def _next(self, batch: Batch, answers: Answers) -> None:
        """Judge one batch; a part of a file joins the parts before it."""
        if self.stream is not None and self.stream.name != batch.stream:
            self._finish(self.stream.case())
            self.stream = None
        case = self._judge(batch, answers)
        if not batch.stream:
            self._finish(case)
            return
        self.stream = self.stream or Streamed(name=batch.stream, origin=batch.origin)
        self.stream.add(case, batch)
        self.progress(f"{batch.stream}: row {batch.first_row + batch.rows}")

    def _finish(self, case: CaseResult) -> None:
        self.cases.append(case)
        self.progress(f"{case.title}: {case.status}" + (f": {case.reason}" if case.reason else ""))

    def comparison(self, reference_name: str) -> Comparison:
        """Return the record."""
        if not self.settled:
            self._settle()
        if self.stream is not None:
            self._finish(self.stream.case())
            self.stream = None
        totals = [total.result() for total in self.totals.values()]
        return Comparison(
            reference=reference_name if self.reference is None else self.reference.name,
            candidate=self.candidate.name,
            cases=tuple(self.cases),
            outputs=tuple(total if total.name in self.wrong else replace(total, reason="") for total in totals),
            seconds_candidate=self.seconds,
            checks=tuple(self._checked()),
            figures=tuple(figure for check in self.checks for figure in check.figures()),
        )

    def _checked(self) -> Iterator[CheckResult]:
        """Yield what the checks found; where rounding explains an output, the flips of its best class are no failure."""
        opinions = [] if self.opinion is None else self.opinion.results()
        rounded = {result.output for result in opinions} - self.wrong
        for check in self.checks:
            for result in check.results():
                flips = result.name == FLIPS and result.output in rounded and result.status == "failed"
                yield replace(result, status="reported") if flips else result
        yield from opinions
        yield from self._untested()

    def _untested(self) -> Iterator[CheckResult]:
        """Yield what an absolute part that the user gave leaves untested: columns whose numbers are all smaller."""
        atol = self.tolerance.atol or 0.0
        for name, scale in self._sizes.scales().items() if atol else ():
            small = sum(value < atol for value in scale.values)
            if small and name not in self.tolerance.outputs:
                which = f"{small} of {len(scale.values)} columns lie" if len(scale.values) > 1 else "all its numbers lie"
                text = f"{which} below atol {atol:g}: any candidate value of that size is within tolerance there"
                yield CheckResult(name="tolerance", status="reported", output=name, text=text, figures={"columns": small})

    def _judge(self, batch: Batch, answers: Answers) -> CaseResult:
        """Compare the answers of both sides to one batch."""
        expected, _ = answers.of(self.numbers[0])
        if isinstance(expected, RunnerError):
            return self._unanswered(batch, answers, expected)
        made = batch.origin == "generated" and not self.allow_nan
        places = nan_places(expected) if made else {}
        if places and all(mask.all() for mask in places.values()):
            names = ", ".join(f"'{name}'" for name, mask in places.items() if mask.size)
            return self._case(batch, "outside domain", f"the reference gives NaN at output {names}")
        found, seconds = answers.of(self.numbers[1])
        self.seconds += seconds
        if isinstance(found, RunnerError):
            if made and (places or not has_numbers(expected)):
                reason = f"the reference gives NaN or infinity, the candidate has no answer: {first_line(found)}"
                return replace(self._case(batch, "outside domain", reason), refused=True)
            return self._case(batch, "disagrees", f"the reference answers, the candidate does not: {first_line(found)}")
        expected, found = self._aligned(expected, found)
        if places:
            return self._compared(batch, expected, found, places, NAN)
        found = explained(expected, found, self.candidate.info.labels, self.limits, batch.inputs)
        return self._compared(batch, expected, found, {})

    def _unanswered(self, batch: Batch, answers: Answers, error: RunnerError) -> CaseResult:
        """Compare those rows of a generated batch that the reference answers, where rows can be given alone."""
        reason = f"the reference has no answer: {first_line(error)}"
        if batch.origin != "generated" or self.reference is None:
            return self._case(batch, "disagrees", reason)
        kept = None if why_not_batched(self.reference.signature) else answered_rows(self.reference, batch)
        again = None if kept is None else answers.about(kept)
        if kept is None or again is None or isinstance(again.of(self.numbers[0])[0], RunnerError):
            return self._case(batch, "outside domain", reason)
        rest = f"to {batch.rows - kept.rows} of {batch.rows} rows {reason}"
        return _also(self._judge(kept, again), rest)

    def _compared(
        self, batch: Batch, expected: Arrays, found: Arrays, places: Mapping[str, Array], why: str = ""
    ) -> CaseResult:
        """Compare two answers without the elements at some places."""
        expected, found = masked(expected, found, places)
        names = [*expected, *(extra for extra in found if extra not in expected)]
        singles = {name: self._single(name, expected, found, batch, places.get(name)) for name in names}
        results = {name: single.result() for name, single in singles.items()}
        bad = [name for name, result in results.items() if not result.equal]
        heard = Heard() if not bad or self.opinion is None else self.opinion.heard(bad, batch, expected, found)
        if heard.undefined and heard.right == set(bad):
            return self._compared(batch, expected, found, heard.undefined, PADDING)
        if why != NAN:
            for check in self.checks:
                check.update(expected, found, batch)
        for name, single in singles.items():
            self.totals.setdefault(name, self._elementwise(name, single.dtype, batch)).merge(single)
            reason = "" if name in heard.right else self._hinted(results[name], expected, found, batch)
            results[name] = replace(results[name], reason=reason)
        wrong = [result for result in results.values() if not result.equal]
        self.wrong |= {result.name for result in wrong}
        reason = "; ".join(f"output '{result.name}': {result.reason}" for result in wrong[:1]) + _others(wrong)
        if not results:
            reason = "neither model has any output"
        case = self._case(batch, "disagrees" if reason else "equal", reason, tuple(results.values()))
        case = _also(case, heard.why)
        left_out = sum(int(mask.sum()) for mask in places.values())
        return _also(case, f"not compared: {left_out:,} elements, where {why}") if left_out else case

    def _single(self, name: str, expected: Arrays, found: Arrays, batch: Batch, places: Array | None) -> Elementwise:
        single = self._elementwise(name, str((expected if name in expected else found)[name].dtype), batch)
        if name not in found:
            single.reject(f"the candidate has no such output; it has: {', '.join(found) or 'none'}")
        elif name not in expected:
            single.reject(f"the reference has no such output; it has: {', '.join(expected) or 'none'}")
        else:
            single.update(expected[name], found[name], case=batch.name, left_out=0 if places is None else int(places.sum()))
        return single

    def _elementwise(self, name: str, dtype: str, batch: Batch, *, allow_nan: bool | None = None) -> Elementwise:
        return Elementwise(
            name,
            dtype,
            tolerance=self.tolerance,
            allow_nan=self.allow_nan if allow_nan is None else allow_nan,
            inputs=self.limits.kinds(name, batch.inputs),
            scale=self.limits.scales.get(name),
        )

    def _aligned(self, expected: Arrays, found: Arrays) -> tuple[Arrays, Arrays]:
        """Take [1] for a scalar where a side has no scalars: a live endpoint without batching."""
        if all(side.info.scalars for side in self._sides):
            return expected, found
        pairs = {name: {expected[name].shape, found[name].shape} for name in expected if name in found}
        scalars = [name for name, shapes in pairs.items() if shapes == {(), (1,)}]
        return _scalars(expected, scalars), _scalars(found, scalars)

    def _hinted(self, result: OutputResult, expected: Arrays, found: Arrays, batch: Batch) -> str:
        """Return the reason; with it the name of another output of the candidate that holds the values that this one should."""
        if result.equal or result.name not in expected:
            return result.reason
        for other, array in found.items():
            if other != result.name and self._same(result.name, expected[result.name], array, batch):
                word = "swapped with" if other in expected else "renamed to"
                return f"{result.reason}; looks {word} '{other}'"
        return result.reason

    def _same(self, name: str, reference: Array, candidate: Array, batch: Batch) -> bool:
        if not reference.size or reference.shape != candidate.shape:
            return False
        single = self._elementwise(name, str(reference.dtype), batch, allow_nan=True)
        single.update(reference, candidate)
        return single.result().equal

    def _case(self, batch: Batch, status: CaseStatus, reason: str, outputs: tuple[OutputResult, ...] = ()) -> CaseResult:
        return CaseResult(
            name=batch.name, origin=batch.origin, sizes=self._lengths(batch), status=status, reason=reason, outputs=outputs
        )

    def _lengths(self, batch: Batch) -> dict[str, int]:
        """Read the axis lengths with the first signature that names any; empty where none fits."""
        known = [
            _read(signature, batch.inputs) for signature in (self.signature, *(s.signature for s in self._sides)) if signature
        ]
        return next((sizes for sizes in known if sizes), {})


def _scalars(arrays: Arrays, names: Sequence[str]) -> Arrays:
    return {name: array.reshape(()) if name in names else array for name, array in arrays.items()}


def _read(signature: Signature, inputs: Mapping[str, Array]) -> dict[str, int]:
    try:
        return signature.sizes(shapes_of(inputs))
    except UsageError:
        return {}


def _also(case: CaseResult, more: str) -> CaseResult:
    """Return a case with one more note."""
    return replace(case, reason="; ".join(filter(None, [case.reason, more])))


def _others(bad: list[OutputResult]) -> str:
    rest = len(bad) - 1
    return f" (and {rest} more output{'s' * (rest != 1)})" if rest > 0 else ""
