"""Tells what a path or name holds, by its content and not by its suffix."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from portinf.errors import CannotError, UnreadableError, UsageError, first_line

__all__ = ["Factory", "Format", "Found", "detect"]

Format = Literal["factory", "keras", "keras-h5", "savedmodel", "onnx", "package", "graphdef", "tflite"]


@dataclass(frozen=True, kw_only=True)
class Factory:
    """A callable that returns a model.

    Attributes:
        file: Python file that defines it, or None.
        module: module that defines it, or None.
        name: dotted name inside.
    """

    file: Path | None = None
    module: str | None = None
    name: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a name turned out to be.

    Attributes:
        format: one of the known formats.
        path: the file or folder; for a factory its file or the current folder.
        factory: set for ``factory``.
    """

    format: Format
    path: Path
    factory: Factory | None = None


def detect(source: str) -> Found:
    """Return what ``source`` is: a path, or ``file.py:factory`` or ``package.module:factory``.

    Raises:
        UnreadableError: missing, damaged, or of no known format.
        CannotError: a known format that needs something else as well; the message says what.
    """
    path = Path(source)
    if path.exists():
        return Found(format=_of_folder(path) if path.is_dir() else _of_file(path), path=path)
    head, colon, name = source.rpartition(":")
    if colon and re.fullmatch(r"[A-Za-z_][\w.]*", name):
        if head.endswith(".py"):
            if not Path(head).is_file():
                raise UnreadableError(f"{head}: no such file; expected a Python file that defines '{name}'")
            return Found(format="factory", path=Path(head), factory=Factory(file=Path(head), name=name))
        if re.fullmatch(r"[A-Za-z_][\w.]*", head):
            return Found(format="factory", path=Path.cwd(), factory=Factory(module=head, name=name))
    if source.endswith(".py"):
        raise UsageError(f"{source}: name the callable that returns the model, as {source}:build")
    raise UnreadableError(f"{source}: no such file or folder; expected a model, 'file.py:factory' or 'package.module:factory'")


def _of_folder(path: Path) -> Format:
    if (path / "saved_model.pb").is_file():
        return "savedmodel"
    if (path / "config.pbtxt").is_file():
        return "package"
    raise UnreadableError(
        f"{path}: a folder of no known kind; expected a SavedModel (saved_model.pb) or a packaged model (config.pbtxt)"
    )


def _of_file(path: Path) -> Format:
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read: {error.strerror}") from error
    if not head:
        raise UnreadableError(f"{path}: the file is empty; expected a model")
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "keras-h5"
    if head.startswith(b"PK\x03\x04"):
        return _of_zip(path)
    if head[4:8] == b"TFL3":
        return "tflite"
    if head.startswith(b"\x80") and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise CannotError(
            f"{path}: a Python pickle: it holds weights or objects, not a model that can be read without running code; "
            "name the factory of the model (file.py:factory) and give this file as --weights"
        )
    if _is_onnx(path):
        return "onnx"
    if _is_tensorflow(path):
        return "graphdef"
    raise UnreadableError(
        f"{path}: of no known format; expected .keras, .h5, SavedModel folder, frozen .pb, .tflite, .onnx or file.py:factory"
    )


def _of_zip(path: Path) -> Format:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise UnreadableError(f"{path}: a damaged or truncated archive: {first_line(error)}") from error
    if "config.json" in names and "metadata.json" in names:
        return "keras"
    inner = {name.split("/", 1)[1] for name in names if "/" in name}
    if any(name.startswith("models/") or name == "archive_format" for name in inner):
        raise CannotError(f"{path}: a torch.export archive (.pt2): not supported yet; name the factory of the model instead")
    if "constants.pkl" in inner and any(name.startswith("code/") for name in inner):
        raise CannotError(f"{path}: a TorchScript archive: not supported yet; name the factory of the model instead")
    if "data.pkl" in inner:
        raise CannotError(
            f"{path}: weights saved by torch.save; name the factory of the model (file.py:factory) and give this file as --weights"
        )
    raise UnreadableError(f"{path}: an archive of no known kind; expected a .keras file")


def _is_onnx(path: Path) -> bool:
    """An ONNX file starts with field 1 (ir_version, varint) and is read whole to be sure; see onnx.proto3 ModelProto."""
    from portinf.artifact import load_proto

    try:
        load_proto(path)
    except UnreadableError:
        return False
    return True


def _is_tensorflow(path: Path) -> bool:
    """Say whether this is a GraphDef; the protobuf inside a SavedModel is refused with the name of its folder."""
    from portinf.wire import is_graphdef, is_savedmodel

    with path.open("rb") as stream:
        if is_savedmodel(stream, path.stat().st_size):
            raise UnreadableError(f"{path}: the protobuf of a SavedModel, without its variables: name its folder instead")
        return is_graphdef(stream, path.stat().st_size)
