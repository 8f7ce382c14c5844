"""Tells what a path or name holds, by its content and not by its suffix."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickletools
import re
import zipfile
import zlib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from portinf.core.errors import CannotError, UnreadableError, UsageError, first_line
from portinf.onnx_graph.model_file import load_proto
from portinf.sources.plugins import source_plugins

__all__ = ["Factory", "Found", "detect"]

TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch.save before 1.6: pickle of its magic number


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
        format: ``factory``, a key of the loaders' table (`portinf.sources.opening`), or an added source's name.
        path: the file or folder; for a factory its file or the current folder.
        factory: set for ``factory``.
    """

    format: str
    path: Path
    factory: Factory | None = None


def detect(source: str) -> Found:
    """Return what ``source`` is: a path, or ``file.py:factory`` or ``package.module:factory``.

    Raises:
        UnreadableError: missing, damaged, or of no known format.
        CannotError: a known format that needs something else as well; the message says what.
    """
    path = Path(source)
    if path.is_file() and path.suffix == ".py":
        raise UsageError(f"{source}: name the callable that returns the model, as {source}:build")
    if path.exists():
        return Found(format=_of_path(path), path=path)
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


def _of_path(path: Path) -> str:
    try:
        return _of_folder(path) if path.is_dir() else _of_file(path)
    except UnreadableError:
        for name, plugin in source_plugins().items():
            if plugin.detects(path):
                return name
        raise


def _of_folder(path: Path) -> str:
    if (path / "saved_model.pb").is_file():
        return "savedmodel"
    raise UnreadableError(
        f"{path}: unknown kind of folder; expected a SavedModel (saved_model.pb), a packaged model (config.pbtxt and a version such as "
        "1/model.onnx) or a folder of portinf optimize"
    )


def _of_file(path: Path) -> str:
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
    if head.startswith(TORCH_MAGIC):
        return "torch-pickle"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size - 8:
        raise CannotError(
            f"{path}: weights (safetensors); name the factory of the model (file.py:factory) and give this file as --weights"
        )
    if _is_pickle(path, head):
        return "pickle"
    if re.match(rb'\{\s*"learner"\s*:', head.lstrip()) or (head.startswith(b"{L") and b"learner" in head):
        return "xgboost"
    if re.match(rb"tree\r?\nversion=v", head):
        return "lightgbm"
    if _is_onnx(path):
        return "onnx"
    if _is_tensorflow(path):
        return "graphdef"
    if path.suffix == ".onnx":
        load_proto(path)  # says what is wrong with it
    raise UnreadableError(
        f"{path}: unknown format; expected .keras, .h5, a SavedModel folder, a frozen .pb, .tflite, TorchScript, .pt2, a file of "
        "XGBoost or LightGBM, .onnx or file.py:factory"
    )


def _is_pickle(path: Path, head: bytes) -> bool:
    """A pickle, plain or as joblib compresses it; its instructions are read and never followed."""
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"]\0\0", b"x")):
        head = _unpacked(path, head)
    if head[:1] == b"\x80":
        return head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    if head[:1] not in (b"c", b"("):
        return False
    try:  # protocols 0 and 1 have no mark at the front
        with path.open("rb") as stream:
            return len(list(islice(pickletools.genops(stream), 50))) > 1
    except (ValueError, UnicodeDecodeError, EOFError):
        return False


def _unpacked(path: Path, head: bytes) -> bytes:
    """Return the first two bytes of a compressed file, or nothing where it is damaged."""
    try:
        if head.startswith(b"x"):
            return zlib.decompressobj().decompress(path.read_bytes(), 2)
        opener = gzip.open if head.startswith(b"\x1f\x8b") else bz2.open if head.startswith(b"BZh") else lzma.open
        with opener(path) as stream:
            return bytes(stream.read(2))
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
        return b""


def _of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise UnreadableError(f"{path}: a damaged or truncated archive: {first_line(error)}") from error
    if "config.json" in names and "metadata.json" in names:
        return "keras"
    inner = {name.split("/", 1)[1] for name in names if "/" in name}
    if any(name.startswith("models/") or name == "archive_format" for name in inner):
        return "pt2"
    if "serialized_exported_program.json" in names:
        return "pt2"
    if "constants.pkl" in inner and any(name.startswith("code/") for name in inner):
        return "torchscript"
    if "data.pkl" in inner:
        return "torch-pickle"
    raise UnreadableError(f"{path}: unknown kind of archive; expected a .keras file, TorchScript, .pt2 or torch.save")


def _is_onnx(path: Path) -> bool:
    """An ONNX file starts with field 1 (ir_version, varint) and is read whole to be sure; see onnx.proto3 ModelProto."""
    try:
        load_proto(path)
    except UnreadableError:
        return False
    return True


def _is_tensorflow(path: Path) -> bool:
    """Say whether this is a GraphDef; the protobuf inside a SavedModel is refused with the name of its folder."""
    from portinf.sources.protobuf_fields import is_graphdef, is_savedmodel

    with path.open("rb") as stream:
        if path.suffix != ".onnx" and is_savedmodel(stream, path.stat().st_size):
            raise UnreadableError(f"{path}: the protobuf of a SavedModel, without its variables: name its folder instead")
        return is_graphdef(stream, path.stat().st_size)
