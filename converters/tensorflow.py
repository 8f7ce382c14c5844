"""Offers the route from a Keras model or a SavedModel's signature to ONNX: tf2onnx from a function with an explicit signature."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from portinf.lazy import require
from portinf.routes import ExportOptions, Route
from portinf.sources.model import Source

__all__ = ["routes"]

LARGEST_OPSET = 18  # what tf2onnx 1.17 writes at most


class CallableSource(Source, Protocol):
    """A source that also runs on TensorFlow tensors."""

    def call(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Run on tensors by name."""
        ...


def routes(source: CallableSource, options: ExportOptions) -> Iterable[Route]:
    """Yield the one route that keeps names, order and shapes.

    Args:
        source: holds the model.
        options: signature under the model's own names, an example batch, the opset.
    """
    yield Route(name="tf2onnx from_function", export=lambda folder: _from_function(source, options, folder))


def _from_function(source: CallableSource, options: ExportOptions, folder: Path) -> Path:
    tf = require("tensorflow", "tensorflow")
    tf2onnx = require("tf2onnx", "tensorflow")
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    specs = options.signature.inputs

    def flat(*tensors: Any) -> list[Any]:
        answer = source.call({spec.name: tensor for spec, tensor in zip(specs, tensors, strict=True)})
        return [tf.identity(value) for value in answer.values()]

    described = [
        tf.TensorSpec(
            None if spec.shape is None else [axis.size for axis in spec.shape],
            tf.string if spec.dtype == "object" else spec.dtype,
            name=f"in_{number}",
        )
        for number, spec in enumerate(specs)
    ]
    path = folder / "model.onnx"
    tf2onnx.convert.from_function(
        tf.function(flat, autograph=False),
        input_signature=described,
        opset=min(options.opset, LARGEST_OPSET),
        output_path=str(path),
    )
    return path
