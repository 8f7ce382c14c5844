"""Makes a temporary folder at a path that needs no quotes, for programs of others that hand paths to a shell."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from portinf.core.errors import UnreadableError, printable

__all__ = ["scratch_folder"]

_PLAIN = re.compile(r"[A-Za-z0-9_.+/-]+")
_USUAL = ("/tmp", "/var/tmp")


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """Yield a new folder for the time of the block: in TMPDIR, or where its path has other characters, in ``/tmp``.

    Triton's Python backend hands paths to a shell without quotes, and the Python of its stubs reads ASCII paths alone; make takes
    no folder with a space.

    Raises:
        UnreadableError: no such folder can be made.
    """
    try:
        made = _made(prefix)
    except OSError as error:
        raise UnreadableError(
            f"cannot make a temporary folder: {printable(str(error))}; set TMPDIR to a folder that can be written, whose path has ASCII "
            "letters, digits and . _ + - only"
        ) from error
    with made as name:
        yield Path(name)


def _made(prefix: str) -> tempfile.TemporaryDirectory[str]:
    failure = OSError("no usable folder")
    for parent in (tempfile.gettempdir(), *_USUAL):
        if _PLAIN.fullmatch(parent):
            try:
                return tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True)
            except OSError as error:
                failure = error
    raise failure
