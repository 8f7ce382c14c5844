"""Runs da4ml's logic of a fixed-point network: interpreted (DAIS), or as RTL in a simulation that was built."""

from __future__ import annotations

import json
import subprocess
import tempfile
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from portinf.core.batch import Array, Arrays
from portinf.core.errors import RunnerError, UnreadableError, first_line
from portinf.core.signature import Signature
from portinf.fixedpoint.casting import from_real, to_real
from portinf.fixedpoint.network import Network
from portinf.targets.fpga.folder import LOGIC
from portinf.targets.fpga.runners.base import FlatRunner
from portinf.targets.fpga.runners.da4ml_interpreter import load_logic

__all__ = ["FIGURES", "PROGRAM", "DaisRunner", "LogicRunner", "RtlRunner"]

FIGURES = "figures.json"
PROGRAM = "sim/portinf_rtl"
TABLES = "src/memfiles"  # where the simulation finds its tables
SECONDS = 3600.0


class LogicRunner(FlatRunner):
    """What both have in common: numbers go in on the inputs' grids, one row after another, and come out exact.

    Args:
        folder: of the logic.
        network: shapes, axes, formats and outputs.
        signature: of the float model.
        name: how reports call this side.
    """

    def __init__(self, folder: Path, network: Network, signature: Signature, name: str) -> None:
        super().__init__(network, signature, name)
        self._folder = folder

    def infer_double(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request in float64, in which every fixed-point number is exact."""
        network = self._network
        rows = [self._row(inputs[item.name], item) for item in network.inputs]
        given = np.ascontiguousarray(np.concatenate(rows, axis=1))
        layers = list(dict.fromkeys(network.outputs.values()))
        sizes = [int(np.prod(network.shape_of(layer))) for layer in layers]
        found = self._run(given, sum(sizes)) if len(given) else np.zeros((0, sum(sizes)))
        parts = dict(zip(layers, np.split(found, np.cumsum(sizes)[:-1], axis=1), strict=True))
        return {name: self._shaped(name, parts[layer]) for name, layer in network.outputs.items()}

    def _row(self, array: Array, item: Any) -> Array:
        """Bring an input onto its grid, flat, channels last: what stands before the hardware does the same."""
        turned = self._flat(item, array)
        return to_real(from_real(turned, item.format, item.name), item.format)

    @abstractmethod
    def _run(self, given: Array, count: int) -> Array:
        """Turn rows of numbers into rows of ``count`` numbers."""


class DaisRunner(LogicRunner):
    """The logic, interpreted.

    Raises:
        UnreadableError: the file is missing, damaged or too wide.
    """

    def __init__(self, folder: Path, network: Network, signature: Signature, name: str) -> None:
        super().__init__(folder, network, signature, name)
        self._logic = load_logic(folder / LOGIC)

    def _run(self, given: Array, count: int) -> Array:
        return self._logic.predict(given)


class RtlRunner(LogicRunner):
    """The RTL, clock by clock, in the program that Verilator made; one row a clock.

    Raises:
        UnreadableError: the program is missing, or what describes it is damaged.
    """

    def __init__(self, folder: Path, network: Network, signature: Signature, name: str) -> None:
        super().__init__(folder, network, signature, name)
        self._program = (folder / PROGRAM).resolve()
        if not self._program.is_file():
            raise UnreadableError(
                f"{self._program}: the RTL simulation was not built; install Verilator (Debian: apt install verilator) and run "
                "portinf optimize again with --rtl"
            )
        path = folder / FIGURES
        try:
            figures = json.loads(path.read_text(encoding="utf-8"))
            self._given = [int(bits) for bits in figures["given"]]
            self._found = [int(bits) for bits in figures["found"]]
        except Exception as error:
            raise UnreadableError(f"{path}: missing or damaged: {first_line(error)}; run portinf optimize again") from error

    def _run(self, given: Array, count: int) -> Array:
        with tempfile.TemporaryDirectory(prefix="portinf-rtl-") as folder:
            before, after = Path(folder) / "in", Path(folder) / "out"
            (given * 2.0 ** self._given[2]).astype(np.int32).tofile(before)
            command = [str(self._program), str(before), str(after), str(len(given))]
            tables = self._folder / TABLES
            where = tables if tables.is_dir() else self._folder
            try:
                done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=SECONDS, check=False)
            except subprocess.TimeoutExpired as error:
                raise RunnerError(f"{self._name}: no answer within {SECONDS:g} s") from error
            except OSError as error:
                raise RunnerError(
                    f"{self._name}: the simulation does not start: {error.strerror}; run portinf optimize again"
                ) from error
            if done.returncode:
                lines = [*done.stderr.strip().splitlines(), *done.stdout.strip().splitlines()] or ["no output"]
                raise RunnerError(f"{self._name}: the RTL simulation failed (exit code {done.returncode}): {lines[-1][:300]}")
            raw = np.fromfile(after, dtype=np.int32).reshape(len(given), count).astype(np.int64)
        keep, before_point, behind = self._found
        width = keep + before_point + behind
        raw &= (1 << width) - 1
        if keep:
            raw = np.where(raw >= 1 << (width - 1), raw - (1 << width), raw)
        return raw * 2.0**-behind
