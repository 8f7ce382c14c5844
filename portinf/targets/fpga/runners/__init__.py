"""Opens the folder of a network for an FPGA: the exact emulator, the C simulation, da4ml's logic or the simulated RTL."""

from __future__ import annotations

from pathlib import Path

from portinf.core.errors import UnreadableError
from portinf.fixedpoint.network import Network
from portinf.targets.fpga.folder import LOGIC, RTL, FpgaRecord, read_record
from portinf.targets.fpga.runners.csim import CSimRunner
from portinf.targets.fpga.runners.da4ml import DaisRunner, LogicRunner, RtlRunner
from portinf.targets.fpga.runners.emulator import EmulatorRunner, load_network
from portinf.targets.fpga.runners.trees import TreeRunner, open_trees

__all__ = ["open_fpga"]


def open_fpga(folder: Path, way: str | None = None) -> EmulatorRunner | CSimRunner | LogicRunner | TreeRunner:
    """Open a folder that ``portinf optimize --target hls4ml`` wrote.

    Args:
        folder: the folder.
        way: ``emulator``, ``csim``, ``da4ml`` or ``rtl``; None for the emulator, where it does not cover the network
            the C simulation, and where there is none da4ml's logic.

    Raises:
        UnreadableError: a file is missing or damaged, or the folder was written without it.
        CannotError: the emulator does not compute the network.
    """
    record = read_record(folder)
    if record.kind == "conifer":
        if way in ("da4ml", "rtl"):
            raise UnreadableError(f"{folder}: boosted trees have no da4ml logic and no RTL here; @emulator and @csim answer")
        return open_trees(folder, record, simulate=way == "csim")
    network = load_network(folder)
    if way is None and not record.emulated and record.library is None:
        way = "da4ml"
    if way in ("da4ml", "rtl"):
        return _logic(folder, way, network, record)
    if way == "emulator" or (way is None and record.emulated):
        return EmulatorRunner(network, record.signature, str(folder))
    if record.library is None:
        raise UnreadableError(f"{folder}: it was written without its C simulation; run portinf optimize again with --csim")
    return CSimRunner(folder / record.library, network, record.signature, f"{folder} (C simulation)")


def _logic(folder: Path, way: str, network: Network, record: FpgaRecord) -> LogicRunner:
    if not (folder / RTL / LOGIC).is_file():
        raise UnreadableError(
            f"{folder}: it has no da4ml logic; run portinf optimize again with --strategy distributed_arithmetic"
        )
    if way == "da4ml":
        return DaisRunner(folder / RTL, network, record.signature, f"{folder} (da4ml)")
    return RtlRunner(folder / RTL, network, record.signature, f"{folder} (RTL)")
