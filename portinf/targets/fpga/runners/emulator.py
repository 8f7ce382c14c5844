"""Runs a fixed-point network in the exact emulator."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from portinf.core.batch import Array, Arrays
from portinf.core.errors import CannotError, RunnerError, UnreadableError
from portinf.core.signature import Signature
from portinf.fixedpoint.emulator import Emulator
from portinf.fixedpoint.formats import FixedPointError
from portinf.fixedpoint.network import Network, load
from portinf.targets.fpga.folder import NETWORK
from portinf.targets.fpga.runners.base import FixedPointRunner

__all__ = ["EmulatorRunner", "load_network"]


def load_network(folder: Path) -> Network:
    """Read the network of a folder.

    Raises:
        UnreadableError: a file is missing or damaged.
    """
    try:
        return load(folder / NETWORK)
    except FixedPointError as error:
        raise UnreadableError(str(error)) from error


class EmulatorRunner(FixedPointRunner):
    """Answers in the types of the float model's outputs; from the emulator's exact float64.

    Args:
        network: what is computed.
        signature: of the float model.
        name: how reports call this side.

    Raises:
        CannotError: the emulator does not compute this network exactly.
    """

    def __init__(self, network: Network, signature: Signature, name: str) -> None:
        super().__init__(signature, name)
        try:
            self.emulator = Emulator(network)
        except FixedPointError as error:
            raise CannotError(f"{name}: {error}") from error

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request; see `portinf.runners.protocol.Runner.infer`."""
        try:
            found = self.emulator.run(inputs)
        except FixedPointError as error:
            raise RunnerError(f"{self._name}: {error}") from error
        return {spec.name: found[spec.name].astype(spec.dtype) for spec in self._signature.outputs}

    def trace(self, inputs: Mapping[str, Array], names: Collection[str] | None = None) -> Iterator[tuple[str, Array]]:
        """Yield what layers give, by the names of the float model's tensors, in the order of their axes."""
        network = self.emulator.network
        last = {layer.origin: layer for layer in network.layers if layer.origin}
        requested = {layer.name: layer for origin, layer in last.items() if names is None or origin in names}
        try:
            for name, array in self.emulator.trace(inputs, requested):
                layer = requested[name]
                order = sorted(range(len(layer.axes)), key=layer.axes.__getitem__)
                yield layer.origin, array.transpose(0, *(1 + place for place in order))
        except FixedPointError as error:
            raise RunnerError(f"{self._name}: {error}") from error
