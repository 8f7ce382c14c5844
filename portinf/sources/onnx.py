"""ONNX itself as a source: the graph as it is, run by ONNX Runtime without rewriting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from portinf.core.batch import Array, Arrays
from portinf.core.signature import TensorSpec
from portinf.onnx_graph.model_file import load_proto, read_onnx
from portinf.onnx_graph.random_operators import random_nodes
from portinf.ort.opening import OnnxSession
from portinf.sources.model import Declared
from portinf.sources.randomness.draws import Draw, refusal

__all__ = ["OnnxSource"]


class OnnxSource:
    """One ONNX file.

    Args:
        path: the file, its external data beside it.
    """

    framework = "onnx"

    def __init__(self, path: Path) -> None:
        self.model: Any = path
        self.notes: list[str] = []
        artifact = read_onnx(path)
        self.inputs: Sequence[Declared] = [_declared(spec) for spec in artifact.signature.inputs]
        self._session = OnnxSession(path, level="none", threads=int(artifact.one_thread), name=path.name)

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Run the graph."""
        return self._session.infer(inputs)

    def random_reason(self, inputs: Mapping[str, Array]) -> str:
        """Say which operators that an output depends on draw random numbers; empty for none."""
        nodes = random_nodes(load_proto(self.model)).reaching
        return refusal([Draw(what=name) for name in nodes])


def _declared(spec: TensorSpec) -> Declared:
    if spec.shape is None:
        return Declared(name=spec.name, dtype=spec.dtype, optional=spec.optional)
    return Declared(
        name=spec.name,
        dtype=spec.dtype,
        shape=tuple(axis.size for axis in spec.shape),
        labels=tuple(axis.label for axis in spec.shape),
        minimums=tuple(axis.minimum for axis in spec.shape),
        maximums=tuple(axis.maximum for axis in spec.shape),
        multiples=tuple(axis.multiple for axis in spec.shape),
        optional=spec.optional,
        role=None if spec.role.kind == "value" else spec.role,
    )
