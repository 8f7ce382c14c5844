"""ONNX itself as a source: the graph as it is, run by ONNX Runtime without rewriting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from portinf.artifact import read_onnx
from portinf.errors import CannotError, first_line
from portinf.lazy import require
from portinf.samples import Array, Arrays
from portinf.signature import TensorSpec
from portinf.sources.model import Declared

__all__ = ["OnnxSource"]


class OnnxSource:
    """One ONNX file.

    Args:
        path: the file, its external data beside it.
    """

    framework = "onnx"

    def __init__(self, path: Path) -> None:
        ort = require("onnxruntime", "")
        signature = read_onnx(path).signature
        self.model: Any = path
        self.notes: list[str] = []
        self.inputs: Sequence[Declared] = [_declared(spec) for spec in signature.inputs]
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise CannotError(f"{path}: ONNX Runtime {ort.__version__} cannot load it: {first_line(error)}") from error
        self._outputs = [output.name for output in self._session.get_outputs()]

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Run the graph."""
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))


def _declared(spec: TensorSpec) -> Declared:
    shape = None if spec.shape is None else tuple(axis.size for axis in spec.shape)
    return Declared(name=spec.name, dtype=spec.dtype, shape=shape)
