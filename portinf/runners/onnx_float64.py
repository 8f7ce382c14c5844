"""Runs an ONNX graph in float64: in ONNX Runtime where it has the kernels, else in ONNX's own evaluator."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from portinf.core.batch import Array, Arrays
from portinf.core.errors import CannotError, PortinfError, RunnerError, first_line
from portinf.core.optional import require
from portinf.core.signature import dtype_by_numpy
from portinf.onnx_graph.passes.float64 import doubled
from portinf.ort.opening import OnnxSession

__all__ = ["OnnxDouble"]

LARGE = 1_000_000_000  # bytes from which the weights lie beside the file


class OnnxDouble:
    """The graph of an ONNX file with float64 in place of every narrower float; a context manager.

    Args:
        path: the ONNX file.

    Raises:
        CannotError: an operator cannot be computed in float64.
    """

    def __init__(self, path: Path) -> None:
        self._name = f"{path} in float64"
        self._model = doubled(path)
        self._folder = tempfile.TemporaryDirectory(prefix="portinf-double-")
        self._session: OnnxSession | None = None
        self._evaluator: Any = None
        file = Path(self._folder.name) / "model.onnx"
        onnx = require("onnx", "")
        large = sum(len(tensor.raw_data) for tensor in self._model.graph.initializer) > LARGE
        onnx.save(self._model, str(file), save_as_external_data=large)
        try:
            self._session = OnnxSession(file, level="none", threads=0, name=self._name)
        except PortinfError as error:
            self._evaluate(error)

    def _evaluate(self, because: PortinfError) -> None:
        evaluator = require("onnx.reference", "").ReferenceEvaluator
        try:
            self._evaluator = evaluator(self._model)
        except Exception as error:
            why = f"ONNX Runtime: {first_line(because)}; ONNX's own evaluator: {first_line(error)}"
            raise CannotError(f"{self._name}: no fp64 reference: {why}") from error

    def infer_double(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request in float64.

        Raises:
            RunnerError: it fails on these inputs.
            CannotError: an answer is narrower than float64.
        """
        wide = {name: _widened(array) for name, array in inputs.items()}
        if self._session is not None:
            outputs = self._session.infer(wide)
        else:
            names = [value.name for value in self._model.graph.output]
            try:
                with np.errstate(all="ignore"):
                    outputs = dict(zip(names, map(np.asarray, self._evaluator.run(names, wide)), strict=True))
            except Exception as error:
                raise RunnerError(f"{self._name}: {type(error).__name__}: {first_line(error)}") from error
        narrow = [name for name, array in outputs.items() if str(array.dtype) in ("float32", "float16", "bfloat16")]
        if narrow:
            raise CannotError(f"{self._name}: output '{narrow[0]}' comes out as {outputs[narrow[0]].dtype}: no fp64 reference")
        return outputs

    def __enter__(self) -> OnnxDouble:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._session is not None:
            self._session.close()
        self._folder.cleanup()


def _widened(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype != object and dtype_by_numpy(str(array.dtype)).is_float else array
