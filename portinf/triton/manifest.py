"""Turns a packaged model version into its manifest, and a manifest into a list of what was tampered with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from portinf.core.errors import CannotError, PortinfError, UnreadableError, first_line
from portinf.core.files import sha256
from portinf.core.signature import Signature

__all__ = ["CONFIG", "GOLDENS", "MANIFEST", "MODEL", "Manifest", "damaged", "read_manifest", "verify", "version_folders"]

SCHEMA = 1
CONFIG = "config.pbtxt"
MODEL = "model.onnx"
MANIFEST = "portinf.json"
GOLDENS = "goldens.npz"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What one version of a packaged model is made of, and how it was judged.

    Attributes:
        name, version: of the model in its repository.
        created: UTC time in ISO 8601.
        files: sha256 of every file in the version's folder but the manifest, by its path there.
        config_sha256: of the config.pbtxt that was in force when the version was written.
        max_batch_size: of the configuration.
        batching: why requests may, or may not, be joined into one batch.
        versions: of portinf, python and the packages that wrote and judged the version.
        options: as given by the user.
        signature: names, types, axes and roles.
        provenance: of the model.
        tolerance: ``rtol`` and ``atol`` of the judgement; None for the default of each type.
        validation: the judgement in full; None where there was none.
        forced: the judgement was "disagrees" and the user wanted the version anyway.
        emulation: what is emulated, of a model for an FPGA; None for an ONNX file.
    """

    name: str
    version: int
    created: str
    files: Mapping[str, str]
    config_sha256: str
    max_batch_size: int
    batching: str
    versions: Mapping[str, str]
    options: Mapping[str, Any]
    signature: Signature
    provenance: Mapping[str, Any]
    tolerance: Mapping[str, float | None]
    validation: Mapping[str, Any] | None
    forced: bool
    emulation: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {"schema": SCHEMA, **data, "signature": self.signature.to_json()}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Manifest:
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError: the data is something else.
        """
        fields = {name: data[name] for name in Manifest.__dataclass_fields__ if name != "emulation"}
        fields["emulation"] = data.get("emulation")  # not in a manifest from before there were any
        return replace(Manifest(**fields), signature=Signature.from_json(data["signature"]))


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of one version folder.

    Raises:
        UnreadableError: there is none, or it is damaged.
        CannotError: written by a newer portinf.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise UnreadableError(f"{folder}: no {MANIFEST} in it: not a version that portinf packaged")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            raise CannotError(f"{path}: schema {data['schema']}, this version reads {SCHEMA}: update portinf")
        manifest = Manifest.from_json(data)
        if not all(isinstance(text, str) for text in (*manifest.files.values(), manifest.config_sha256)):
            raise TypeError("a hash is not text")
        return manifest
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableError(f"{path}: damaged: {first_line(error)}; package the model again") from error


def version_folders(model: Path) -> dict[int, Path]:
    """Return the version folders of a model by number, oldest first; Triton reads whole numbers from 1 on."""
    names = [entry.name for entry in model.iterdir() if entry.is_dir()] if model.is_dir() else []
    numbers = sorted(int(name) for name in names if re.fullmatch("[1-9][0-9]*", name))
    return {number: model / str(number) for number in numbers}


def verify(folder: Path) -> list[str]:
    """Hash the files of a package again and hold them against its manifest.

    Args:
        folder: a model's folder (every version of it is read), or that of one version.

    Returns:
        One line per problem; empty where all is as it was written.

    Raises:
        UnreadableError: not a package, or its manifest is damaged.
        CannotError: written by a newer portinf.
    """
    if (folder / MANIFEST).is_file():
        return list(_problems(folder))
    versions = version_folders(folder)
    if not versions:
        raise UnreadableError(f"{folder}: neither a packaged model nor one version of it: no {MANIFEST} found")
    return [problem for path in versions.values() for problem in _problems(path)]


def damaged(version: Path, error: PortinfError) -> UnreadableError:
    """Return the error of a version that cannot be opened: the first file that is not as it was packaged, where there is one."""
    problems = verify(version)
    return UnreadableError(f"{problems[0] if problems else error}; package the model again")


def _problems(folder: Path) -> Iterator[str]:
    manifest = read_manifest(folder)
    for name, expected in manifest.files.items():
        yield from _changed(folder / name, expected)
    # A link to a folder is not followed, and no package holds one.
    there = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir())
    for name in (path.as_posix() for path in there if "__pycache__" not in path.parts):  # a server's Python writes those
        if name not in manifest.files and name != MANIFEST:
            yield f"{folder / name}: not in the manifest: added after packaging"
    yield from _changed(folder.parent / CONFIG, manifest.config_sha256)


def _changed(path: Path, expected: str) -> Iterator[str]:
    if not path.is_file():
        yield f"{path}: missing"
        return
    found = sha256(path)
    if found != expected:
        yield f"{path}: changed after packaging: sha256 was {expected[:16]}..., is {found[:16]}..."
