"""A ROOT file: branches of a TTree or fields of an RNTuple, jagged ones through awkward."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from portinf.core.errors import UnreadableError, UsageError
from portinf.core.optional import require
from portinf.samples.columns import Column, ColumnInfo, Jagged, reading, windows

__all__ = ["RootReader"]


class RootReader:
    """One tree; see `portinf.samples.columns.Reader`.

    Args:
        path: the file.
        inner: name of the tree; may be empty where there is one.
        name: as messages call it.
    """

    plain = False

    def __init__(self, path: Path, inner: str, name: str) -> None:
        uproot = require("uproot", "data")
        self._ak = require("awkward", "data")
        self.name = name
        with reading(name):
            self._file: Any = uproot.open(path)
            self._tree: Any = self._file[self._tree_name(inner)]
            self.names: Sequence[str] = list(self._tree.keys())
            self.rows = int(self._tree.num_entries)
        self._infos: dict[str, ColumnInfo] = {}

    def _tree_name(self, inner: str) -> str:
        classes = self._file.classnames(cycle=False)
        trees = [key for key, kind in classes.items() if kind == "TTree" or kind.endswith("RNTuple")]
        if inner:
            if inner.partition(";")[0] not in trees:
                raise UsageError(f"{self.name}: no tree '{inner}' in it; there are: {', '.join(trees) or 'none'}")
            return inner
        if len(trees) != 1:
            raise UsageError(f"{self.name}: name the tree, as {self.name}:TREE; there are: {', '.join(trees) or 'none'}")
        return str(trees[0])

    def info(self, column: str) -> ColumnInfo:
        """Describe one column, from the type of its first entry."""
        if column not in self._infos:
            with reading(self.name):
                array = self._array(column, 0, min(1, self.rows))
            self._infos[column] = _info(self._ak, array)
        return self._infos[column]

    def _array(self, column: str, first: int, last: int) -> Any:
        return self._tree.arrays([column], entry_start=first, entry_stop=last, library="ak")[column]

    def parts(self, columns: Sequence[str], rows: int, start: int, stop: int) -> Iterator[Mapping[str, Column]]:
        """Yield parts; baskets that two parts share are kept between them."""
        infos = {name: self.info(name) for name in columns}
        if not columns:
            yield from ({} for _ in windows(rows, start, stop))
            return
        with reading(self.name):
            for part in self._tree.iterate(list(columns), step_size=rows, entry_start=start, entry_stop=stop, library="ak"):
                yield {name: self._column(name, part[name], infos[name]) for name in columns}

    def _column(self, name: str, array: Any, info: ColumnInfo) -> Column:
        if not info.jagged:
            return np.ascontiguousarray(self._ak.to_numpy(array, allow_missing=False))
        counts = self._ak.to_numpy(self._ak.num(array, axis=1)).astype(np.int64)
        values = self._ak.to_numpy(self._ak.flatten(array, axis=1), allow_missing=False)
        if values.ndim != 1:
            raise UnreadableError(f"{self.name}: column '{name}' is nested more than once: expected one list per row")
        return Jagged(counts=counts, values=values)


def _info(ak: Any, array: Any) -> ColumnInfo:
    """Read an awkward type: ``N * float32``, ``N * 15 * float32``, ``N * var * float32``."""
    kind = array.type.content
    tail: list[int] = []
    if kind.parameters.get("__array__") in ("string", "bytestring"):
        return ColumnInfo(dtype=None, kind="text")
    jagged = isinstance(kind, ak.types.ListType)
    if jagged:
        kind = kind.content
    while not jagged and isinstance(kind, ak.types.RegularType):
        tail.append(int(kind.size))
        kind = kind.content
    if not isinstance(kind, ak.types.NumpyType) or np.dtype(kind.primitive).kind not in "biuf":
        return ColumnInfo(dtype=None, kind=str(array.type.content))
    return ColumnInfo(dtype=np.dtype(kind.primitive), tail=tuple(tail), jagged=jagged)
