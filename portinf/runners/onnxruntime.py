"""Runs an ONNX file in ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np

from portinf.artifact import read_onnx
from portinf.errors import RunnerError, UnreadableError, first_line
from portinf.lazy import require
from portinf.runners.onnxruntime_apart import ApartRunner
from portinf.samples import Array, Arrays
from portinf.signature import Signature

__all__ = ["GraphLevel", "OnnxRuntimeRunner"]

GraphLevel = Literal["none", "basic", "extended", "all"]


class OnnxRuntimeRunner:
    """One session; ``infer`` may be called from one thread at a time.

    Args:
        path: the ONNX file, its external data beside it.
        level: how far ONNX Runtime may rewrite the graph.
        threads: intra-op threads; 0 lets ONNX Runtime choose.
        name: how reports call this side; the path where none is given.
        apart: requests with empty tensors are answered in a process of their own.
    """

    def __init__(
        self, path: Path, *, level: GraphLevel = "all", threads: int = 0, name: str | None = None, apart: bool = True
    ) -> None:
        ort = require("onnxruntime", "")
        self._ort = ort
        self._name = name or str(path)
        artifact = read_onnx(path)
        self._signature = artifact.signature
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads
        options.graph_optimization_level = getattr(
            ort.GraphOptimizationLevel, "ORT_DISABLE_ALL" if level == "none" else f"ORT_ENABLE_{level.upper()}"
        )
        try:
            self._session: Any = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise UnreadableError(f"{path}: ONNX Runtime {ort.__version__} cannot load it: {first_line(error)}") from error
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._apart = ApartRunner(path, level=level, name=self._name) if apart else None

    @property
    def name(self) -> str:
        """How reports call this side."""
        return self._name

    @property
    def signature(self) -> Signature:
        """From portinf's metadata where present, else from the graph."""
        return self._signature

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request; see `portinf.runners.protocol.Runner.infer`."""
        if self._apart is not None and any(array.size == 0 for array in inputs.values()):
            return self._apart.infer(inputs)
        try:
            values = self._session.run(self._outputs, dict(inputs))
        except Exception as error:
            raise RunnerError(f"{self.name}: {first_line(error)}") from error
        return {name: np.asarray(value) for name, value in zip(self._outputs, values, strict=True)}

    def __enter__(self) -> OnnxRuntimeRunner:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._session = None
        if self._apart is not None:
            self._apart.close()
