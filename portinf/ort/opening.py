"""Opens an ONNX file in ONNX Runtime; on the CPU, empty requests go to a separate process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from portinf.core.batch import Array, Arrays
from portinf.ort.isolated import ApartSession
from portinf.ort.session import PlainSession

__all__ = ["OnnxSession"]


class OnnxSession:
    """One session, and on the CPU a second one in a separate process for requests with empty tensors.

    Args:
        path: the ONNX file, its external data beside it.
        level: ``none``, ``basic``, ``extended`` or ``all``: how far ONNX Runtime may rewrite the graph.
        threads: intra-op threads; 0 lets ONNX Runtime choose.
        name: how messages call this side.
        provider: execution provider, by its name in ONNX Runtime or shortened.
        data: folder of the external data where it does not lie beside the file.

    Raises:
        UsageError: this ONNX Runtime has no such provider.
        UnreadableError: it cannot load the file.
    """

    def __init__(
        self, path: Path, *, level: str, threads: int, name: str, provider: str = "cpu", data: Path | None = None
    ) -> None:
        self._session = PlainSession(path, level=level, threads=threads, name=name, provider=provider, data=data)
        alone = len(self._session.providers) == 1
        self._isolated = ApartSession(path, level=level, name=name, data=data) if alone else None

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request.

        Raises:
            RunnerError: ONNX Runtime fails, or ends its separate process.
        """
        if self._isolated is not None and any(array.size == 0 for array in inputs.values()):
            return self._isolated.infer(inputs)
        return self._session.infer(inputs)

    def close(self) -> None:
        """Give both up."""
        self._session.close()
        if self._isolated is not None:
            self._isolated.close()
