"""Runs boosted trees in fixed point: the exact emulator, or conifer's compiled C++ emulation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from portinf.core.batch import Array, Arrays
from portinf.core.errors import CannotError, RunnerError, UnreadableError
from portinf.core.signature import Signature
from portinf.fixedpoint.formats import FixedPointError
from portinf.fixedpoint.network import Input, Layer, Network
from portinf.fixedpoint.tree_emulator import TreeEmulator, answers, joined
from portinf.fixedpoint.trees import Trees, load_trees
from portinf.runners.protocol import RunnerInfo
from portinf.targets.fpga.folder import NETWORK, FpgaRecord
from portinf.targets.fpga.runners.base import FixedPointRunner
from portinf.targets.fpga.runners.csim import CSimRunner

__all__ = ["TreeRunner", "TreeSimulation", "open_trees"]

SCORES = "scores"


def open_trees(folder: Path, record: FpgaRecord, *, simulate: bool = False) -> TreeRunner:
    """Open a folder with boosted trees.

    Args:
        folder: that ``portinf optimize --target hls4ml`` wrote.
        record: of the folder.
        simulate: take conifer's C++ emulation.

    Raises:
        UnreadableError: a file is missing or damaged.
        CannotError: the emulator does not compute the trees.
    """
    try:
        trees = load_trees(folder / NETWORK)
    except FixedPointError as error:
        raise UnreadableError(str(error)) from error
    if not simulate:
        return TreeRunner(trees, record.signature, str(folder))
    if record.library is None:
        raise UnreadableError(f"{folder}: it was written without its C simulation; run portinf optimize again with --csim")
    return TreeSimulation(trees, record.signature, f"{folder} (C simulation)", folder / record.library)


class TreeRunner(FixedPointRunner):
    """Answers as the float model does; the sums are the hardware's, what follows them is computed in floats.

    Args:
        trees: in fixed point.
        signature: of the float model.
        name: how reports call this side.

    Raises:
        CannotError: the emulator does not compute these trees exactly.
    """

    def __init__(self, trees: Trees, signature: Signature, name: str) -> None:
        super().__init__(signature, name)
        self.info = RunnerInfo(labels=trees.labels)
        try:
            self.emulator = TreeEmulator(trees)
        except FixedPointError as error:
            raise CannotError(f"{name}: {error}") from error

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request; see `portinf.runners.protocol.Runner.infer`."""
        trees = self.emulator.trees
        try:
            found = answers(trees, self.scores(joined(trees.shape, inputs)))
        except FixedPointError as error:
            raise RunnerError(f"{self._name}: {error}") from error
        return {spec.name: found[spec.name].astype(spec.dtype, copy=False) for spec in self._signature.outputs}

    def scores(self, matrix: Array) -> Array:
        """Return the sums: float64 [rows, columns] to float64 [rows, targets], exact."""
        return self.emulator.scores(matrix)


class TreeSimulation(TreeRunner):
    """The same with the sums of conifer's C++ emulation.

    Args:
        trees, signature, name: as of `TreeRunner`.
        library: the compiled library, the file with its trees beside it.

    Raises:
        UnreadableError: the library is missing.
    """

    def __init__(self, trees: Trees, signature: Signature, name: str, library: Path) -> None:
        super().__init__(trees, signature, name)
        shape = trees.shape
        columns = Input(name="x", shape=(shape.columns,), axes=(0,), format=trees.column)
        scores = Layer(name=SCORES, kind="trees", inputs=("x",), shape=(shape.targets,), result=trees.score)
        network = Network(inputs=(columns,), layers=(scores,), outputs={SCORES: SCORES})
        self._simulation = CSimRunner(library, network, signature, name)

    def scores(self, matrix: Array) -> Array:
        """Return the sums; see `TreeRunner.scores`."""
        return self._simulation.infer_double({"x": matrix})[SCORES]
