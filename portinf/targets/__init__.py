"""Targets: artifacts that run faster or elsewhere."""

from __future__ import annotations

from portinf.targets.onnxruntime.proposal import Proposal

__all__ = ["FOLDERS", "TARGETS", "Proposal"]

# name on the command line -> "module:attribute" of a function (threads) -> Iterable[Proposal]
TARGETS: dict[str, str] = {"onnxruntime": "portinf.targets.onnxruntime.proposals:proposals"}
# targets that write a folder instead of one file -> the module of `portinf.commands` that does it
FOLDERS: dict[str, str] = {"tensorrt": "portinf.targets.tensorrt.optimize", "hls4ml": "portinf.targets.fpga.optimize"}
