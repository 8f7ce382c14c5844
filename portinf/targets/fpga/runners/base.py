"""What all runners of numbers in fixed point share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from portinf.core.batch import Array, Arrays
from portinf.core.errors import RunnerError
from portinf.core.signature import Signature
from portinf.fixedpoint.network import Network
from portinf.runners.protocol import RunnerInfo

__all__ = ["FixedPointRunner", "FlatRunner"]

T = TypeVar("T", bound="FixedPointRunner")


class FixedPointRunner(ABC):
    """A side that holds nothing open.

    Args:
        signature: of the float model.
        name: how reports call this side.
    """

    info = RunnerInfo()

    def __init__(self, signature: Signature, name: str) -> None:
        self._signature, self._name = signature, name

    @property
    def name(self) -> str:
        """How reports call this side."""
        return self._name

    @property
    def signature(self) -> Signature:
        """Of the float model."""
        return self._signature

    @abstractmethod
    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request; see `portinf.runners.protocol.Runner.infer`."""

    def __enter__(self: T) -> T:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None


class FlatRunner(FixedPointRunner):
    """One that is given flat rows, channels last, and gives flat rows back.

    Args:
        network: shapes, axes and outputs.
        signature: of the float model.
        name: how reports call this side.
    """

    def __init__(self, network: Network, signature: Signature, name: str) -> None:
        super().__init__(signature, name)
        self._network = network

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request; see `portinf.runners.protocol.Runner.infer`."""
        found = self.infer_double(inputs)
        return {spec.name: found[spec.name].astype(spec.dtype) for spec in self._signature.outputs}

    @abstractmethod
    def infer_double(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request in float64, in which every fixed-point number is exact."""

    def _flat(self, item: Any, array: Array) -> Array:
        """Return the rows of an input, (rows, numbers), channels last.

        Raises:
            RunnerError: rows of another shape, or a number that is not finite.
        """
        if array.shape[1:] != item.shape:
            raise RunnerError(f"{self._name}: input '{item.name}': expected rows of {item.shape}, found {array.shape[1:]}")
        if not np.isfinite(array).all():
            raise RunnerError(f"{self._name}: input '{item.name}': contains NaN or infinity")
        return array.transpose(0, *(1 + axis for axis in item.axes)).reshape(len(array), int(np.prod(item.shape)))

    def _shaped(self, name: str, flat: Array) -> Array:
        """Return the rows of an output in its shape and axes."""
        layer, axes = self._network.outputs[name], self._network.axes.get(name)
        array = flat.reshape(len(flat), *self._network.shape_of(layer))
        return array.transpose(0, *(1 + axis for axis in axes)) if axes else array
