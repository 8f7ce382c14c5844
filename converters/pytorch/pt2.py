"""Offers the routes from an exported program (``.pt2``) to ONNX: the dynamo exporter on the program as it is."""

from __future__ import annotations

from collections.abc import Iterable

from portinf.converters.pytorch.export import export_dynamo, missing_onnxscript
from portinf.sources.model import Source
from portinf.sources.routes import ExportOptions, Route

__all__ = ["routes"]


def routes(source: Source, options: ExportOptions) -> Iterable[Route]:
    """Yield the route of a program: its own sizes, dynamic where it declares them so.

    Args:
        source: holds the program.
        options: signature in the program's order of inputs, the opset.
    """
    missing = missing_onnxscript()
    yield Route(
        name="torch.onnx dynamo, exported program",
        export=None if missing else lambda folder: export_dynamo(lambda: source.model, options, folder),
        reason=missing,
    )
