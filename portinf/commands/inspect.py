"""Turns an ONNX file, a packaged model, a folder of ``optimize`` or a live model into a description of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from portinf.core.errors import UnreadableError
from portinf.locate.resolve import ModelRef, take
from portinf.runners.endpoint.runner import EndpointRunner
from portinf.triton.inspection import Inspection, describe_file
from portinf.triton.manifest import MANIFEST, MODEL, damaged, read_manifest, verify

__all__ = ["inspect"]


def inspect(text: str) -> Inspection:
    """Describe what a text names; of a packaged model it is the newest version.

    Raises:
        UnreadableError: missing, damaged, or of no known kind.
        CannotError: an ONNX file that portinf cannot describe, for example with sequences; a source; recorded answers.
        ServingError: a live model does not answer.
    """
    ref = take(text, "inspect")
    if ref.path is None:
        return _live(ref.text)
    if ref.kind == "version":
        return _packaged(ref, ref.path)
    if ref.target is not None:
        return ref.target.inspect(ref.path)
    return describe_file(ref.path)


def _live(address: str) -> Inspection:
    with EndpointRunner(address) as runner:
        data = {"endpoint": {"versions": list(runner.info.versions), "parameters": dict(runner.info.parameters)}}
        parameters = ", ".join(f"{name} {value}" for name, value in runner.info.parameters.items())
        lines = {"versions": ", ".join(runner.info.versions), **({"parameters": parameters} if parameters else {})}
        return Inspection(place=address, signature=runner.signature, data=data, lines=lines)


def _packaged(ref: ModelRef, folder: Path) -> Inspection:
    managed = (folder / MANIFEST).is_file()
    if ref.target is None or ref.folder is None:
        found = describe_file(folder / MODEL)
    else:
        try:
            found = ref.target.inspect(ref.folder)
        except UnreadableError as error:
            if not managed:
                raise
            raise damaged(folder, error) from error
    place = folder.resolve()
    if not place.name.isdigit():
        return found
    found = replace(found, package=(place.parent.name, int(place.name)))
    if not managed:
        return found
    manifest = read_manifest(folder)
    return replace(found, signature=manifest.signature, manifest=manifest, problems=tuple(verify(folder)))
