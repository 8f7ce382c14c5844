"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from portinf.core.errors import UnreadableError

__all__ = ["sha256", "whole_file", "whole_folder", "write_text"]


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a stream; what was written to it takes the place of ``path`` at the end: a reader sees the old file or the whole new one.

    Raises:
        UnreadableError: the file cannot be written.
    """
    temporary = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as stream:
            yield stream
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """Write a text, as `whole_file` does.

    Raises:
        UnreadableError: the file cannot be written.
    """
    with whole_file(path) as stream:
        stream.write(content.encode())


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``out`` that takes its place at the end; one that is there already is removed then.

    Raises:
        UnreadableError: the folder cannot be written.
    """
    work = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        new = work / "new"
        new.mkdir()
        yield new
        if out.exists():
            out.replace(work / "old")
        new.replace(out)
    except OSError as error:
        raise UnreadableError(f"{out}: cannot be written: {error.strerror or error}") from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
