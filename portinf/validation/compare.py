"""Two sides and a stream of batches -> the record of one hop, holding one batch at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from portinf.errors import RunnerError, UsageError, first_line
from portinf.runners.protocol import Runner
from portinf.samples import Array, Arrays, Batch, shapes_of
from portinf.signature import Signature, dtype_by_numpy
from portinf.validation.elementwise import Elementwise
from portinf.validation.results import CaseResult, CaseStatus, Hop, OutputResult
from portinf.validation.tolerance import Tolerance

__all__ = ["RECORDED", "compare"]

RECORDED = "recorded outputs"


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
) -> Hop:
    """Give both sides the same inputs and hold every output of the candidate against the reference's output of that name.

    A NaN fails on either side unless ``allow_nan`` says that it is an answer like any other; then it must stand at the
    same places. Generated inputs to which the reference itself answers NaN, or nothing, are reported as outside its domain:
    they neither pass nor fail.

    Args:
        reference: answers first; None takes each batch's recorded outputs.
        candidate: is judged.
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
    run = _Run(reference=reference, candidate=candidate, tolerance=tolerance, allow_nan=allow_nan, signature=signature)
    cases = []
    for batch in batches:
        case = run.judge(batch)
        cases.append(case)
        if progress is not None:
            progress(f"{case.title}: {case.status}" + (f": {case.reason}" if case.reason else ""))
    return Hop(
        reference=reference_name if reference is None else reference.name,
        candidate=candidate.name,
        cases=tuple(cases),
        outputs=tuple(total.result() for total in run.totals.values()),
        seconds_candidate=run.seconds,
    )


@dataclass(kw_only=True)
class _Run:
    """State of one comparison: totals per output and the time that the candidate took."""

    reference: Runner | None
    candidate: Runner
    tolerance: Tolerance
    allow_nan: bool
    signature: Signature | None
    totals: dict[str, Elementwise] = field(default_factory=dict)
    seconds: float = 0.0

    def judge(self, batch: Batch) -> CaseResult:
        """Run one batch on both sides and compare."""
        try:
            expected = self._expected(batch)
        except RunnerError as error:
            status: CaseStatus = "outside domain" if batch.origin == "generated" else "disagrees"
            return self._case(batch, status, f"the reference has no answer: {first_line(error)}")
        missing = _nan_outputs(expected)
        if missing and batch.origin == "generated" and not self.allow_nan:
            return self._case(batch, "outside domain", f"the reference gives NaN at output {', '.join(missing)}")
        try:
            found = self._timed(batch)
        except RunnerError as error:
            return self._case(batch, "disagrees", f"the reference answers, the candidate does not: {first_line(error)}")
        return self._compared(batch, expected, found)

    def _expected(self, batch: Batch) -> Arrays:
        if self.reference is not None:
            return self.reference.infer(batch.inputs)
        if batch.expected is None:
            raise UsageError(f"{batch.name}: it has no recorded outputs to compare with; give a reference that can run")
        return batch.expected

    def _timed(self, batch: Batch) -> Arrays:
        start = time.perf_counter()
        try:
            return self.candidate.infer(batch.inputs)
        finally:
            self.seconds += time.perf_counter() - start

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
            single.update(*self._aligned(expected[name], found[name]), case=batch.name)
        return single

    def _aligned(self, expected: Array, found: Array) -> tuple[Array, Array]:
        """Take [1] for a scalar where a side has no scalars: a live endpoint without batching."""
        without = any(not getattr(side, "carries_scalars", True) for side in (self.reference, self.candidate))
        if without and {expected.shape, found.shape} == {(), (1,)}:
            return expected.reshape(()), found.reshape(())
        return expected, found

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
