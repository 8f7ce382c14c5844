"""Runners made of a function, and reports made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType

from portinf.core.batch import Array, Arrays
from portinf.core.signature import Axis, Signature, TensorSpec
from portinf.runners.protocol import RunnerInfo

SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", dtype="float32", shape=(Axis(label="rows"), Axis(size=2))),),
    outputs=(TensorSpec(name="y", dtype="float32", shape=(Axis(label="rows"),)),),
)


class Side:
    """A runner that calls a function."""

    def __init__(self, function: Callable[[Mapping[str, Array]], Arrays], name: str = "side") -> None:
        self.function = function
        self.name = name
        self.signature = SIGNATURE
        self.info = RunnerInfo()

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        return self.function(inputs)

    def __enter__(self) -> Side:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing is held."""
