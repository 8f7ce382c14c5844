"""Runs an ONNX file in ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal

from portinf.artifact import read_onnx
from portinf.runners.onnx_trace import trace_onnx
from portinf.samples import Array, Arrays
from portinf.signature import Signature
from portinf.sources.onnx_session import OnnxSession

__all__ = ["GraphLevel", "OnnxRuntimeRunner"]

GraphLevel = Literal["none", "basic", "extended", "all"]


class OnnxRuntimeRunner:
    """One session; ``infer`` may be called from one thread at a time.

    Args:
        path: the ONNX file, its external data beside it.
        level: how far ONNX Runtime may rewrite the graph.
        threads: intra-op threads; 0 lets ONNX Runtime choose.
        name: how reports call this side; the path where none is given.
    """

    def __init__(self, path: Path, *, level: GraphLevel = "all", threads: int = 0, name: str | None = None) -> None:
        self._path, self._name = path, name or str(path)
        self._signature = read_onnx(path).signature
        self._session = OnnxSession(path, level=level, threads=threads, name=self._name)

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
        return self._session.infer(inputs)

    def trace(self, inputs: Mapping[str, Array], names: Collection[str] | None = None) -> Iterator[tuple[str, Array]]:
        """Yield inner tensors of the graph as it stands in the file; see `portinf.runners.protocol.Tracer.trace`."""
        return trace_onnx(self._path, inputs, names, name=self._name)

    def __enter__(self) -> OnnxRuntimeRunner:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._session.close()
