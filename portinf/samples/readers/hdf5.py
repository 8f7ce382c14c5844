"""An HDF5 file: datasets are columns; fields of a compound dataset too; a dataset of variable-length rows is jagged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from portinf.core.errors import UnreadableError, UsageError
from portinf.core.optional import require
from portinf.samples.columns import Column, ColumnInfo, Jagged, reading, windows
from portinf.samples.readers.npy import info_of

__all__ = ["Hdf5Reader"]


class Hdf5Reader:
    """One file, kept open; see `portinf.samples.columns.Reader`.

    Columns of different lengths may lie in one file: those that are read together must be equally long.

    Args:
        path: the file.
        inner: group or compound dataset whose columns are meant; empty for the whole file.
        name: as messages call it.
    """

    plain = False

    def __init__(self, path: Path, inner: str, name: str) -> None:
        self._h5py = require("h5py", "data")
        self.name = name
        with reading(name):
            self._file: Any = self._h5py.File(path, "r")
            if inner and inner not in self._file:
                raise UsageError(f"{name}: no '{inner}' in it; there are: {', '.join(self._file) or 'nothing'}")
            root = self._file[inner] if inner else self._file
            self._places: dict[str, tuple[Any, str]] = dict(self._found(root, ""))
        if not self._places:
            raise UnreadableError(f"{name}: no dataset with rows in it")
        self.names: Sequence[str] = list(self._places)
        self.rows = max(len(dataset) for dataset, _ in self._places.values())

    def _found(self, node: Any, prefix: str) -> Iterator[tuple[str, tuple[Any, str]]]:
        """Yield name, dataset and field of each column below a node, in the file's order."""
        if not isinstance(node, self._h5py.Dataset):
            for key in node:
                child = node.get(key)
                if child is not None:  # a link to another file may lead nowhere
                    yield from self._found(child, f"{prefix}/{key}".lstrip("/"))
        elif node.ndim and node.dtype.names is not None:
            for field in node.dtype.names:
                yield f"{prefix}/{field}".lstrip("/"), (node, field)
        elif node.ndim:
            yield prefix or node.name.rpartition("/")[2], (node, "")

    def info(self, column: str) -> ColumnInfo:
        """Describe one column."""
        return replace(self._info(column), rows=len(self._places[column][0]))

    def _info(self, column: str) -> ColumnInfo:
        dataset, field = self._places[column]
        dtype = dataset.dtype[field] if field else dataset.dtype
        inner = self._h5py.check_vlen_dtype(dtype)
        if inner is None:
            return info_of(dtype, dataset.shape[1:])
        if dataset.ndim > 1 or not isinstance(inner, np.dtype) or inner.kind not in "biuf":
            return ColumnInfo(dtype=None, kind="text" if inner in (str, bytes) else "nested lists")
        return ColumnInfo(dtype=inner.newbyteorder("="), jagged=True)

    def parts(self, columns: Sequence[str], rows: int, start: int, stop: int) -> Iterator[Mapping[str, Column]]:
        """Yield copies; each compound dataset is read once for all of its fields."""
        infos = {name: self.info(name) for name in columns}
        for first, last in windows(rows, start, stop):
            with reading(self.name):
                part = self._read(columns, infos, first, last)
            yield part

    def _read(self, columns: Sequence[str], infos: Mapping[str, ColumnInfo], first: int, last: int) -> dict[str, Column]:
        read: dict[str, Any] = {}
        part: dict[str, Column] = {}
        for name in columns:
            dataset, field = self._places[name]
            if dataset.name not in read:
                read[dataset.name] = dataset[first:last]
            array = read[dataset.name][field] if field else read[dataset.name]
            part[name] = _jagged(array, infos[name]) if infos[name].jagged else np.ascontiguousarray(array)
        return part


def _jagged(array: Any, info: ColumnInfo) -> Jagged:
    counts = np.fromiter((len(row) for row in array), dtype=np.int64, count=len(array))
    values = np.concatenate([*array, np.empty(0, info.dtype)]) if len(array) else np.empty(0, info.dtype)
    return Jagged(counts=counts, values=values)
