"""A name on the command line -> a stream of samples; the format is recognised by the file's content, not by its name."""

from __future__ import annotations

import importlib
from pathlib import Path

from portinf.core.batch import load_npz
from portinf.core.errors import UnreadableError, UsageError
from portinf.samples.columns import Reader
from portinf.samples.options import StreamOptions
from portinf.samples.stream import FileStream, SampleStream, WholeFile

__all__ = ["FORMATS", "open_stream", "split_place"]

FORMATS: dict[str, tuple[bytes, str]] = {  # first bytes, and who reads on
    "npy": (b"\x93NUMPY", "portinf.samples.readers.npy:NpyReader"),
    "hdf5": (b"\x89HDF\r\n\x1a\n", "portinf.samples.readers.hdf5:Hdf5Reader"),
    "parquet": (b"PAR1", "portinf.samples.readers.parquet:ParquetReader"),
    "root": (b"root", "portinf.samples.readers.root:RootReader"),
}
KNOWN = "expected .npz, .npy, HDF5, Parquet or ROOT"


def split_place(name: str | Path) -> tuple[Path, str]:
    """Split ``FILE:PLACE`` into the file and the group or tree in it; the place is empty where none is named."""
    text = str(name)
    head, colon, place = text.rpartition(":")
    if colon and not Path(text).exists() and Path(head).is_file():
        return Path(head), place.strip("/")
    return Path(text), ""


def open_stream(name: str | Path, options: StreamOptions | None = None) -> SampleStream:
    """Open a file of samples, reading no more than its description.

    Args:
        name: a path, or ``FILE.h5:/group`` or ``FILE.root:TREE``.
        options: how its columns become inputs.

    Raises:
        UnreadableError: missing, damaged, or of no known format.
        UsageError: the place inside is not there; the message lists those there are.
        MissingPackageError: the format needs a package that is not installed.
    """
    options = options or StreamOptions()
    path, place = split_place(name)
    kind = _format(path)
    if kind == "npz":
        if place:
            raise UsageError(f"{name}: an .npz file has no '{place}' inside; leave it out")
        return WholeFile(load_npz(path), options)
    module, _, attribute = FORMATS[kind][1].partition(":")
    reader: Reader = getattr(importlib.import_module(module), attribute)(
        path, place, path.name + (f":{place}" if place else "")
    )
    return FileStream(reader, options)


def _format(path: Path) -> str:
    if not path.is_file():
        raise UnreadableError(f"{path}: no such file; {KNOWN}")
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read: {error.strerror}") from error
    for name, (magic, _) in FORMATS.items():
        if head.startswith(magic):
            return name
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "npz"
    if not head:
        raise UnreadableError(f"{path}: the file is empty; {KNOWN}")
    raise UnreadableError(f"{path}: not a readable file of samples; {KNOWN}")
