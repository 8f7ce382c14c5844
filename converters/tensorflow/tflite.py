"""Offers the route from a TensorFlow Lite model to ONNX: tf2onnx from the file."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from portinf.converters.tensorflow.routes import LARGEST_OPSET
from portinf.core.optional import require
from portinf.onnx_graph.passes.naming import rename_values
from portinf.sources.model import Source
from portinf.sources.routes import ExportOptions, Route

__all__ = ["routes"]


class FileSource(Source, Protocol):
    """A source whose converter reads the file itself."""

    path: Path


def routes(source: FileSource, options: ExportOptions) -> Iterable[Route]:
    """Yield the one route.

    Args:
        source: holds the interpreter and the path.
        options: the opset; the signature's inputs are in the file's order.
    """
    name = "tf2onnx from_tflite"
    loops = _loops(source.path)
    if loops:
        yield Route(
            name=name,
            reason=f"tf2onnx does not convert {', '.join(loops)} (recurrent layers) of TensorFlow Lite; "
            "give the Keras model or SavedModel that the file was made from",
        )
    else:
        yield Route(name=name, export=lambda folder: _from_tflite(source, options, folder))


def _loops(path: Path) -> list[str]:
    """Name the operators of loops and recurrent layers in the file."""
    reader = require("tf2onnx.tflite_utils", "tensorflow")
    _, operators, _, _ = reader.read_tflite_model(str(path))
    return sorted({name for name in operators.values() if name in ("WHILE", "IF") or "SEQUENCE" in name or "LSTM" in name})


def _from_tflite(source: FileSource, options: ExportOptions, folder: Path) -> Path:
    onnx = require("onnx", "")
    tf2onnx = require("tf2onnx", "tensorflow")
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    model, _ = tf2onnx.convert.from_tflite(str(source.path), opset=min(options.opset, LARGEST_OPSET))
    details: list[dict[str, Any]] = source.model.get_input_details()
    numbers = {declared.name: number for number, declared in enumerate(source.inputs)}
    requested = {
        details[numbers[spec.name]]["name"]: f"in_{position}" for position, spec in enumerate(options.signature.inputs)
    }
    rename_values(model.graph, {v.name: requested[v.name] for v in model.graph.input if v.name in requested})
    path = folder / "model.onnx"
    onnx.save(model, str(path))
    return path
