"""Offers the routes from an ``nn.Module`` to ONNX: the dynamo exporter first, the TorchScript exporter last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from portinf.converters.pytorch_export import example, export_dynamo, export_torchscript, missing_onnxscript
from portinf.lazy import require
from portinf.routes import ExportOptions, Route
from portinf.sources import dense_knn
from portinf.sources.model import Source, flatten_outputs

__all__ = ["routes"]


def routes(source: Source, options: ExportOptions) -> Iterable[Route]:
    """Yield the routes of a module, in order of trust.

    Args:
        source: holds the module in evaluation mode.
        options: signature under the model's own names, an example batch, the opset.
    """
    missing = missing_onnxscript()
    yield Route(
        name="torch.onnx dynamo", export=None if missing else lambda f: _dynamo(source, options, f, auto=False), reason=missing
    )
    if any(spec.labels for spec in options.signature.inputs):
        yield Route(
            name="torch.onnx dynamo, sizes inferred",
            export=None if missing else lambda f: _dynamo(source, options, f, auto=True),
            reason=missing,
        )
    yield Route(name="torch.onnx TorchScript", export=lambda f: _torchscript(source, options, f))


def _positional(source: Source, names: Sequence[str]) -> Any:
    """Wrap the module: inputs by position in the signature's order, outputs as a flat tuple in the model's order."""
    torch = require("torch", "torch")
    module: Any = torch.nn.Module

    class Positional(module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = source.model

        def forward(self, *tensors: Any) -> tuple[Any, ...]:
            answer = self.model(**dict(zip(names, tensors, strict=True)))
            return tuple(flatten_outputs(answer, is_leaf=torch.Tensor).values())

    return Positional().eval()


def _dynamo(source: Source, options: ExportOptions, folder: Path, *, auto: bool) -> Path:
    torch = require("torch", "torch")
    specs = options.signature.inputs
    dims: dict[str, Any] = {}
    for label, axis in options.signature.axes.items():
        dims[label] = torch.export.Dim.AUTO if auto else torch.export.Dim(f"s{len(dims)}", min=axis.minimum)
    shapes = tuple(
        {number: dims[axis.label] for number, axis in enumerate(spec.shape or ()) if axis.label is not None} for spec in specs
    )
    module = _positional(source, [spec.name for spec in specs])
    path = export_dynamo(module, example(options), options, folder, dynamic_shapes=(shapes,) if any(shapes) else None)
    dense_knn.tell(source.notes)
    return path


def _torchscript(source: Source, options: ExportOptions, folder: Path) -> Path:
    module = _positional(source, [spec.name for spec in options.signature.inputs])
    return export_torchscript(module, example(options), options, folder)
