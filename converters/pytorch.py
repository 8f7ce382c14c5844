"""Offers the routes from an ``nn.Module`` to ONNX: the dynamo exporter first, the TorchScript exporter last."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from portinf.lazy import require
from portinf.routes import ExportOptions, Route
from portinf.samples import load_npz
from portinf.sources.model import Source, flatten_outputs

__all__ = ["routes"]

SMALL = 1_500_000_000  # bytes of parameters up to which one file without external data is safe (protobuf's limit is 2 GiB)


def routes(source: Source, options: ExportOptions) -> Iterable[Route]:
    """Yield the routes of a module, in order of trust.

    Args:
        source: holds the module in evaluation mode.
        options: signature under the model's own names, an example batch, the opset.
    """
    missing = _missing()
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


def _missing() -> str | None:
    from portinf.lazy import available

    return None if available("onnxscript") else "the package 'onnxscript' is not installed; pip install 'portinf[torch]'"


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


def _example(options: ExportOptions) -> tuple[Any, ...]:
    torch = require("torch", "torch")
    arrays = load_npz(options.example).inputs
    return tuple(torch.from_numpy(arrays[spec.name].copy()) for spec in options.signature.inputs)


def _size(module: Any) -> int:
    tensors = [*module.parameters(), *module.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _quiet() -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)


def _dynamo(source: Source, options: ExportOptions, folder: Path, *, auto: bool) -> Path:
    torch = require("torch", "torch")
    specs = options.signature.inputs
    dims: dict[str, Any] = {}
    for label, axis in options.signature.axes.items():
        dims[label] = torch.export.Dim.AUTO if auto else torch.export.Dim(f"s{len(dims)}", min=axis.minimum)
    shapes = tuple(
        {number: dims[axis.label] for number, axis in enumerate(spec.shape or ()) if axis.label is not None} for spec in specs
    )
    _quiet()
    path = folder / "model.onnx"
    torch.onnx.export(
        _positional(source, [spec.name for spec in specs]),
        _example(options),
        str(path),
        dynamo=True,
        dynamic_shapes=(shapes,) if any(shapes) else None,
        input_names=[f"in_{k}" for k in range(len(specs))],
        opset_version=options.opset,
        external_data=_size(source.model) > SMALL,
        verbose=False,
    )
    return path


def _torchscript(source: Source, options: ExportOptions, folder: Path) -> Path:
    torch = require("torch", "torch")
    specs = options.signature.inputs
    names = [f"in_{k}" for k in range(len(specs))]
    axes = {
        name: {number: axis.label for number, axis in enumerate(spec.shape or ()) if axis.label is not None}
        for name, spec in zip(names, specs, strict=True)
    }
    _quiet()
    path = folder / "model.onnx"
    torch.onnx.export(
        _positional(source, [spec.name for spec in specs]),
        _example(options),
        str(path),
        dynamo=False,
        dynamic_axes={name: value for name, value in axes.items() if value},
        input_names=names,
        opset_version=min(options.opset, 18),
        verbose=False,
    )
    return path
