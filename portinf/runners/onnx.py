"""Runs an ONNX file in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal

from portinf.core.batch import Array, Arrays
from portinf.core.signature import Signature
from portinf.onnx_graph.model_file import load_proto, read_onnx
from portinf.onnx_graph.reach import reach
from portinf.ort.opening import OnnxSession
from portinf.runners.protocol import RunnerInfo

__all__ = ["GraphLevel", "OnnxRuntimeRunner"]

GraphLevel = Literal["none", "basic", "extended", "all"]


class OnnxRuntimeRunner:
    """One session; ``infer`` may be called from one thread at a time.

    Args:
        path: the ONNX file, its external data beside it.
        level: how far ONNX Runtime may rewrite the graph.
        threads: intra-op threads; 0 lets ONNX Runtime choose; a file that is right on one thread only gets one.
        name: how reports call this side; the path where none is given.
        provider: execution provider, by its name in ONNX Runtime or shortened (``cpu``, ``cuda``, ``openvino``).
        signature: of a file that was fixed here, and so is correct on any number of threads; None reads the file.

    Attributes:
        path: the file.
        one_thread: see `portinf.onnx_graph.model_file.needs_one_thread`.
    """

    def __init__(
        self,
        path: Path,
        *,
        level: GraphLevel = "all",
        threads: int = 0,
        name: str | None = None,
        provider: str = "cpu",
        signature: Signature | None = None,
    ) -> None:
        self._name = name or str(path)
        self.path, self._level, self._provider = path, level, provider
        self.info = RunnerInfo(path=path)
        self.one_thread = False
        if signature is None:
            artifact = read_onnx(path)
            signature, self.one_thread = artifact.signature, artifact.one_thread
        self._signature = signature
        self._session = OnnxSession(
            path, level=level, threads=1 if self.one_thread else threads, name=self._name, provider=provider
        )

    @property
    def name(self) -> str:
        """How reports call this side."""
        return self._name

    @property
    def signature(self) -> Signature:
        """From portinf's metadata where present, else from the graph."""
        return self._signature

    def with_threads(self, threads: int) -> OnnxRuntimeRunner:
        """Return another session of the same file with this many threads."""
        given = {"level": self._level, "name": self._name, "provider": self._provider}
        return OnnxRuntimeRunner(self.path, threads=threads, **given)  # type: ignore[arg-type]

    def reach(self) -> dict[str, set[str]]:
        """Return the names of the inputs that each output depends on."""
        return reach(load_proto(self.path).graph)

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request; see `portinf.runners.protocol.Runner.infer`."""
        return self._session.infer(inputs)

    def __enter__(self) -> OnnxRuntimeRunner:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._session.close()
