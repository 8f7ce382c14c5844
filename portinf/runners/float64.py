"""A side of a comparison -> the same in float64, opened when first needed."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from portinf.core.errors import CannotError, PortinfError
from portinf.runners.onnx_float64 import OnnxDouble
from portinf.runners.protocol import Float64Runner, Runner, file_of
from portinf.runners.source import SourceRunner

__all__ = ["Float64"]


class Float64:
    """Sides in float64: a source runs again, an ONNX file as a doubled graph; each is opened once. A context manager."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._known: dict[Path, OnnxDouble | CannotError] = {}

    def of(self, side: Runner | Path | None) -> Float64Runner:
        """Return what answers in float64 for a side.

        Args:
            side: a runner, or the path of an ONNX file; None for recorded outputs.

        Raises:
            CannotError: a live model, or a graph that cannot be computed in float64.
        """
        if isinstance(side, SourceRunner):
            return side
        path = file_of(side)
        if path is None:
            name = "recorded outputs" if side is None or isinstance(side, Path) else side.name
            raise CannotError(f"{name}: it cannot be run in float64: give its source or its ONNX file as reference")
        if path not in self._known:
            try:
                self._known[path] = self._stack.enter_context(OnnxDouble(path))
            except PortinfError as error:
                self._known[path] = error if isinstance(error, CannotError) else CannotError(str(error))
        found = self._known[path]
        if isinstance(found, CannotError):
            raise found
        return found

    def __enter__(self) -> Float64:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
