"""Whether the parameters of a reference have the requested precision."""

from __future__ import annotations

from typing import Literal

from portinf.conversion.open_source import OpenedSource
from portinf.onnx_graph.model_file import load_proto
from portinf.sources.model import half_notes
from portinf.validation.check import CheckResult
from portinf.validation.side import Side

__all__ = ["ReferencePrecision", "held_precision"]

ReferencePrecision = Literal["fp32", "fp64"]
_ONNX_HALVES = {10: "float16", 16: "bfloat16"}


def held_precision(side: Side, source: OpenedSource | None) -> CheckResult:
    """Say whether a reference has its parameters at least in fp32."""
    notes = half_notes(_dtypes(side, source))
    name = "reference precision"
    if notes:
        text = f"--reference-precision fp32: {side.name}: {notes[0]}; give the model with float32 parameters"
        return CheckResult(name=name, status="failed", text=text)
    known = (source is not None and source.process.dtypes) or side.onnx is not None
    text = (
        "no parameter of the reference has lower precision than fp32"
        if known
        else "the types of the reference's parameters are unknown"
    )
    return CheckResult(name=name, status="passed" if known else "not applicable", text=text)


def _dtypes(side: Side, source: OpenedSource | None) -> dict[str, int]:
    if source is not None:
        return source.process.dtypes
    if side.onnx is None:
        return {}
    counts: dict[str, int] = {}
    for tensor in load_proto(side.onnx).graph.initializer:
        name = _ONNX_HALVES.get(tensor.data_type, "float32" if tensor.data_type == 1 else "")
        if name:
            counts[name] = counts.get(name, 0) + 1
    return counts
