"""Writes the same columns in every format, for the tests of the readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import uproot

__all__ = ["FORMATS", "memory", "write"]

FORMATS = ("npy", "hdf5", "parquet", "root")
Columns = Mapping[str, Any]  # arrays of equal length, or lists of lists (jagged)


def write(folder: Path, kind: str, columns: Columns) -> str:
    """Write a file whose name does not say its format, and return how it is named on the command line."""
    path = folder / f"{kind}.data"
    if kind == "npy":
        types = [(name, a.dtype, a.shape[1:]) for name, a in columns.items()]
        table = np.empty(len(next(iter(columns.values()))), types)
        for name, array in columns.items():
            table[name] = array
        with path.open("wb") as stream:
            np.save(stream, table)
        return str(path)
    if kind == "hdf5":
        with h5py.File(path, "w") as file:
            for name, column in columns.items():
                _hdf5(file.create_group("events") if "events" not in file else file["events"], name, column)
        return f"{path}:/events"
    if kind == "parquet":
        table = pa.table({name: _arrow(column) for name, column in columns.items()})
        pq.write_table(table, path, row_group_size=7)
        return str(path)
    with uproot.recreate(path) as file:
        file["Events"] = {name: ak.Array(column) if isinstance(column, list) else column for name, column in columns.items()}
    return f"{path}:Events"


def _hdf5(group: Any, name: str, column: Any) -> None:
    if not isinstance(column, list):
        group[name] = column
        return
    kind = np.concatenate([np.empty(0), *map(np.asarray, column)]).dtype
    rows = group.create_dataset(name, (len(column),), dtype=h5py.vlen_dtype(kind))
    for number, row in enumerate(column):
        rows[number] = np.asarray(row, kind)


def _arrow(column: Any) -> Any:
    if isinstance(column, list):
        return pa.array(column, pa.list_(pa.float64()))
    if column.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(column.ravel()), column.shape[1])
    return pa.array(column)


class memory:
    """A reader of columns that are at hand; see `portinf.samples.columns.Reader`."""

    plain = False
    name = "memory"

    def __init__(self, columns: Columns) -> None:
        from portinf.samples.columns import Jagged

        self._columns = {
            name: Jagged(
                counts=np.array([len(row) for row in column], np.int64),
                values=np.concatenate([*map(np.asarray, column), np.empty(0)]),
            )
            if isinstance(column, list)
            else column
            for name, column in columns.items()
        }
        self.names = list(columns)
        self.rows = len(next(iter(self._columns.values())))

    def info(self, column: str) -> Any:
        from portinf.samples.columns import ColumnInfo, Jagged

        found = self._columns[column]
        if isinstance(found, Jagged):
            return ColumnInfo(dtype=found.values.dtype, jagged=True)
        return ColumnInfo(dtype=found.dtype, tail=found.shape[1:])

    def parts(self, columns: Sequence[str], rows: int, start: int, stop: int) -> Any:
        from portinf.samples.columns import Jagged

        for first in range(start, stop, rows):
            last = min(first + rows, stop)
            part: dict[str, Any] = {}
            for name in columns:
                found = self._columns[name]
                if isinstance(found, Jagged):
                    ends = np.concatenate([[0], np.cumsum(found.counts)])
                    part[name] = Jagged(counts=found.counts[first:last], values=found.values[ends[first] : ends[last]])
                else:
                    part[name] = found[first:last]
            yield part
