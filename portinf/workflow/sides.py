"""A name on the command line -> something that can be compared: a source, an ONNX file, a packaged model, an endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from portinf.artifact import read_onnx
from portinf.detect import detect
from portinf.errors import UnreadableError
from portinf.runners import Runner, is_endpoint, open_runner
from portinf.runners.onnxruntime import OnnxRuntimeRunner
from portinf.samples import Batch, load_goldens
from portinf.signature import Signature
from portinf.triton.manifest import CONFIG, GOLDENS, MANIFEST, MODEL, read_manifest, verify, version_folders
from portinf.validation import Tolerance

__all__ = ["Side", "open_side"]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of a comparison.

    Attributes:
        name: as the user gave it.
        runner: answers; None for a source, which is opened once the samples are known.
        signature: from portinf's metadata, the graph or the server; None for a source.
        described: the signature comes with labels and roles (an ONNX file, a package), not from a server's shapes alone.
        recorded: goldens of a packaged model.
        tolerance: that a packaged model was judged with; None elsewhere.
        notes: what is wrong with the files.
        endpoint: it is a live server.
        onnx: the ONNX file that it answers with; None for a source and a server.
    """

    name: str
    runner: Runner | None = None
    signature: Signature | None = None
    described: bool = False
    recorded: Sequence[Batch] = ()
    tolerance: Tolerance | None = None
    notes: Sequence[str] = ()
    endpoint: bool = False
    onnx: Path | None = None

    @property
    def is_source(self) -> bool:
        """Whether it is a source that has still to be opened."""
        return self.runner is None


def open_side(name: str, stack: ExitStack) -> Side:
    """Open one side; what it holds is closed with ``stack``.

    Args:
        name: a path, ``file.py:factory``, ``package.module:factory`` or the address of a live model.
        stack: takes the runner.

    Raises:
        PortinfError: it cannot be read, or does not answer.
    """
    if is_endpoint(name):
        runner = stack.enter_context(open_runner(name))
        return Side(name=name, runner=runner, signature=runner.signature, endpoint=True)
    folder = _version_folder(Path(name))
    if folder is not None:
        return _packaged(name, folder, stack)
    if detect(name).format == "onnx":
        runner = stack.enter_context(OnnxRuntimeRunner(Path(name)))
        return Side(name=name, runner=runner, signature=runner.signature, described=True, onnx=Path(name))
    return Side(name=name)


def _version_folder(path: Path) -> Path | None:
    """Return the version folder meant, itself or the newest of a packaged model; None for anything else."""
    if not path.is_dir() or (path / "saved_model.pb").is_file():
        return None
    if (path / MODEL).is_file():
        return path
    versions = list(version_folders(path).values())
    if not versions and not (path / CONFIG).is_file():
        return None
    if not versions:
        raise UnreadableError(f"{path}: not a packaged model: expected a version such as 1/{MODEL} in it, found none")
    if not (versions[-1] / MODEL).is_file():
        raise UnreadableError(f"{versions[-1]}: no {MODEL} in it: the newest version is not complete; package it again")
    return versions[-1]


def _packaged(name: str, folder: Path, stack: ExitStack) -> Side:
    path = folder / MODEL
    runner = stack.enter_context(OnnxRuntimeRunner(path))
    manifest = read_manifest(folder) if (folder / MANIFEST).is_file() else None
    recorded = load_goldens(folder / GOLDENS) if (folder / GOLDENS).is_file() else []
    bounds = manifest.tolerance if manifest is not None else None
    return Side(
        name=name,
        runner=runner,
        signature=manifest.signature if manifest is not None else read_onnx(path).signature,
        described=True,
        recorded=recorded,
        tolerance=None if bounds is None else Tolerance.of(bounds.get("rtol"), bounds.get("atol")),
        notes=verify(folder) if manifest is not None else [],
        onnx=path,
    )
