"""Opens the folder of a network for an FPGA: the exact emulator, or the C simulation where the emulator does not cover it."""

from __future__ import annotations

from pathlib import Path

from portinf.errors import UnreadableError
from portinf.runners.csim import CSimRunner
from portinf.runners.emulator import EmulatorRunner, load_network
from portinf.runners.fpga_folder import read_record
from portinf.runners.trees import TreeRunner, open_trees

__all__ = ["open_fpga"]


def open_fpga(folder: Path, *, simulate: bool = False) -> EmulatorRunner | CSimRunner | TreeRunner:
    """Open a folder that ``portinf optimize --target hls4ml`` wrote.

    Args:
        folder: the folder.
        simulate: take the C simulation in any case.

    Raises:
        UnreadableError: a file is missing or damaged.
        CannotError: the emulator does not compute the network.
    """
    record = read_record(folder)
    if record.kind == "conifer":
        return open_trees(folder, record, simulate=simulate)
    network = load_network(folder)
    if record.emulated and not simulate:
        return EmulatorRunner(network, record.signature, str(folder))
    if record.library is None:
        raise UnreadableError(f"{folder}: it was written without its C simulation; run portinf optimize again with --csim")
    return CSimRunner(folder / record.library, network, record.signature, f"{folder} (C simulation)")
