"""A fixed-point network and rows of numbers -> its answers, bit for bit those of the hardware."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from portinf.fixedpoint import activations, linear, shapes, softmax
from portinf.fixedpoint.casting import Array, Watch, from_real, to_real
from portinf.fixedpoint.formats import FixedPointError, Format
from portinf.fixedpoint.linear import Operation
from portinf.fixedpoint.network import Layer, Network

__all__ = ["OPERATIONS", "Emulator"]

OPERATIONS: dict[str, Callable[[Layer, Sequence[Format]], Operation]] = {
    "add": shapes.join("add"),
    "concatenate": shapes.concatenate,
    "conv": linear.convolution,
    "dense": linear.dense,
    "leaky_relu": activations.leaky_relu,
    "linear": activations.linear,
    "multiply": shapes.join("multiply"),
    "pool": shapes.pool,
    "relu": activations.relu,
    "reshape": shapes.reshape,
    "scale": linear.scale,
    "softmax": softmax.softmax,
    "subtract": shapes.join("subtract"),
    "table": activations.table,
    "transpose": shapes.transpose,
}
WORK = 1 << 16  # numbers of the widest layer that are computed at once: they stay in the processor's cache


class Emulator:
    """A network ready to run: every bound is checked here, none later.

    Args:
        network: its layers.

    Raises:
        FixedPointError: a layer of a kind that is not here, or numbers too large to be exact; the message names the layer.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        formats = {item.name: item.format for item in network.inputs}
        self._steps: list[tuple[Layer, Operation]] = []
        for layer in network.layers:
            if layer.kind not in OPERATIONS:
                raise FixedPointError(
                    f"{layer.name}: a layer '{layer.kind}' is not emulated; there are: {', '.join(OPERATIONS)}"
                )
            self._steps.append((layer, OPERATIONS[layer.kind](layer, [formats[name] for name in layer.inputs])))
            formats[layer.name] = layer.result
        widest = max(_size(shape) for shape in [*(item.shape for item in network.inputs), *(x.shape for x in network.layers)])
        self._rows = max(16, WORK // widest)
        self._last = {name: number for number, (layer, _) in enumerate(self._steps) for name in layer.inputs}

    def run(self, inputs: Mapping[str, Array], watch: Watch | None = None) -> dict[str, Array]:
        """Answer rows of numbers.

        Args:
            inputs: arrays by input name, shape (rows, *shape of the input).
            watch: counts what is out of range on the way.

        Returns:
            float64 arrays by output name, exact.

        Raises:
            FixedPointError: an input is missing, has another shape or contains NaN or infinity.
        """
        rows = self._checked(inputs)
        found: dict[str, list[Array]] = {name: [] for name in self.network.outputs}
        for start in range(0, max(rows, 1), self._rows):
            values = self._values({name: array[start : start + self._rows] for name, array in inputs.items()}, watch)
            for name in found:
                found[name].append(self.output(name, values[self.network.outputs[name]]))
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def trace(self, inputs: Mapping[str, Array], names: Collection[str] | None = None) -> Iterator[tuple[str, Array]]:
        """Yield what layers give, as float64 arrays with channels last, by the layers' names.

        Args:
            inputs: as of `run`.
            names: which layers; None for all.

        Raises:
            FixedPointError: as of `run`.
        """
        self._checked(inputs)
        requested = {layer.name for layer in self.network.layers if names is None or layer.name in names}
        values = self._values(inputs, None, keep=requested)
        for layer in self.network.layers:
            if layer.name in requested:
                yield layer.name, to_real(values[layer.name], layer.result)

    def output(self, name: str, numbers: Array) -> Array:
        """Turn raw numbers of an output's layer into the output, its axes in the user's order."""
        layer = self.network.outputs[name]
        real = to_real(numbers, self.network.format_of(layer))
        axes = self.network.axes.get(name)
        return real.transpose(0, *(1 + axis for axis in axes)) if axes else real

    def _values(self, inputs: Mapping[str, Array], watch: Watch | None, keep: Collection[str] = ()) -> dict[str, Array]:
        """Compute every layer; results that are no longer needed are dropped."""
        kept = {*keep, *self.network.outputs.values()}
        values: dict[str, Array] = {}
        for item in self.network.inputs:
            array = np.asarray(inputs[item.name]).transpose(0, *(1 + axis for axis in item.axes))
            values[item.name] = from_real(array, item.format, item.name, watch)
        for number, (layer, operation) in enumerate(self._steps):
            values[layer.name] = operation([values[name] for name in layer.inputs], watch)
            for name in layer.inputs:
                if self._last[name] == number and name not in kept:
                    values.pop(name, None)
        return values

    def _checked(self, inputs: Mapping[str, Array]) -> int:
        """Return the number of rows."""
        rows = set()
        for item in self.network.inputs:
            if item.name not in inputs:
                raise FixedPointError(f"no input '{item.name}'; found: {', '.join(inputs) or 'none'}")
            array = np.asarray(inputs[item.name])
            if array.shape[1:] != item.shape or array.ndim == 0:
                raise FixedPointError(
                    f"input '{item.name}': expected shape [rows, {_text(item.shape)}], found {list(array.shape)}"
                )
            if not np.isfinite(array).all():
                raise FixedPointError(
                    f"input '{item.name}': contains NaN or infinity, which fixed-point numbers cannot represent"
                )
            rows.add(len(array))
        if len(rows) != 1:
            raise FixedPointError(f"inputs have {sorted(rows)} rows: expected the same number in all")
        return rows.pop()


def _size(shape: Sequence[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _text(shape: Sequence[int]) -> str:
    return ", ".join(map(str, shape))
