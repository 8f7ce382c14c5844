"""ONNX files that compute the same in less time in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from portinf.core.needs import BASE, Check, wrong
from portinf.targets import Target, TargetResult

__all__ = ["TARGET"]


class OnnxRuntimeTarget(Target):
    """Writes one file; see `portinf.targets.Target`."""

    names = ("onnxruntime",)
    options = "portinf.cli.targets.onnxruntime"

    def optimize(self, model: str, out: Path, options: Any, **given: Any) -> TargetResult:
        """Try rewritings and keep those that compute the same; or search for the fastest setting."""
        from portinf.targets.onnxruntime.optimize import optimize
        from portinf.targets.onnxruntime.search import PRECISIONS, search
        from portinf.targets.onnxruntime.search_report import FORMATS, write_search
        from portinf.validation.reports.write import check_report_path

        given |= {"threads": options.threads, "physics": options.physics}
        if not options.search:
            return optimize(Path(model), out, precision=options.precision, **given)
        if options.report is not None:
            check_report_path(options.report, FORMATS)
        result = search(Path(model), out, precisions=[options.precision] if options.precision else PRECISIONS, **given)
        if options.report is not None:
            write_search(options.report, Path(model), result)
        return result

    def doctor(self) -> Iterator[Check]:
        """Say whether ONNX Runtime is installed."""
        reason = next((reason for need in BASE if need.module == "onnxruntime" and (reason := wrong(need))), "")
        yield Check(group="target", name=self.name, works=not reason, detail=reason or "on the CPU")


TARGET = OnnxRuntimeTarget()
