"""The files of ``--inputs`` -> streams, and the small batches of their first rows, which describe a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from portinf.core.batch import Batch
from portinf.core.errors import UnreadableError, UsageError
from portinf.core.signature import Signature
from portinf.samples import InputRequest, SampleStream, StreamOptions, open_stream

__all__ = ["bound", "guessed_heads", "heads", "open_files"]


def open_files(inputs: Iterable[Path], options: StreamOptions) -> list[SampleStream]:
    """Open every file.

    Raises:
        UnreadableError: one is missing, damaged or of no known format.
    """
    return [open_stream(path, options) for path in inputs]


def bound(files: Sequence[SampleStream], signature: Signature) -> list[SampleStream]:
    """Return the files read for the inputs of a signature."""
    return [file.bound([InputRequest.of(spec) for spec in signature.inputs]) for file in files]


def heads(files: Sequence[SampleStream]) -> list[Batch]:
    """Return the small batches of all files."""
    return [batch for file in files for batch in file.heads()]


def guessed_heads(files: Sequence[SampleStream]) -> list[Batch]:
    """Return small batches for a model of which nothing is known yet; none where the columns need to know more."""
    try:
        return heads([file.bound(()) for file in files])
    except UnreadableError:
        raise
    except UsageError:
        return []
