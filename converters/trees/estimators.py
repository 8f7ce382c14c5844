"""Offers the routes from estimators with scikit-learn's interface to ONNX: portinf's own writing of trees, and skl2onnx."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from portinf.converters.trees.answers import write_answers
from portinf.converters.trees.parts import ML, Parts
from portinf.converters.trees.reader import read_ensemble
from portinf.core.errors import CannotError
from portinf.core.optional import require
from portinf.core.signature import TensorSpec, dtype_by_numpy
from portinf.sources.model import Source
from portinf.sources.routes import ExportOptions, Route

__all__ = ["routes"]

ML_OPSET = 3  # the newest that ONNX Runtime 1.16 reads
LARGEST_OPSET = 18
SMALLEST_OPSET = 13  # older ones lack operators of the graphs written here


class Estimator(Source, Protocol):
    """A source that knows what its estimator is."""

    kind: str


def routes(source: Estimator, options: ExportOptions) -> Iterable[Route]:
    """Yield the routes of an estimator, in order of trust.

    Args:
        source: holds the fitted estimator.
        options: signature under the model's own names, an example batch, the opset.
    """
    try:
        trees = read_ensemble(source.model)
    except CannotError as error:
        yield Route(name="portinf trees", reason=str(error))
        return
    if trees is not None:
        yield Route(name="portinf trees", export=lambda folder: _own(trees, options, folder))
    else:
        yield Route(name="skl2onnx", export=lambda folder: _skl2onnx(source, options, folder))


def _opset(options: ExportOptions) -> int:
    return max(SMALLEST_OPSET, min(options.opset, LARGEST_OPSET))


def _inputs(parts: Parts, specs: Sequence[TensorSpec]) -> list[str]:
    """Return matrices [rows, k] of the graph's inputs; a column [rows] becomes [rows, 1]."""
    column = np.array([-1, 1], np.int64)
    return [
        parts.node("Reshape", f"in_{k}", parts.constant(column)) if len(spec.shape or ()) == 1 else f"in_{k}"
        for k, spec in enumerate(specs)
    ]


def _own(trees: Any, options: ExportOptions, folder: Path) -> Path:
    specs = options.signature.inputs
    if any(spec.dtype == "object" for spec in specs):
        raise CannotError("a tree ensemble takes numbers, found strings")
    parts = Parts()
    exact = any(spec.dtype == "float64" for spec in specs)
    names = write_answers(parts, _inputs(parts, specs), trees, exact=exact)
    return _write(parts, names, options, folder)


def _finished(parts: Parts, names: Sequence[str], specs: Sequence[TensorSpec]) -> list[str]:
    """Give outputs the types and ranks of the source's own answers."""
    if len(names) < len(specs):
        raise CannotError(f"the exporter gives {len(names)} outputs, the estimator {len(specs)}")
    done = []
    for name, spec in zip(names, specs, strict=False):
        if spec.dtype != "object":
            name = parts.cast(name, dtype_by_numpy(spec.dtype).onnx)
        if len(spec.shape or ()) == 1:
            name = parts.node("Reshape", name, parts.constant(np.array([-1], np.int64)))
        elif len(spec.shape or ()) == 2 and spec.shape is not None and spec.shape[1].size is not None:
            name = parts.node("Reshape", name, parts.constant(np.array([-1, spec.shape[1].size], np.int64)))
        done.append(name)
    return done


def _write(parts: Parts, names: Sequence[str], options: ExportOptions, folder: Path) -> Path:
    onnx = require("onnx", "")
    helper = onnx.helper
    inputs, outputs = options.signature.inputs, options.signature.outputs
    names = _finished(parts, names, outputs)
    graph = helper.make_graph(
        parts.nodes,
        "trees",
        [_value(f"in_{k}", spec) for k, spec in enumerate(inputs)],
        [_value(name, spec) for name, spec in zip(names, outputs, strict=True)],
        initializer=parts.constants,
    )
    opsets = [helper.make_opsetid("", _opset(options)), helper.make_opsetid(ML, ML_OPSET)]
    path = folder / "model.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())
    return path


