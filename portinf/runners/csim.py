"""Runs the compiled C simulation of an hls4ml project, each request in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np

from portinf.errors import RunnerError, UnreadableError
from portinf.fixedpoint.network import Network
from portinf.samples import Array, Arrays
from portinf.signature import Signature

__all__ = ["CSimRunner"]

SECONDS = 3600.0


class CSimRunner:
    """The C simulation: it may end its process (a file of weights that is gone) or remember rows of streams; so it has its own.

    Args:
        library: the compiled library, its weights in ``weights`` beside it.
        network: shapes, axes and outputs.
        signature: of the float model.
        name: how reports call this side.

    Raises:
        UnreadableError: the library is missing.
    """

    def __init__(self, library: Path, network: Network, signature: Signature, name: str) -> None:
        if not library.is_file():
            raise UnreadableError(f"{library}: the compiled C simulation is missing; run portinf optimize again")
        self._library, self._network, self._name, self._signature = library.resolve(), network, name, signature

    @property
    def name(self) -> str:
        """How reports call this side."""
        return self._name

    @property
    def signature(self) -> Signature:
        """Of the float model."""
        return self._signature

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request; see `portinf.runners.protocol.Runner.infer`."""
        found = self.infer_double(inputs)
        return {spec.name: found[spec.name].astype(spec.dtype) for spec in self._signature.outputs}

    def infer_double(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request in float64, in which every fixed-point number is exact."""
        network = self._network
        flat = {}
        for item in network.inputs:
            array = inputs[item.name]
            if array.shape[1:] != item.shape:
                raise RunnerError(f"{self._name}: input '{item.name}': expected rows of {item.shape}, found {array.shape[1:]}")
            if not np.isfinite(array).all():
                raise RunnerError(f"{self._name}: input '{item.name}': holds a NaN or an infinity")
            turned = array.transpose(0, *(1 + axis for axis in item.axes))
            flat[item.name] = np.ascontiguousarray(turned.reshape(len(array), int(np.prod(item.shape))), dtype=np.float64)
        return {name: self._shaped(name, array) for name, array in self._run(flat).items()}

    def _shaped(self, name: str, flat: Array) -> Array:
        layer, axes = self._network.outputs[name], self._network.axes.get(name)
        array = flat.reshape(len(flat), *self._network.shape_of(layer))
        return array.transpose(0, *(1 + axis for axis in axes)) if axes else array

    def _run(self, flat: Mapping[str, Array]) -> Arrays:
        layers = list(dict.fromkeys(self._network.outputs.values()))
        with tempfile.TemporaryDirectory(prefix="portinf-csim-") as folder:
            for number, array in enumerate(flat.values()):
                np.save(Path(folder) / f"in_{number}.npy", array)
            sizes = [str(int(np.prod(self._network.shape_of(layer)))) for layer in layers]
            script = Path(__file__).with_name("csim_child.py")
            command = [sys.executable, "-I", str(script), str(self._library), folder, str(len(flat)), *sizes]
            try:
                done = subprocess.run(
                    command, cwd=self._library.parent, capture_output=True, text=True, timeout=SECONDS, check=False
                )
            except subprocess.TimeoutExpired as error:
                raise RunnerError(f"{self._name}: no answer within {SECONDS:g} s") from error
            if done.returncode or not (Path(folder) / f"out_{len(layers) - 1}.npy").is_file():
                lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
                said = lines[-1] if lines else "it said nothing"
                raise RunnerError(f"{self._name}: the C simulation ended its process (exit code {done.returncode}): {said}")
            found = [np.load(Path(folder) / f"out_{number}.npy") for number in range(len(layers))]
        return {name: found[layers.index(layer)] for name, layer in self._network.outputs.items()}

    def __enter__(self) -> CSimRunner:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None
