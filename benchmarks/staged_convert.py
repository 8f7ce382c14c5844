"""Converts as ``portinf convert`` does and prints the CPU seconds of each stage as JSON.

Run by `benchmarks/conversion.py`: ``python benchmarks/staged_convert.py MODEL SAMPLE.npz OUT.onnx given|all NAME:AXIS=LABEL ...``.
With ``given`` the model is compared at the size of the sample alone: that is what exporting with a check costs, and no way to
convert, so the command has no option for it.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

# so that `python benchmarks/staged_convert.py` works from any folder
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.processes import family_cpu

__all__ = ["Stages", "stage_of"]

MODELS = Path(__file__).parent / "conversion_models.py"


def stage_of(line: str) -> str:
    """Return the name of the stage that a line of progress announces: its words before any detail."""
    first = line.partition(" ")[0]
    return first if first in ("loading", "writing") else re.split(r"[:\d]", line)[0].strip()


class Stages:
    """CPU seconds of this process and its children by stage, from the lines of progress."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stage, self._since = "starting", 0.0

    def begin(self, line: str) -> None:
        """End the stage before, and begin the one that a line of progress announces."""
        now = family_cpu(os.getpid())
        self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage_of(line), now


def main() -> None:
    """Read the command line, convert, print."""
    stages = Stages()
    from portinf.conversion.convert import ConvertOptions, convert
    from portinf.conversion.options import SourcingOptions
    from portinf.samples.case_set import CaseSet

    model, sample, out, sizes, *axes = sys.argv[1:]
    if sizes == "given":
        CaseSet.generated = lambda _: iter(())  # type: ignore[method-assign]
    dynamic = {}
    for text in axes:
        place, _, label = text.partition("=")
        name, _, axis = place.rpartition(":")
        dynamic[name, int(axis)] = label
    options = ConvertOptions(sourcing=SourcingOptions(inputs=[Path(sample)], dynamic=dynamic))
    result = convert(f"{MODELS}:{model}", Path(out), options, stages.begin)
    stages.begin("")
    cases = [case.origin for case in result.comparison.cases]
    if (sizes == "given") != (cases == ["given"]):
        raise SystemExit(f"expected the cases of '{sizes}', found {cases}: update benchmarks/staged_convert.py")
    print(json.dumps({"stages": stages.seconds, "cases": len(cases)}))


if __name__ == "__main__":
    main()
