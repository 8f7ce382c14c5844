"""Rewrites a model for a target; what is written computes the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from portinf.core.progress import Progress, quiet
from portinf.locate.resolve import take
from portinf.samples import StreamOptions
from portinf.targets import TargetResult, find_target
from portinf.validation import Tolerance

__all__ = ["optimize"]


def optimize(
    model: str | Path,
    out: Path,
    target: str,
    options: Any,
    *,
    inputs: Sequence[Path] = (),
    streams: StreamOptions | None = None,
    tolerance: Tolerance | None = None,
    progress: Progress = quiet,
) -> TargetResult:
    """Write a file or a folder for a target.

    Args:
        model: an ONNX file or a packaged model; for ``hls4ml`` also a source.
        out: the file to write; for ``tensorrt`` and ``hls4ml`` the folder.
        target: ``onnxruntime``, ``tensorrt`` or ``hls4ml``.
        options: its record: `OnnxruntimeOptions`, `TensorrtOptions` or `FpgaOptions`.
        inputs: files with samples.
        streams: how the files' columns become inputs.
        tolerance: when two numbers are equal; None for the default of the target.
        progress: called with one line per step.

    Raises:
        UsageError: there is no such target, or an option or a sample does not fit.
        CannotError: the target does not take the model.
        DisagreementError: the result computes something else; nothing is written.
    """
    chosen = find_target(target)
    ref = take(str(model), "optimize", chosen)
    given = {"inputs": inputs, "streams": streams or StreamOptions(), "tolerance": tolerance or Tolerance()}
    return chosen.optimize(str(ref.model or model), out, options, **given, progress=progress)
