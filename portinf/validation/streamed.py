"""The parts of one file -> one case."""

from __future__ import annotations

from dataclasses import dataclass, field

from portinf.core.batch import Batch
from portinf.validation.results import CaseResult, OutputResult

__all__ = ["Streamed"]


@dataclass(kw_only=True)
class Streamed:
    """The parts of one file so far, as one case: added up where they are equal, the first bad part named."""

    name: str
    origin: str
    rows: int = 0
    bad: int = 0
    parts: int = 0
    reason: str = ""
    bad_from: int | None = None
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
            if self.bad_from is None:
                self.bad_from, self.reason = batch.first_row, f"{rows}: {case.reason}"

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
            bad_from=self.bad_from,
        )
