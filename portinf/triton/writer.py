"""Writes a model into a Triton model repository: each version appears whole, in one rename, or not at all."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from portinf.core.batch import Batch, save_goldens
from portinf.core.errors import CannotError, UnreadableError, UsageError
from portinf.core.files import sha256
from portinf.core.versions import installed, now
from portinf.onnx_graph.model_file import Artifact
from portinf.triton.config import Accelerator, ModelConfig, config_of, difference, from_text, to_text
from portinf.triton.manifest import CONFIG, GOLDENS, MANIFEST, MODEL, Manifest, version_folders

__all__ = ["Entry", "Packaged", "check_entry", "write_entry"]

TEMPORARY = ".portinf-"  # not a number: Triton does not take it for a version
ATTEMPTS = 100  # of two packagings at once, one takes the next number


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One version to be written.

    Attributes:
        name: model name, the folder's too.
        artifact: the ONNX file and its external data.
        max_batch_size: 0 without batching.
        goldens: batches with the reference's outputs.
        tolerance: ``rtol`` and ``atol`` of the judgement; None for the default of each type.
        validation: the judgement, plain data for JSON.
        batching: why requests may, or may not, be joined.
        options: the user's, for the manifest.
        forced: written although the judgement was "disagrees".
        accelerator: what runs parts of the model on a GPU; None for the backend's own choice.
        config: of a model that is no ONNX file; None for that of the artifact.
        tree: folder that is copied whole in place of the artifact's files; None for those.
        emulation: for the manifest.
    """

    name: str
    artifact: Artifact
    max_batch_size: int = 0
    goldens: Sequence[Batch] = ()
    tolerance: Mapping[str, float | None] = field(default_factory=dict)
    validation: Mapping[str, Any] | None = None
    batching: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    forced: bool = False
    accelerator: Accelerator | None = None
    config: ModelConfig | None = None
    tree: Path | None = None
    emulation: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Packaged:
    """Where a version lies: ``model`` is the model's folder, ``path`` that of the version."""

    model: Path
    path: Path
    version: int
    manifest: Manifest


def check_entry(repository: Path, name: str, *, config: ModelConfig | None = None, version: int | None = None) -> None:
    """Say early what `write_entry` would refuse, before any costly judgement.

    Args:
        repository: the model repository.
        name: model name.
        config: compared with the existing configuration; None where it is not known yet.
        version: None for the next one.

    Raises:
        CannotError: the version exists, or the model serves other tensors.
        UsageError: the version is not a number from 1 on.
        UnreadableError: the existing configuration cannot be read.
    """
    model = repository / name
    if version is not None and version < 1:
        raise UsageError(f"--version {version}: expected 'next' or a whole number from 1 on")
    if version is not None and (model / str(version)).exists():
        raise CannotError(
            f"{model}: version {version} exists, and a version is never overwritten; take --version next or another number"
        )
    if config is not None and (model / CONFIG).is_file():
        _check_config(model / CONFIG, config)


def write_entry(repository: Path, entry: Entry, *, version: int | None = None) -> Packaged:
    """Write one version of a model: ``NAME/config.pbtxt`` where it is new, then ``NAME/N`` whole.

    Args:
        repository: the model repository; created where it is missing.
        entry: the model and its judgement.
        version: its number; None for the next one.

    Raises:
        CannotError: the version exists, or the model serves other tensors than its earlier versions.
        UsageError: the name or the version is not allowed.
        UnreadableError: the folder cannot be written to, or the model changed meanwhile.
    """
    artifact = entry.artifact
    config = entry.config
    if config is None:
        config = config_of(entry.name, artifact.signature, entry.max_batch_size, one_thread=artifact.one_thread)
        config = replace(config, accelerator=entry.accelerator)
    check_entry(repository, entry.name, config=config, version=version)
    model = repository / entry.name
    try:
        with _workspace(model) as folder:
            hashes = _fill(folder, entry)
            return _publish(model, folder, entry, config, version, hashes)
    except OSError as error:
        raise UnreadableError(f"{model}: cannot be written: {error}") from error


@contextmanager
def _workspace(model: Path) -> Iterator[Path]:
    """Yield an empty hidden folder beside the versions; what is left of it, and of a model without versions, is removed."""
    new = not model.exists()
    folder = _make_folder(model)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if new and not version_folders(model):
            _remove_model(model)


