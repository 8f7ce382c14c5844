"""Offers the routes from a TorchScript module to ONNX: its graph as an exported program, then the TorchScript exporter."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from portinf.converters.pytorch.export import example, export_dynamo, export_torchscript, missing_onnxscript
from portinf.core.optional import require
from portinf.sources.model import Source
from portinf.sources.routes import ExportOptions, Route

__all__ = ["routes"]


def routes(source: Source, options: ExportOptions) -> Iterable[Route]:
    """Yield the routes of a scripted or traced module, in order of trust.

    Args:
        source: holds the ScriptModule in evaluation mode.
        options: signature under the model's own names, an example batch, the opset.
    """
    missing = missing_onnxscript()
    yield Route(
        name="TorchScript to torch.export, torch.onnx dynamo",
        export=None if missing else lambda folder: _program(source, options, folder),
        reason=missing,
    )
    yield Route(
        name="torch.onnx TorchScript",
        export=lambda folder: export_torchscript(_positional(source, options), example(options), options, folder),
    )


def _positional(source: Source, options: ExportOptions) -> Any:
    """Script a module around the model: inputs by position, outputs as a flat tuple in the model's order."""
    torch = require("torch", "torch")
    specs = options.signature.inputs
    with torch.no_grad():
        answer = source.model(**dict(zip([spec.name for spec in specs], example(options), strict=True)))
    leaves = _leaves(answer, "answer")
    given = "".join(f", in_{k}: Tensor" for k in range(len(specs)))
    passed = ", ".join(f"{spec.name}=in_{k}" for k, spec in enumerate(specs))
    script: Any = torch.jit.ScriptModule

    class Positional(script):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = source.model
            returned = f"({', '.join(leaves)}{',' * (len(leaves) == 1)})"
            self.define(f"def forward(self{given}):\n  answer = self.model({passed})\n  return {returned}\n")

    return Positional().eval()


def _leaves(value: Any, path: str) -> list[str]:
    """Return how each tensor of an answer is reached, in the order in which sources flatten it."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in _leaves(item, f"{path}[{key!r}]")]
    if isinstance(value, list | tuple):
        return [leaf for number, item in enumerate(value) for leaf in _leaves(item, f"{path}[{number}]")]
    return [path]


def _program(source: Source, options: ExportOptions, folder: Path) -> Path:
    converter: Any = require("torch._export.converter", "torch").TS2EPConverter
    return export_dynamo(lambda: converter(_positional(source, options), example(options)).convert(), options, folder)
