"""The result of a comparison: records of one output, one case and one comparison, from which reports are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from portinf.validation.check import CheckResult, Figure
from portinf.validation.scale import COLUMNS, Scale
from portinf.validation.tally import Tally, plus

__all__ = ["CaseResult", "CaseStatus", "Comparison", "OutputResult", "Verdict", "sizes_text"]

CaseStatus = Literal["equal", "disagrees", "outside domain"]
Verdict = Literal["equal", "disagrees"]


def sizes_text(sizes: Mapping[str, int]) -> str:
    """Show axis lengths, for example ``nodes=50, edges=300``."""
    return ", ".join(f"{label}={n}" for label, n in sizes.items())


@dataclass(frozen=True, kw_only=True)
class OutputResult:
    """One output, in one case or over all cases of a comparison.

    Attributes:
        name: of the output.
        dtype: numpy type name of the reference.
        rtol, atol: bounds that were applied; 0 where values must be equal.
        tally: counts and extremes of what could be compared.
        reason: why it disagrees; empty where it does not.
        scale: by which atol was multiplied, by column; None for 1.
    """

    name: str
    dtype: str
    rtol: float
    atol: float
    tally: Tally
    reason: str = ""
    scale: Scale | None = None

    @property
    def equal(self) -> bool:
        """Whether nothing is out of tolerance."""
        return not self.reason

    def plus(self, other: OutputResult) -> OutputResult:
        """Return the record of both parts of one output; of two reasons the first one stays."""
        return replace(self, tally=plus(self.tally, other.tally), reason=self.reason or other.reason)

    def to_json(self, *, scaled: bool = True) -> dict[str, Any]:
        """Return plain data for JSON; the scales of more than 1024 columns are those of the first.

        Args:
            scaled: with the scales; each case has the same ones.
        """
        head: dict[str, Any] = {
            "name": self.name,
            "dtype": self.dtype,
            "rtol": self.rtol,
            "atol": self.atol,
            "reason": self.reason,
        }
        if scaled:
            scale = self.scale
            head["scale"] = scale and {"axes": list(scale.axes), "values": list(scale.values[:COLUMNS])}
        return {**head, **self.tally.to_json()}


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """One batch of inputs that both sides were given.

    Attributes:
        name: of the batch.
        origin: ``given`` or ``generated``.
        sizes: lengths of the dynamic axes by label.
        status: ``outside domain`` where the reference itself has no answer to generated inputs.
        reason: why it is not equal, or which part of it was not compared.
        outputs: by output, in the order of the reference.
        refused: the candidate has no answer, and the reference nothing but NaN and infinities in part or in all of its own.
        bad_from: of a file that is read in parts, the first row of the first part that disagrees; None where none does.
    """

    name: str
    origin: str
    sizes: Mapping[str, int]
    status: CaseStatus
    reason: str = ""
    outputs: tuple[OutputResult, ...] = ()
    refused: bool = False
    bad_from: int | None = None

    @property
    def title(self) -> str:
        """Name with the sizes, unless the name says them already."""
        sizes = sizes_text(self.sizes)
        return self.name if sizes in self.name else f"{self.name} ({sizes})"

    @property
    def max_abs(self) -> float:
        """Largest difference of any output."""
        return max((output.tally.max_abs for output in self.outputs), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "name": self.name,
            "origin": self.origin,
            "sizes": dict(self.sizes),
            "status": self.status,
            "reason": self.reason,
            "outputs": [output.to_json(scaled=False) for output in self.outputs],
        }


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One comparison: two sides, all cases.

    Attributes:
        reference, candidate: how reports call the two sides.
        cases: in the order they were run.
        outputs: over all cases that were compared.
        seconds_candidate: wall time that the candidate took to answer all cases.
        checks: in addition to single elements.
        figures: what a report draws.
    """

    reference: str
    candidate: str
    cases: tuple[CaseResult, ...]
    outputs: tuple[OutputResult, ...] = field(default=())
    seconds_candidate: float = 0.0
    checks: tuple[CheckResult, ...] = ()
    figures: tuple[Figure, ...] = ()

    def count(self, status: CaseStatus) -> int:
        """Return the number of cases of one status."""
        return sum(case.status == status for case in self.cases)

    @property
    def verdict(self) -> Verdict:
        """``equal`` only if at least one case was compared, none disagrees and no check failed."""
        return "equal" if self.count("equal") and not self.count("disagrees") and not self.failed else "disagrees"

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.status == "failed")

    @property
    def reason(self) -> str:
        """Why the verdict is not ``equal``: the first failing case, then the failed checks; empty where it is."""
        bad = next((case for case in self.cases if case.status == "disagrees"), None)
        reasons = [] if bad is None else [f"{bad.title}: {bad.reason}"]
        reasons += [
            f"{check.name}{f' of output {check.output!r}' if check.output else ''}: {check.text}" for check in self.failed
        ]
        if reasons:
            return "; ".join(reasons)
        if self.count("equal"):
            return ""
        outside = [case for case in self.cases if case.status == "outside domain"]
        if not outside:
            return "nothing was compared: there were no samples; give some with --inputs"
        return f"nothing was compared: all {len(outside)} cases are outside the reference's domain; first: " + _told(outside[0])

    def summary(self) -> str:
        """Return one line: the counts and the largest error, or the first failing case."""
        if self.verdict == "disagrees":
            return f"{self._counts()}; {self.reason}" if self.count("equal") else self.reason
        return f"{self._counts()}, {self._largest()}"

    def _counts(self) -> str:
        total = len(self.cases)
        if self.count("disagrees"):
            return f"{self.count('disagrees')} of {total} cases disagree"
        outside = self.count("outside domain")
        equal = self.count("equal")
        return f"{equal} case{'s' * (equal != 1)} equal" + (f", {outside} outside domain" if outside else "")

    def _largest(self) -> str:
        pairs = [(case, output) for case in self.cases if case.status == "equal" for output in case.outputs]
        pairs = [pair for pair in pairs if pair[1].tally.max_abs > 0]
        if not pairs:
            return "no difference at all"
        case, output = max(pairs, key=lambda pair: pair[1].tally.max_abs)
        where = f" ({sizes_text(case.sizes)})" if case.sizes else f" ({case.name})"
        return f"largest error {output.tally.max_abs:.2g} at output '{output.name}'{where}"

    def plus(self, other: Comparison) -> Comparison:
        """Return the record of both parts of one comparison."""
        outputs = {output.name: output for output in self.outputs}
        for output in other.outputs:
            outputs[output.name] = outputs[output.name].plus(output) if output.name in outputs else output
        seconds = self.seconds_candidate + other.seconds_candidate
        return replace(self, cases=(*self.cases, *other.cases), outputs=tuple(outputs.values()), seconds_candidate=seconds)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "reference": self.reference,
            "candidate": self.candidate,
            "verdict": self.verdict,
            "summary": self.summary(),
            "seconds_candidate": round(self.seconds_candidate, 6),
            "outputs": [output.to_json() for output in self.outputs],
            "checks": [check.to_json() for check in self.checks],
            "figures": [figure.to_json() for figure in self.figures],
            "cases": [case.to_json() for case in self.cases],
        }


def _told(case: CaseResult) -> str:
    return f"{case.title}: {case.reason}"
