"""The folder of a network for an FPGA -> the files of a version that Triton's Python backend serves as its emulation."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

from portinf import fixedpoint
from portinf.core.errors import PortinfError, UnreadableError
from portinf.core.signature import Signature
from portinf.targets.fpga.folder import KIND, FpgaRecord, is_fpga_folder
from portinf.triton.config import ModelConfig, config_of

__all__ = ["ANSWERS", "EXECUTED_BY", "HANDOVER", "MODEL_FILE", "emulated_part", "emulation_config"]
__all__ += ["emulation_facts", "executed_by", "stage"]

HANDOVER = "fpga"  # folder in the version: what `portinf optimize` wrote, and what a card needs
MODEL_FILE = "model.py"
ANSWERS = "portinf_answers.py"
PLATFORM = "fpga_emulation"
EXECUTED_BY = "portinf_executed_by"
_COPY = "portinf_fixedpoint"  # what the package is called there: it is no part of an installed portinf
_SERVICE = Path(__file__).with_name("service")
_FOR_CARD = ("README.md", "build.sh", "driver/card.py")
_SERVED = (MODEL_FILE, ANSWERS, "portinf_library.py")


def executed_by(record: FpgaRecord) -> str:
    """Return what answers: ``emulation``, or ``c_simulation`` where the emulator does not compute the network."""
    return "emulation" if record.emulated else "c_simulation"


def emulation_config(name: str, signature: Signature, max_batch_size: int, record: FpgaRecord) -> ModelConfig:
    """Return the configuration of the float model, answered by the Python backend and declared as an emulation.

    Raises:
        UsageError, CannotError: as of `portinf.triton.config.config_of`.
    """
    rtol, atol = record.tolerance
    parameters = {
        "portinf_kind": KIND,
        EXECUTED_BY: executed_by(record),
        "portinf_rtol_to_float": f"{rtol:g}",
        "portinf_atol_to_float": f"{atol:g}",
    }
    config = config_of(name, signature, max_batch_size)
    return replace(config, platform=PLATFORM, backend="python", parameters={**config.parameters, **parameters})


def emulation_facts(record: FpgaRecord) -> dict[str, object]:
    """Return what the manifest says of the emulation."""
    return {
        "kind": KIND,
        "executed_by": executed_by(record),
        "tolerance_to_float": list(record.tolerance),
        "handover": HANDOVER,
        "card": "not run here",
        "facts": dict(record.facts),
        "tags": dict(record.tags),
    }


def emulated_part(version: Path) -> Path | None:
    """Return the folder of the network in the folder of a version; None where the version is no emulation."""
    part = version / HANDOVER
    return part if is_fpga_folder(part) or (version / ANSWERS).is_file() else None


def stage(source: Path, folder: Path) -> None:
    """Write all files of a version but its goldens and manifest.

    Args:
        source: folder that ``portinf optimize --target hls4ml`` wrote.
        folder: an empty folder.

    Raises:
        UnreadableError: a file cannot be read or written.
    """
    try:
        shutil.copytree(source, folder / HANDOVER)
        for name in _FOR_CARD:
            target = folder / HANDOVER / name
            target.parent.mkdir(exist_ok=True)
            if not target.exists():  # a driver that was written in an earlier version goes along
                shutil.copyfile(_SERVICE / name, target)
        for name in _SERVED:
            shutil.copyfile(_SERVICE / name, folder / name)
        _copy_emulator(folder / _COPY)
    except OSError as error:
        raise UnreadableError(f"{error.filename or folder}: {error.strerror or error}") from error


def _copy_emulator(folder: Path) -> None:
    """Copy `portinf.fixedpoint` under a name of its own; it needs nothing else of portinf."""
    folder.mkdir()
    for path in sorted(Path(str(fixedpoint.__file__)).parent.glob("*.py")):
        text = path.read_text(encoding="utf-8").replace("portinf.fixedpoint", _COPY)
        if re.search(r"^\s*(from|import) portinf\b", text, re.MULTILINE):
            raise PortinfError(
                f"{path}: imports a part of portinf that a server does not have"
            )  # a fault of ours, which a test holds
        (folder / path.name).write_text(text, encoding="utf-8")
