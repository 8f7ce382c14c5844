"""Runs the compiled C simulation of an hls4ml project, each request in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from portinf.core.batch import Array, Arrays
from portinf.core.errors import RunnerError, UnreadableError
from portinf.core.signature import Signature
from portinf.fixedpoint.network import Network
from portinf.targets.fpga.runners.base import FlatRunner

__all__ = ["CSimRunner"]

SECONDS = 3600.0


class CSimRunner(FlatRunner):
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
        super().__init__(network, signature, name)
        self._library = library.resolve()

    def infer_double(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request in float64, in which every fixed-point number is exact."""
        flat = {
            item.name: np.ascontiguousarray(self._flat(item, inputs[item.name]), dtype=np.float64)
            for item in self._network.inputs
        }
        return {name: self._shaped(name, array) for name, array in self._run(flat).items()}

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
                said = lines[-1] if lines else "no output"
                raise RunnerError(f"{self._name}: the C simulation crashed (exit code {done.returncode}): {said}")
            found = [np.load(Path(folder) / f"out_{number}.npy") for number in range(len(layers))]
        return {name: found[layers.index(layer)] for name, layer in self._network.outputs.items()}
