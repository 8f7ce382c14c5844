"""Offers the route from a Keras model or a SavedModel's signature to ONNX: tf2onnx from a function with an explicit signature."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import portinf.core.errors
from portinf.converters.python_branches import branches_on_sizes
from portinf.converters.tensorflow.operators import handlers
from portinf.core.errors import CannotError
from portinf.core.optional import require
from portinf.sources.model import Source
from portinf.sources.routes import ExportOptions, Route

__all__ = ["routes"]

OWN = Path(portinf.core.errors.__file__).parents[1]

LARGEST_OPSET = 18  # what tf2onnx 1.17 writes at most


class CallableSource(Source, Protocol):
    """A source that also runs on TensorFlow tensors."""

    def call(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Run on tensors by name."""
        ...


def routes(source: CallableSource, options: ExportOptions) -> Iterable[Route]:
    """Yield the one route that keeps names, order and shapes; note where Python may decide by a size, which a graph leaves open.

    Args:
        source: holds the model.
        options: signature under the model's own names, an example batch, the opset.
    """
    options.assumed.extend(branches_on_sizes(_parts(source.model), options))
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
    opset = min(options.opset, LARGEST_OPSET)
    require("keras", "tensorflow").config.disable_traceback_filtering()
    function = tf.function(flat, autograph=False)
    try:
        concrete = function.get_concrete_function(*described)
        model, _ = tf2onnx.convert.from_function(
            function, input_signature=described, opset=opset, custom_op_handlers=handlers(opset)
        )
    except tf.errors.OperatorNotAllowedInGraphError as error:
        raise CannotError(
            f"a Python if or loop over the values of a tensor{_place(error)} cannot be part of a graph: "
            "write it with tf.cond, tf.where or tf.while_loop (keras.ops.cond, keras.ops.where)"
        ) from error
    _keep_captured(model.graph, concrete)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def _parts(model: Any) -> list[Any]:
    """Return a model and its layers or modules."""
    layers = getattr(model, "_flatten_layers", None)
    return [model, *(layers() if layers is not None else getattr(model, "submodules", ()))]


def _keep_captured(graph: Any, concrete: Any) -> None:
    """Give the tensors that a function captured (no variables) their values: tf2onnx makes inputs of them."""
    onnx = require("onnx", "")
    values = {inner.name: outer for outer, inner in concrete.graph.captures if inner.dtype.name != "resource"}
    for value in [value for value in graph.input if value.name in values]:
        held = values[value.name].numpy()
        array = np.array(held, object) if isinstance(held, bytes) else np.asarray(held)
        graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
        graph.input.remove(value)


def _place(error: BaseException) -> str:
    """Return `` (file.py, line N)`` of the innermost frame of the user's own code, else that of the package it is in."""
    own = packaged = ""
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if "site-packages" not in path.parts and OWN not in path.parents:
            own = f" ({path}, line {frame.lineno})"
        elif "keras" in path.parts and path.name not in ("traceback_utils.py", "layer.py", "operation.py"):
            packaged = f" (in {'.'.join(path.with_suffix('').parts[path.parts.index('keras') :])}, line {frame.lineno})"
    return own or packaged