def _make_folder(model: Path) -> Path:
    for _ in range(ATTEMPTS):
        model.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another packaging gave up and took the empty folder away
            folder = model / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}"
            folder.mkdir()
            return folder
    raise UnreadableError(f"{model}: this folder is removed again and again while a version is written into it")


def _remove_model(model: Path) -> None:
    """Remove a model folder that holds at most a configuration; another packaging at work in it keeps it."""
    with suppress(OSError):
        if {entry.name for entry in model.iterdir()} <= {CONFIG}:
            (model / CONFIG).unlink(missing_ok=True)
            model.rmdir()


def _fill(folder: Path, entry: Entry) -> dict[str, str]:
    """Copy the model byte for byte, write the goldens, and return the sha256 of every file."""
    hashes = _copied(folder, entry) if entry.tree is None else _copied_tree(folder, entry.tree)
    save_goldens(folder / GOLDENS, entry.goldens)
    return {**hashes, GOLDENS: sha256(folder / GOLDENS)}


def _copied_tree(folder: Path, tree: Path) -> dict[str, str]:
    shutil.copytree(tree, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}


def _copied(folder: Path, entry: Entry) -> dict[str, str]:
    hashes: dict[str, str] = {}
    for number, (source, expected) in enumerate(entry.artifact.files.items()):
        target = source if number else MODEL
        if target in hashes or target in (MANIFEST, GOLDENS):
            raise CannotError(f"{entry.artifact.path}: its external data file may not be called '{source}'; convert it again")
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(entry.artifact.root / source, folder / target)
        hashes[target] = sha256(folder / target)
        if hashes[target] != expected:
            raise UnreadableError(f"{entry.artifact.root / source}: changed while it was being packaged; start again")
    return hashes


def _publish(
    model: Path, folder: Path, entry: Entry, config: ModelConfig, version: int | None, hashes: Mapping[str, str]
) -> Packaged:
    """Give the finished folder its number: configuration first, for a version alone would be served by guess."""
    for _ in range(ATTEMPTS):
        _ensure_config(model, folder, config)
        number = version or _next(model)
        manifest = _manifest(entry, number, hashes, sha256(model / CONFIG))
        (folder / MANIFEST).write_text(json.dumps(manifest.to_json(), indent=1, default=str) + "\n", encoding="utf-8")
        _sync(folder)
        if _claim(folder, model / str(number)):
            _ensure_config(model, model / str(number), config)  # a failing rival may have taken it away
            return Packaged(model=model, path=model / str(number), version=number, manifest=manifest)
        check_entry(model.parent, entry.name, config=config, version=version)
    raise CannotError(f"{model}: {ATTEMPTS} attempts to write the next version all collided with other processes; try again")


def _next(model: Path) -> int:
    number = max(version_folders(model), default=0) + 1
    while (model / str(number)).exists():  # a file of that name
        number += 1
    return number


def _claim(folder: Path, target: Path) -> bool:
    """Rename the finished folder to its number; False where another packaging was first."""
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            return False
        raise
    return True


def _ensure_config(model: Path, folder: Path, config: ModelConfig) -> None:
    """Hold an existing configuration against ours, or put ours there without replacing a rival's."""
    path = model / CONFIG
    if path.is_file():
        _check_config(path, config)
        return
    temporary = folder.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}")
    temporary.write_text(to_text(config), encoding="utf-8")
    try:
        os.link(temporary, path)
    except FileExistsError:
        _check_config(path, config)
    except OSError:  # a file system without hard links
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _check_config(path: Path, config: ModelConfig) -> None:
    old = from_text(path.read_text(encoding="utf-8"), str(path))
    found = difference(old, config)
    if found:
        size = f"--max-batch-size {old.max_batch_size} or " if old.max_batch_size != config.max_batch_size else ""
        raise CannotError(f"{path}: all versions of a model share it, and this one differs: {found}; take {size}another --name")


def _manifest(entry: Entry, version: int, hashes: Mapping[str, str], config_sha256: str) -> Manifest:
    return Manifest(
        name=entry.name,
        version=version,
        created=now(),
        files=hashes,
        config_sha256=config_sha256,
        max_batch_size=entry.max_batch_size,
        batching=entry.batching,
        versions=installed(),
        options=entry.options,
        signature=entry.artifact.signature,
        provenance=entry.artifact.provenance,
        tolerance=entry.tolerance,
        validation=entry.validation,
        forced=entry.forced,
        emulation=entry.emulation,
    )


def _sync(folder: Path) -> None:
    """Bring every file to the disk before the folder gets its number: a crash must not leave a hollow version."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
