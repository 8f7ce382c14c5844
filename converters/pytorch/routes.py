"""Offers the routes from an ``nn.Module`` to ONNX: the dynamo exporter first, the TorchScript exporter last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from portinf.converters.python_branches import branches_on_sizes
from portinf.converters.pytorch.export import captured, example, export_dynamo, export_torchscript, missing_onnxscript
from portinf.core.optional import require
from portinf.sources.model import Source, flatten_outputs
from portinf.sources.pytorch import dense_knn
from portinf.sources.routes import ExportOptions, Route

__all__ = ["routes"]


def routes(source: Source, options: ExportOptions) -> Iterable[Route]:
    """Yield the routes of a module, in order of trust.

    Args:
        source: holds the module in evaluation mode.
        options: signature under the model's own names, an example batch, the opset.
    """
    missing = missing_onnxscript()
    dynamic = any(spec.labels for spec in options.signature.inputs)
    ways = [("torch.onnx dynamo", False, False), *[("torch.onnx dynamo, sizes inferred", True, False)] * dynamic]
    for name, auto, strict in (*ways, ("torch.onnx dynamo, strict", True, True)):
        export = partial(_dynamo, source, options, auto=auto, strict=strict)
        yield Route(name=name, export=None if missing else export, reason=missing)
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


def _dynamo(source: Source, options: ExportOptions, folder: Path, *, auto: bool, strict: bool) -> Path:
    torch = require("torch", "torch")
    specs = options.signature.inputs
    dims: dict[str, Any] = {}
    for label, axis in options.signature.axes.items():
        declared = torch.export.Dim(f"s{len(dims)}", min=axis.minimum, max=axis.maximum)
        dims[label] = torch.export.Dim.AUTO if auto else declared
    axes = tuple({number: dims[axis.label] for number, axis in enumerate(spec.shape or ()) if axis.label} for spec in specs)
    module = _positional(source, [spec.name for spec in specs])
    shapes = (axes,) if any(axes) else None
    parts = list(source.model.modules())
    path = export_dynamo(lambda: captured(module, example(options), shapes, strict=strict), options, folder, parts=parts)
    dense_knn.tell(source.notes)
    return path


def _torchscript(source: Source, options: ExportOptions, folder: Path) -> Path:
    module = _positional(source, [spec.name for spec in options.signature.inputs])
    options.assumed.extend(branches_on_sizes(source.model.modules(), options, always=True))
    return export_torchscript(module, example(options), options, folder)
