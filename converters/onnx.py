"""Offers the routes from an ONNX file to one of the requested opset: as it is, or through ONNX's own version converter."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portinf.core.optional import require
from portinf.onnx_graph.model_file import external_files, load_proto, opset_of
from portinf.onnx_graph.passes.naming import name_inputs_by_position
from portinf.sources.model import Source
from portinf.sources.routes import ExportOptions, Route

if TYPE_CHECKING:
    import onnx


__all__ = ["routes"]


def routes(source: Source, options: ExportOptions) -> Iterable[Route]:
    """Yield the routes of an ONNX file.

    A file of a newer opset than the requested one is kept unchanged, and a note names what reads it. An older one is upgraded if
    the result is equal, else kept.

    Args:
        source: its ``model`` is the path.
        options: signature under the graph's own names, the requested opset.
    """
    path: Path = source.model
    opset = opset_of(load_proto(path))
    names = [spec.name for spec in options.signature.inputs]
    if opset < options.opset:
        yield Route(
            name=f"version converter, opset {opset} to {options.opset}",
            export=lambda folder: _written(_upgraded(path, options.opset), names, path, folder),
        )
    yield Route(name=f"as it is, opset {opset}", export=lambda folder: _written(load_proto(path), names, path, folder))


def _upgraded(path: Path, opset: int) -> Any:
    onnx = require("onnx", "")
    return onnx.version_converter.convert_version(onnx.load(str(path)), opset)


def _written(model: onnx.ModelProto, names: list[str], path: Path, folder: Path) -> Path:
    """Write the graph with inputs named by position, external data beside it."""
    name_inputs_by_position(model, names)
    for name in external_files(model, path):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path.parent / name, folder / name)
    out = folder / "model.onnx"
    out.write_bytes(model.SerializeToString())
    return out
