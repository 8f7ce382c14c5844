"""The contract of everything that can answer a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol

from portinf.core.batch import Array, Arrays
from portinf.core.signature import Signature

__all__ = ["Float64Runner", "Runner", "RunnerInfo", "file_of"]


@dataclass(frozen=True, kw_only=True)
class RunnerInfo:
    """Facts about a side, besides its outputs.

    Attributes:
        scalars: it has the shape []; a live endpoint without batching says [1] for it.
        versions: of the model that a server has loaded, or the requested one.
        parameters: texts of a served model's configuration, by name.
        labels: output with scores and the class of each of its columns, by the output with class labels; given by a side whose scores
            are in fixed point.
        path: the ONNX file that it runs; None for anything else.
    """

    scalars: bool = True
    versions: Sequence[str] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, tuple[str, Array]] = field(default_factory=dict)
    path: Path | None = None


class Runner(Protocol):
    """Something that maps named input arrays to named output arrays: a source, an ONNX file, a live endpoint.

    Attributes:
        name: as shown in reports, for example ``grpc://127.0.0.1:8001/facile``.
        signature: names, types and axes, as far as this side knows them.
        info: other facts about it.
    """

    @property
    def name(self) -> str:
        """How reports call this side."""
        ...

    @property
    def signature(self) -> Signature:
        """Names, types and axes of inputs and outputs."""
        ...

    @property
    def info(self) -> RunnerInfo:
        """Facts about this side."""
        ...

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request.

        Args:
            inputs: arrays by the user's input names.

        Returns:
            Outputs by name, in the order of the signature.

        Raises:
            RunnerError: this side cannot answer; the message is its own first line.
        """
        ...

    def __enter__(self) -> Runner: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Float64Runner(Protocol):
    """Something that answers in float64: a source, or the graph of an ONNX file with float64 in place of narrower floats."""

    def infer_double(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request in float64.

        Raises:
            RunnerError: this side cannot answer.
            CannotError: it cannot compute in float64.
        """
        ...


def file_of(side: Runner | Path | None) -> Path | None:
    """Return the ONNX file of a side: a runner's, itself, or none."""
    return side if side is None or isinstance(side, Path) else side.info.path