def _value(name: str, spec: TensorSpec) -> Any:
    shape = [axis.size if axis.size is not None else axis.label for axis in spec.shape or ()]
    return require("onnx", "").helper.make_tensor_value_info(name, dtype_by_numpy(spec.dtype).onnx, shape)


def _skl2onnx(source: Estimator, options: ExportOptions, folder: Path) -> Path:
    """Convert with skl2onnx, then put the user's inputs before and the estimator's own types and ranks behind."""
    skl2onnx = require("skl2onnx", "trees")
    from portinf.converters.trees.skl2onnx_hooks import register

    register()
    specs = options.signature.inputs
    own = {spec.name: _skl2onnx_type(spec) for spec in specs}
    model = copy(source.model)
    if hasattr(model, "flatten_transform"):
        model.flatten_transform = False  # of VotingClassifier.transform alone, and skl2onnx refuses the default
    converted = skl2onnx.convert_sklearn(
        model,
        initial_types=list(own.items()),
        target_opset=_opset(options),
        options=_settings(model, source.kind),
    )
    found = [value.name for value in converted.graph.input]
    if len(found) != len(specs):
        raise CannotError(f"skl2onnx kept the inputs {', '.join(found)} of {', '.join(own)}")
    parts = Parts()
    for name, given in zip(found, _inputs(parts, specs), strict=True):  # skl2onnx changes names that are no identifiers
        parts.named(given, f"{name}__given")
    _renamed_inputs(converted.graph, {name: f"{name}__given" for name in found})
    parts.nodes += converted.graph.node
    parts.constants += converted.graph.initializer
    names = [value.name for value in converted.graph.output]
    scores = options.signature.outputs[-1]
    if source.kind == "classifier" and not hasattr(model, "predict_proba") and len(scores.shape or ()) == 1 and len(names) > 1:
        names[1] = parts.node("Gather", names[1], parts.constant(np.array([1])), axis=1)  # skl2onnx gives -score and score
    newest = max((entry.version for entry in converted.opset_import if entry.domain == ML), default=0)
    if newest > ML_OPSET:
        raise CannotError(f"skl2onnx wrote operators of {ML} {newest}; ONNX Runtime 1.16 reads up to {ML_OPSET}")
    return _write(parts, names, options, folder)


def _settings(model: Any, kind: str) -> dict[Any, dict[str, Any]]:
    """Ask for plain tensors, for the scores of a classifier without probabilities, and for scalers that really divide."""
    scalers = require("sklearn.preprocessing", "trees")
    settings: dict[Any, dict[str, Any]] = {scalers.StandardScaler: {"div": "div"}}
    if kind == "classifier":
        settings[id(model)] = {"zipmap": False} if hasattr(model, "predict_proba") else {"raw_scores": True}
    return settings


def _renamed_inputs(graph: Any, names: dict[str, str]) -> None:
    for node in graph.node:
        for number, name in enumerate(node.input):
            node.input[number] = names.get(name, name)
    for value in graph.output:
        value.name = names.get(value.name, value.name)


def _skl2onnx_type(spec: TensorSpec) -> Any:
    types = require("skl2onnx.common.data_types", "trees")
    kinds = {
        "float32": "Float",
        "float64": "Double",
        "int64": "Int64",
        "int32": "Int32",
        "bool": "Boolean",
        "object": "String",
    }
    if spec.dtype not in kinds:
        raise CannotError(f"input '{spec.name}' is {spec.dtype}; skl2onnx takes {', '.join(kinds)}: convert it to one of them")
    columns = spec.shape[1].size if spec.shape is not None and len(spec.shape) > 1 else 1
    return getattr(types, f"{kinds[spec.dtype]}TensorType")([None, columns])
