"""Turns an ONNX file or a packaged model into a description of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from portinf.core.errors import CannotError, UnreadableError
from portinf.core.signature import Signature
from portinf.onnx_graph.model_file import Artifact, read_onnx
from portinf.targets.fpga.folder import FLOAT, is_fpga_folder, read_record
from portinf.targets.fpga.triton.stage import damaged, emulated_part, emulation_facts
from portinf.targets.tensorrt.engine import engine_of, engine_text, is_site
from portinf.triton.manifest import CONFIG, MANIFEST, MODEL, Manifest, read_manifest, verify, version_folders
from portinf.triton.releases import readers, unknown_readers

__all__ = ["Inspection", "axis_places", "inspect_path"]


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What is known of one model.

    Attributes:
        path: the ONNX file.
        artifact: names, types, axes, opset, operators, provenance.
        signature: the manifest's where there is one, else the file's.
        size: bytes on disk, external data included.
        readers: Triton releases known to read it.
        unknown: Triton releases of which that is not known.
        package: name and version in its repository; None for a bare file.
        manifest: None where portinf did not package it.
        problems: what does not fit the manifest; None where there is none to hold it against.
        engine: what became of the TensorRT engine of a folder that ``optimize`` wrote; None elsewhere.
        emulation: what is emulated, of a network for an FPGA, whose float model ``artifact`` is; None for any other.
    """

    path: Path
    artifact: Artifact
    signature: Signature
    size: int
    readers: tuple[str, ...]
    unknown: tuple[str, ...]
    package: tuple[str, int] | None = None
    manifest: Manifest | None = None
    problems: tuple[str, ...] | None = None
    engine: str | None = None
    emulation: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "path": str(self.path),
            "format": self.artifact.format,
            "size": self.size,
            "files": dict(self.artifact.files),
            "opset": self.artifact.opset,
            "ir_version": self.artifact.ir_version,
            "operators": dict(self.artifact.operators),
            "signature": self.signature.to_json(),
            "axes": {label: list(places) for label, places in axis_places(self.signature).items()},
            "provenance": dict(self.artifact.provenance),
            "triton_releases": {"known": list(self.readers), "unknown": list(self.unknown)},
            "package": self._package(),
            "engine": self.engine,
            "emulation": None if self.emulation is None else dict(self.emulation),
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


def inspect_path(path: Path) -> Inspection:
    """Describe an ONNX file, a packaged model (its newest version), one version of it, or a folder of ``optimize``.

    Raises:
        UnreadableError: missing, damaged, or of no known kind.
        CannotError: an ONNX file that portinf cannot describe, for example with sequences; a folder that holds an engine alone.
    """
    if not path.exists():
        raise UnreadableError(f"{path}: no such file; expected an ONNX file or the folder of a packaged model")
    if is_site(path):
        return replace(_bare(path / MODEL), engine=engine_text(path))
    if path.is_dir():
        return _packaged(_version_of(path))
    return _bare(path)


def _version_of(folder: Path) -> Path:
    """Return the version folder meant: itself, or the newest in it."""
    if _is_version(folder) or is_fpga_folder(folder):
        return folder
    versions = [path for path in version_folders(folder).values() if _is_version(path)]
    if versions:
        return versions[-1]
    states = [state for place in (folder, *version_folders(folder).values()) if (state := engine_of(place))]
    if states:
        raise CannotError(f"{folder}: a TensorRT engine ({states[-1]}); name the folder that 'portinf optimize' wrote instead")
    models = sorted(entry.name for entry in folder.iterdir() if (entry / CONFIG).is_file())
    if models:
        raise UnreadableError(f"{folder}: a repository of {len(models)} models; name one: {', '.join(models[:8])}")
    raise UnreadableError(f"{folder}: not a packaged model: expected {CONFIG} and a version such as 1/{MODEL} in it")


def _is_version(folder: Path) -> bool:
    return (folder / MODEL).is_file() or emulated_part(folder) is not None


def _emulation(folder: Path) -> Inspection:
    """Describe a network for an FPGA; operators, opset and size are those of the float model that it was made from."""
    record = read_record(folder)
    return replace(_bare(folder / FLOAT), signature=record.signature, emulation=emulation_facts(record))


def _packaged(folder: Path) -> Inspection:
    part = folder if is_fpga_folder(folder) else emulated_part(folder)
    try:
        bare, place = _bare(folder / MODEL) if part is None else _emulation(part), folder.resolve()
    except UnreadableError as error:
        if part in (None, folder) or not (folder / MANIFEST).is_file():
            raise
        raise damaged(folder, error) from error
    if not place.name.isdigit():
        return bare
    manifest = read_manifest(folder) if (folder / MANIFEST).is_file() else None
    return Inspection(
        path=bare.path,
        artifact=bare.artifact,
        signature=manifest.signature if manifest else bare.signature,
        size=bare.size,
        readers=bare.readers,
        unknown=bare.unknown,
        package=(place.parent.name, int(place.name)),
        manifest=manifest,
        problems=tuple(verify(folder)) if manifest else None,
        emulation=bare.emulation,
    )


def _bare(path: Path) -> Inspection:
    artifact = read_onnx(path)
    return Inspection(
        path=path,
        artifact=artifact,
        signature=artifact.signature,
        size=sum((artifact.root / name).stat().st_size for name in artifact.files),
        readers=tuple(readers(artifact.opset, artifact.ir_version)),
        unknown=tuple(unknown_readers()),
    )
