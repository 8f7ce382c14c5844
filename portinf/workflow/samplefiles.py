"""The files of ``--inputs`` -> small batches that describe a model, and the notes on how they were read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from portinf.discovery import Given
from portinf.errors import RunnerError, UnreadableError, UsageError
from portinf.samples import Array, Arrays, Batch
from portinf.signature import Axis, Role, Signature
from portinf.sources.model import Declared
from portinf.streams import SampleStream, StreamOptions, Wanted, open_stream

__all__ = ["bound", "guessed_heads", "heads", "notes", "open_files", "source_heads"]


def open_files(inputs: Iterable[Path], options: StreamOptions) -> list[SampleStream]:
    """Open every file.

    Raises:
        UnreadableError: one is missing, damaged or of no known format.
    """
    return [open_stream(path, options) for path in inputs]


def bound(files: Sequence[SampleStream], signature: Signature) -> list[SampleStream]:
    """Return the files read for the inputs of a signature."""
    return [file.bound([Wanted.of(spec) for spec in signature.inputs]) for file in files]


def heads(files: Sequence[SampleStream]) -> list[Batch]:
    """Return the small batches of all files."""
    return [batch for file in files for batch in file.heads()]


def notes(files: Sequence[SampleStream]) -> list[str]:
    """Say what was read of large files, and how."""
    found: list[str] = []
    for file in files:
        taken = max((batch.rows for batch in file.heads()), default=0)
        if not file.whole and taken < file.rows:
            found.append(f"{file.name}: the first {taken} of {file.rows:,} rows describe the model")
        found += [line for line in file.notes if line not in found]
    return found


def guessed_heads(files: Sequence[SampleStream]) -> list[Batch]:
    """Return small batches for a model of which nothing is known yet; none where the columns need to know more."""
    try:
        return heads([file.bound(()) for file in files])
    except UnreadableError:
        raise
    except UsageError:
        return []


def source_heads(
    files: Sequence[SampleStream], inputs: Sequence[Declared], told: Given, infer: Callable[[Mapping[str, Array]], Arrays]
) -> tuple[list[SampleStream], list[Batch]]:
    """Read small batches for a source that was loaded.

    A model that does not say its types is given those of the file; where it fails on float64, it is given float32.

    Args:
        files: the user's.
        inputs: what the model declares.
        told: what it and the user say of axes and roles.
        infer: runs the source.

    Returns:
        The files bound to the inputs, and the batches.
    """
    wanted = [_wanted(item, told) for item in inputs]
    mine = [file.bound(wanted) for file in files]
    given = heads(mine)
    open_types = {item.name for item in inputs if item.dtype is None}
    doubles = {name for batch in given for name, array in batch.inputs.items() if array.dtype == "float64"} & open_types
    if not doubles or all(file.whole for file in files) or _works(infer, given[0]):
        return mine, given
    narrower = [file.bound([replace(w, dtype="float32") if w.name in doubles else w for w in wanted]) for file in files]
    again = heads(narrower)
    return (narrower, again) if _works(infer, again[0]) else (mine, given)


def _works(infer: Callable[[Mapping[str, Array]], Arrays], batch: Batch) -> bool:
    try:
        infer(batch.inputs)
    except RunnerError:
        return False
    return True


def _wanted(item: Declared, told: Given) -> Wanted:
    labels = {axis: label for (name, axis), label in told.dynamic.items() if name == item.name and label}
    role = told.roles.get(item.name, Role())
    if item.shape is None:
        return Wanted(name=item.name, dtype=item.dtype, role=role, optional=True, labels=labels)
    least = item.minimums or (0,) * len(item.shape)
    shape = tuple(
        Axis(label=labels.get(k) or f"{item.name}_{k}", minimum=least[k]) if n is None else Axis(size=n)
        for k, n in enumerate(item.shape)
    )
    return Wanted(name=item.name, dtype=item.dtype, shape=shape, role=role, optional=item.optional)
