"""The folder that ``portinf optimize --target hls4ml`` writes -> what is in it, and back."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portinf.core.errors import UnreadableError, first_line
from portinf.core.signature import Signature
from portinf.onnx_graph.model_file import external_files, load_proto

__all__ = [
    "FLOAT",
    "KIND",
    "LOGIC",
    "NETWORK",
    "NETWORK_HASH",
    "PROJECT_FOLDER",
    "RECORD",
    "REPORT",
    "RTL",
    "FpgaRecord",
    "copy_model",
    "is_fpga_folder",
    "network_hash",
    "read_record",
    "write_record",
]

RECORD = "portinf-fpga.json"
PROJECT_FOLDER = "project"
REPORT = "report"
KIND = "bit-exact emulation of an FPGA (hls4ml); not run on a card"
NETWORK = "network"  # folder of the emulator's files
RTL = "rtl"  # folder of da4ml's logic and its HDL
LOGIC = "model/comb.json"  # inside RTL
FLOAT = "model.onnx"  # the float model that was quantised
NETWORK_HASH = "network sha256"  # name of the fact
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class FpgaRecord:
    """The record of the folder; its file is written last.

    Attributes:
        signature: as of the float model.
        library: the compiled C simulation, relative to the folder; None where it was not compiled.
        emulated: the emulator computes the network exactly.
        tolerance: (rtol, atol) that it was judged with.
        layers: for reports: name, kind, tensor and formats of each layer.
        facts: part, clock, strategy, versions and hashes, by name.
        tags: the source of each figure: ``measured-csim``, ``emulated``, ``not-run``, by what it is about.
        kind: ``hls4ml`` for a network, ``conifer`` for boosted trees.
    """

    signature: Signature
    library: str | None
    emulated: bool
    tolerance: tuple[float, float]
    layers: tuple[Mapping[str, Any], ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    kind: str = "hls4ml"

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "schema": SCHEMA,
            "kind": self.kind,
            "signature": self.signature.to_json(),
            "library": self.library,
            "emulated": self.emulated,
            "tolerance": list(self.tolerance),
            "layers": [dict(layer) for layer in self.layers],
            "facts": dict(self.facts),
            "tags": dict(self.tags),
        }


def is_fpga_folder(path: Path) -> bool:
    """Say whether a path is such a folder."""
    return (path / RECORD).is_file()


def network_hash(folder: Path) -> str:
    """Return one hash of the emulator's files.

    Raises:
        UnreadableError: one cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for path in sorted((folder / NETWORK).iterdir()):
            content = path.read_bytes()
            digest.update(f"{path.name} {len(content)}\n".encode() + content)
    except OSError as error:
        raise UnreadableError(f"{error.filename}: {error.strerror}; run portinf optimize again") from error
    return digest.hexdigest()


def write_record(folder: Path, record: FpgaRecord) -> None:
    """Write the record of a folder that is complete otherwise."""
    (folder / RECORD).write_text(json.dumps(record.to_json(), indent=1) + "\n", encoding="utf-8")


def read_record(folder: Path) -> FpgaRecord:
    """Read the record.

    Raises:
        UnreadableError: it is missing, damaged or of another version.
    """
    path = folder / RECORD
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            raise UnreadableError(f"{path}: schema {data['schema']}, expected {SCHEMA}: written by another version of portinf")
        rtol, atol = data["tolerance"]
        return FpgaRecord(
            signature=Signature.from_json(data["signature"]),
            library=data["library"],
            emulated=bool(data["emulated"]),
            tolerance=(float(rtol), float(atol)),
            layers=tuple(data["layers"]),
            facts=data["facts"],
            tags=data["tags"],
            kind=data["kind"],
        )
    except UnreadableError:
        raise
    except Exception as error:
        raise UnreadableError(f"{path}: missing or damaged: {first_line(error)}; run portinf optimize again") from error


def copy_model(model: Path, folder: Path) -> None:
    """Copy the float model and its data files into a folder."""
    shutil.copyfile(model, folder / FLOAT)
    for name in external_files(load_proto(model), model):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model.parent / name, folder / name)
