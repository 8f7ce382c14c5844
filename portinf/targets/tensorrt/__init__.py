"""Folders from which a site builds, checks and serves a TensorRT engine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portinf.core.needs import EXTRAS, Check, advice, wrong
from portinf.targets import Target, TargetResult

if TYPE_CHECKING:
    from portinf.triton.inspection import Inspection

__all__ = ["TARGET"]


class TensorrtTarget(Target):
    """Writes a folder, whose engine only a server with its GPU runs; see `portinf.targets.Target`."""

    names = ("tensorrt",)
    options = "portinf.cli.targets.tensorrt"

    def optimize(self, model: str, out: Path, options: Any, **given: Any) -> TargetResult:
        """Write the folder; see `portinf.targets.tensorrt.optimize.optimize_tensorrt`."""
        from portinf.targets.tensorrt.optimize import optimize_tensorrt

        return optimize_tensorrt(Path(model), out, options, **given)

    def recognizes(self, folder: Path) -> bool:
        """Say whether it wrote a folder."""
        from portinf.targets.tensorrt.engine import is_site

        return is_site(folder)

    def holds(self, version: Path) -> str:
        """Say what became of the engine of a version's folder."""
        from portinf.targets.tensorrt.engine import engine_of

        state = engine_of(version)
        return f"a TensorRT engine ({state})" if state else ""

    def inspect(self, folder: Path) -> Inspection:
        """Describe the model, and what became of its engine."""
        from portinf.targets.tensorrt.engine import engine_text
        from portinf.triton.inspection import describe_file

        engine = engine_text(folder)
        return replace(describe_file(self.model(folder)), data={"engine": engine}, lines={"engine": engine})

    def doctor(self) -> Iterator[Check]:
        """Say what of it works here: writing the folder always does."""
        trtexec = shutil.which("trtexec")
        reason = next((reason for need in EXTRAS["trt-check"] if (reason := wrong(need))), "")
        builds = f"builds here: {trtexec}" if trtexec else "trtexec is not on PATH: build where the GPU is"
        check = f"--check-with rtx: {advice([reason], 'trt-check')}" if reason else "--check-with rtx works"
        yield Check(group="target", name=self.name, works=True, detail=f"writes the folder; {builds}; {check}")


TARGET = TensorrtTarget()
