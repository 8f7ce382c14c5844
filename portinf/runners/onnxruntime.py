"""Runs an ONNX file in ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal

from portinf.artifact import read_onnx
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
        signature: of the file, where it is known already; None reads it off the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        level: GraphLevel = "all",
        threads: int = 0,
        name: str | None = None,
        signature: Signature | None = None,
    ) -> None:
        self._name = name or str(path)
        self._signature = read_onnx(path).signature if signature is None else signature
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

    def __enter__(self) -> OnnxRuntimeRunner:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._session.close()
