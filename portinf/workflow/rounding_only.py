"""Cases in which two files differ because both round: held against the original in float64."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from portinf.errors import PortinfError
from portinf.runners.onnx_double import OnnxDouble
from portinf.runners.protocol import Runner
from portinf.samples import Batch
from portinf.validation import CaseResult, CheckResult, Hop, OutputResult
from portinf.validation.precision import Precision

__all__ = ["Rounding"]


class Rounding:
    """Judges generated cases that a reassociated file fails; a context manager.

    A sum over ten thousand messages of one sign is off by more than any tolerance for single numbers, in the original too. In
    such a case a file is right where it is no further from the original in float64 than rounding explains: see
    `portinf.validation.precision.Precision`. The user's own samples are never excused.

    Args:
        original: the ONNX file; it is doubled when the first case is asked for.
    """

    def __init__(self, original: Path) -> None:
        self._original = original
        self._stack = ExitStack()
        self._truth: OnnxDouble | None = None
        self._without = False

    def excused(self, hop: Hop, batches: Sequence[Batch], reference: Runner, candidate: Runner) -> Hop:
        """Return a hop with the cases that rounding explains counted as equal, and a check that says so for each.

        Args:
            hop: of these two sides.
            batches: one for each case.
            reference: the original in its own precision.
            candidate: what is judged.
        """
        if len(batches) != len(hop.cases):
            return hop
        cases: list[CaseResult] = []
        said: list[CheckResult] = []
        for case, batch in zip(hop.cases, batches, strict=True):
            found = self._explained(case, batch, reference, candidate) if case.status == "disagrees" else []
            said += found
            cases.append(replace(case, status="equal", reason="", outputs=_cleared(case)) if found else case)
        if not said or any(case.status == "disagrees" for case in cases):
            return hop
        outputs = tuple(replace(output, reason="") for output in hop.outputs)
        return replace(hop, cases=tuple(cases), outputs=outputs, checks=(*hop.checks, *said))

    def _explained(self, case: CaseResult, batch: Batch, reference: Runner, candidate: Runner) -> list[CheckResult]:
        """Return one passed check for each output that is out of tolerance; nothing where any of them is not explained."""
        bad = {output.name for output in case.outputs if not output.equal}
        truth = self._opened() if case.origin == "generated" and bad else None
        if truth is None:
            return []
        check = Precision(truth)
        try:
            check.update(reference.infer(batch.inputs), candidate.infer(batch.inputs), batch)
        except PortinfError:
            return []
        found = [result for result in check.results() if result.output in bad]
        right = {result.output for result in found if result.status == "passed"} == bad
        return found if right else []

    def _opened(self) -> OnnxDouble | None:
        if self._truth is None and not self._without:
            try:
                self._truth = self._stack.enter_context(OnnxDouble(self._original))
            except PortinfError:
                self._without = True
        return self._truth

    def __enter__(self) -> Rounding:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _cleared(case: CaseResult) -> tuple[OutputResult, ...]:
    return tuple(replace(output, reason="") for output in case.outputs)
