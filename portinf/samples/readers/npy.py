"""A .npy file, mapped into memory a part at a time: a plain array, or a structured one whose fields are columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from portinf.core.batch import Array
from portinf.core.errors import UnreadableError, UsageError
from portinf.samples.columns import Column, ColumnInfo, reading, windows

__all__ = ["ARRAY", "NpyReader", "info_of"]

ARRAY = "array"  # how a plain array is called


class NpyReader:
    """One file; see `portinf.samples.columns.Reader`.

    Args:
        path: the file.
        inner: a place inside; there is none in this format.
        name: as messages call it.
    """

    def __init__(self, path: Path, inner: str, name: str) -> None:
        if inner:
            raise UsageError(f"{name}: a .npy file has no '{inner}' inside; leave it out")
        self._path, self.name = path, name
        array = self._mapped()
        if array.ndim == 0:
            raise UnreadableError(f"{name}: a single number; expected an array with one row per event")
        self.rows = len(array)
        self.plain = array.dtype.names is None
        self.names: Sequence[str] = [ARRAY] if array.dtype.names is None else array.dtype.names
        self._dtype, self._tail = array.dtype, array.shape[1:]

    def _mapped(self) -> Array:
        """Map the file again: what was read before may be released, so memory stays bounded."""
        with reading(self.name):
            try:
                array: Array = np.load(self._path, mmap_mode="r", allow_pickle=False)
            except ValueError as error:
                if "Array can't be memory-mapped" not in str(error):
                    raise
                raise UnreadableError(f"{self.name}: it holds Python objects; save numbers of one type") from error
        return array

    def info(self, column: str) -> ColumnInfo:
        """Describe one column."""
        dtype = self._dtype if self.plain else self._dtype[column]
        return info_of(dtype, self._tail)

    def parts(self, columns: Sequence[str], rows: int, start: int, stop: int) -> Iterator[Mapping[str, Column]]:
        """Yield views of the file where it is plain, copies of the fields where it is structured."""
        for first, last in windows(rows, start, stop):
            part = np.asarray(self._mapped()[first:last])
            yield {name: part if self.plain else np.ascontiguousarray(part[name]) for name in columns}


def info_of(dtype: np.dtype[Any], tail: tuple[int, ...]) -> ColumnInfo:
    """Describe a column of a numpy type, which may bring axes of its own."""
    base, inner = dtype.base, dtype.shape
    if base.kind not in "biuf":
        return ColumnInfo(dtype=None, kind="a structure" if base.names else str(base))
    return ColumnInfo(dtype=base.newbyteorder("="), tail=(*tail, *inner))
