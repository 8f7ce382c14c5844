"""What every format of file is read as: columns of equal length, flat or jagged, in parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from portinf.core.batch import Array
from portinf.core.errors import PortinfError, UnreadableError, first_line

__all__ = ["Column", "ColumnInfo", "Jagged", "Reader", "reading", "sliced", "windows"]


@dataclass(frozen=True, kw_only=True)
class Jagged:
    """A column whose rows have different lengths.

    Attributes:
        counts: entries of each row, int64 (rows,).
        values: entries of all rows one after the other (sum of counts,).
    """

    counts: Array
    values: Array

    def __len__(self) -> int:
        return len(self.counts)


Column = Array | Jagged  # an array has its rows along the first axis


@dataclass(frozen=True, kw_only=True)
class ColumnInfo:
    """What is known of a column before it is read.

    Attributes:
        dtype: numpy type of the elements, in the machine's byte order; None for what is no number, with ``kind`` saying what.
        tail: lengths of the axes after the rows (flat columns).
        jagged: rows have different lengths.
        kind: what it is, for messages.
        rows: its length, where that may differ from the file's other columns.
    """

    dtype: np.dtype[np.generic] | None
    tail: tuple[int, ...] = ()
    jagged: bool = False
    kind: str = ""
    rows: int | None = None

    def __str__(self) -> str:
        """Show type and shape of a row."""
        if self.dtype is None:
            return self.kind
        return f"{self.dtype} per row" + (" of varying length" if self.jagged else f" {list(self.tail)}" if self.tail else "")


def sliced(column: Column, first: int, last: int) -> Column:
    """Return some rows of a column."""
    if not isinstance(column, Jagged):
        return column[first:last]
    start = int(column.counts[:first].sum())
    counts = column.counts[first:last]
    return Jagged(counts=counts, values=column.values[start : start + int(counts.sum())])


class Reader(Protocol):
    """One open file.

    Attributes:
        name: as messages call it.
        rows: length of its columns, of the longest where they differ.
        names: columns that it holds.
        plain: it is one array without a name; ``names`` has one entry that the reader made up.
    """

    name: str
    rows: int
    names: Sequence[str]
    plain: bool

    def info(self, column: str) -> ColumnInfo:
        """Describe one column of ``names``."""
        ...

    def parts(self, columns: Sequence[str], rows: int, start: int, stop: int) -> Iterator[Mapping[str, Column]]:
        """Yield rows ``start`` to ``stop`` in order, ``rows`` at a time, the last part shorter.

        Raises:
            UnreadableError: the file is damaged, or a column holds what is no number.
        """
        ...


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn a library's message on a damaged file into one line.

    Raises:
        UnreadableError: in place of it.
    """
    try:
        yield
    except (PortinfError, GeneratorExit):
        raise
    except Exception as error:
        raise UnreadableError(f"{name}: cannot be read, the file may be damaged: {first_line(error)}") from error


def windows(rows: int, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield first and last-plus-one row of each part."""
    for first in range(start, stop, rows):
        yield first, min(first + rows, stop)
