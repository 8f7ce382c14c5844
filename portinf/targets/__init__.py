"""Proposals for an artifact that shall run faster or elsewhere."""

from __future__ import annotations

from portinf.targets.proposal import Proposal

__all__ = ["TARGETS", "Proposal"]

# name on the command line -> "module:attribute" of a function Artifact -> Iterable[Proposal]; None: not there yet
TARGETS: dict[str, str | None] = {
    "onnxruntime": "portinf.targets.onnxruntime:proposals",
    "tensorrt": None,
}
