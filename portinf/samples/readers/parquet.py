"""A Parquet file: scalar columns, lists of fixed size (flat) and lists of varying size (jagged)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from portinf.core.batch import Array
from portinf.core.errors import UnreadableError, UsageError
from portinf.core.optional import require
from portinf.samples.columns import Column, ColumnInfo, Jagged, reading

__all__ = ["ParquetReader"]


class ParquetReader:
    """One file, read row group by row group; see `portinf.samples.columns.Reader`.

    Args:
        path: the file.
        inner: a place inside; there is none in this format.
        name: as messages call it.
    """

    plain = False

    def __init__(self, path: Path, inner: str, name: str) -> None:
        self._pa = require("pyarrow", "data")
        self._parquet = require("pyarrow.parquet", "data")
        if inner:
            raise UsageError(f"{name}: a Parquet file has no '{inner}' inside; leave it out")
        self._path, self.name = path, name
        with reading(name), self._opened() as file:
            self._schema: Any = file.schema_arrow
            self.rows = int(file.metadata.num_rows)
            self._starts = np.cumsum([0, *(file.metadata.row_group(k).num_rows for k in range(file.num_row_groups))])
        self.names: Sequence[str] = list(self._schema.names)
        double = sorted({column for column in self.names if self.names.count(column) > 1})
        if double:
            raise UnreadableError(f"{name}: the name '{double[0]}' stands for two columns")

    def _opened(self) -> Any:
        """Open it so that memory stays bounded: a mapped file, or one that is read ahead, is held whole in the end."""
        return self._parquet.ParquetFile(self._path, buffer_size=1 << 20, pre_buffer=False)

    def info(self, column: str) -> ColumnInfo:
        """Describe one column."""
        types, kind = self._pa.types, self._schema.field(column).type
        if types.is_fixed_size_list(kind):
            inner = self._number(kind.value_type)
            return ColumnInfo(dtype=inner, tail=(kind.list_size,), kind=str(kind))
        if types.is_list(kind) or types.is_large_list(kind):
            return ColumnInfo(dtype=self._number(kind.value_type), jagged=True, kind=str(kind))
        return ColumnInfo(dtype=self._number(kind), kind=str(kind))

    def _number(self, kind: Any) -> np.dtype[np.generic] | None:
        types = self._pa.types
        if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
            number: np.dtype[np.generic] = np.dtype(kind.to_pandas_dtype())
            return number
        return None

    def parts(self, columns: Sequence[str], rows: int, start: int, stop: int) -> Iterator[Mapping[str, Column]]:
        """Yield parts; row groups before ``start`` and after ``stop`` are not read."""
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        last = int(np.searchsorted(self._starts, stop, side="left"))
        skip, requested = start - int(self._starts[first]), stop - start
        with reading(self.name), self._opened() as file:
            groups = list(range(first, last))
            batches = file.iter_batches(rows, row_groups=groups, columns=list(columns), use_threads=False)
            for batch in _shifted(self._pa, batches, skip, requested, rows):
                yield {name: self._column(name, batch.column(name)) for name in columns}

    def _column(self, name: str, array: Any) -> Column:
        info = self.info(name)
        if not (info.jagged or info.tail):
            return self._numbers(name, array)
        if array.null_count:
            raise UnreadableError(f"{self.name}: column '{name}' has rows without a list (null); write empty lists")
        values = self._numbers(name, array.flatten())
        if info.tail:
            return values.reshape(len(array), *info.tail)
        counts = np.diff(array.offsets.to_numpy(zero_copy_only=False)).astype(np.int64)
        return Jagged(counts=counts, values=values)

    def _numbers(self, name: str, array: Any) -> Array:
        """Return values; a missing float is NaN, as pandas writes it; a missing whole number is none."""
        if array.null_count and not self._pa.types.is_floating(array.type):
            raise UnreadableError(f"{self.name}: column '{name}' of {array.type} has {array.null_count} missing values (null)")
        numbers: Array = array.to_numpy(zero_copy_only=False)
        return numbers


def _shifted(pa: Any, batches: Iterator[Any], skip: int, requested: int, rows: int) -> Iterator[Any]:
    """Drop ``skip`` rows, keep ``requested``, and cut the rest into parts of ``rows`` again."""
    rest: list[Any] = []
    held = 0
    for batch in batches:
        kept = batch.slice(min(skip, len(batch)))
        skip -= len(batch) - len(kept)
        kept = kept.slice(0, min(requested, len(kept)))
        requested -= len(kept)
        while len(kept):
            piece = kept.slice(0, rows - held)
            kept = kept.slice(len(piece))
            rest.append(piece)
            held += len(piece)
            if held == rows:
                yield _joined(pa, rest)
                rest, held = [], 0
        if not requested:
            break
    if held:
        yield _joined(pa, rest)


def _joined(pa: Any, batches: list[Any]) -> Any:
    if len(batches) == 1:
        return batches[0]
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
