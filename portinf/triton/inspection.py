"""What is known of one model: its file, who can serve it, and what its package says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portinf.core.signature import Signature
from portinf.onnx_graph.model_file import Artifact, read_onnx
from portinf.triton.manifest import Manifest
from portinf.triton.releases import readers, unknown_readers

__all__ = ["Inspection", "axis_places", "describe_file"]


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What is known of one model.

    Attributes:
        place: the ONNX file; the folder or the address where there is none.
        artifact: names, types, axes, opset, operators, provenance of the file; None where there is none.
        signature: the manifest's where there is one, else the file's.
        size: bytes on disk, external data included.
        readers: Triton releases known to read it.
        unknown: Triton releases of which that is not known.
        package: name and version in its repository; None for a bare file.
        manifest: None where portinf did not package it.
        problems: what does not fit the manifest; None where there is none to hold it against.
        data: what the target says that wrote the folder, or answers for the version, by the name in JSON: an ``engine``, an
            ``emulation``, whose float model ``artifact`` is.
        lines: the same for people.
    """

    place: str
    artifact: Artifact | None = None
    signature: Signature
    size: int = 0
    readers: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    package: tuple[str, int] | None = None
    manifest: Manifest | None = None
    problems: tuple[str, ...] | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        file = self.artifact
        return {
            "path": self.place,
            "format": file and file.format,
            "size": self.size,
            "files": dict(file.files) if file else {},
            "opset": file and file.opset,
            "ir_version": file and file.ir_version,
            "operators": dict(file.operators) if file else {},
            "signature": self.signature.to_json(),
            "axes": {label: list(places) for label, places in axis_places(self.signature).items()},
            "provenance": dict(file.provenance) if file else {},
            "triton_releases": {"known": list(self.readers), "unknown": list(self.unknown)},
            "package": self._package(),
            "engine": None,
            "emulation": None,
            **self.data,
        }

    def _package(self) -> dict[str, Any] | None:
        if self.package is None:
            return None
        name, version = self.package
        problems = None if self.problems is None else list(self.problems)
        return {"name": name, "version": version, "manifest": self.manifest and self.manifest.to_json(), "problems": problems}


def axis_places(signature: Signature) -> Mapping[str, tuple[str, ...]]:
    """Return where each dynamic axis occurs, for example ``{"batch": ("x[0]", "y[0]")}``; two places are tied."""
    places: dict[str, tuple[str, ...]] = {}
    for spec in (*signature.inputs, *signature.outputs):
        for number, axis in enumerate(spec.shape or ()):
            if axis.label is not None:
                places[axis.label] = (*places.get(axis.label, ()), f"{spec.name}[{number}]")
    return places


def describe_file(path: Path) -> Inspection:
    """Describe an ONNX file.

    Raises:
        UnreadableError: missing or damaged.
        CannotError: one that portinf cannot describe, for example with sequences.
    """
    artifact = read_onnx(path)
    return Inspection(
        place=str(path),
        artifact=artifact,
        signature=artifact.signature,
        size=sum((artifact.root / name).stat().st_size for name in artifact.files),
        readers=tuple(readers(artifact.opset, artifact.ir_version)),
        unknown=tuple(unknown_readers()),
    )
