"""The contract of everything that can answer a request."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import TracebackType
from typing import Protocol, runtime_checkable

from portinf.core.batch import Array, Arrays
from portinf.core.signature import Signature

__all__ = ["Runner", "Tracer"]


class Runner(Protocol):
    """Something that maps named input arrays to named output arrays: a source, an ONNX file, a live endpoint.

    Attributes:
        name: as shown in reports, for example ``grpc://127.0.0.1:8001/facile``.
        signature: names, types and axes, as far as this side knows them.
    """

    @property
    def name(self) -> str:
        """How reports call this side."""
        ...

    @property
    def signature(self) -> Signature:
        """Names, types and axes of inputs and outputs."""
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


@runtime_checkable
class Tracer(Protocol):
    """An optional part of the contract: a runner that can show what it computes on the way.

    A live endpoint cannot.
    """

    def trace(self, inputs: Mapping[str, Array], names: Collection[str] | None = None) -> Iterator[tuple[str, Array]]:
        """Yield inner tensors by name.

        An ONNX file's are those of its main graph by their names in the file, computed with the graph as it stands; a
        source's are what its layers give, by the layers' names (``name:1`` for further outputs, ``name@1`` for further calls).

        Args:
            inputs: arrays by the user's input names.
            names: which; None for all. Names that this side does not have are left out.

        Raises:
            RunnerError: this side cannot answer.
            CannotError: this side has no inner tensors to show.
        """
        ...
