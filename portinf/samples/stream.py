"""A file of samples as batches: its first rows, small, or all of it in parts, as often as needed, in constant memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from portinf.core.batch import Batch, shapes_of
from portinf.core.errors import UnreadableError, UsageError
from portinf.samples.binding import Binding, InputRequest, bind
from portinf.samples.columns import Column, Jagged, Reader, sliced, windows
from portinf.samples.filling import Remarks, fill_part
from portinf.samples.options import StreamOptions

__all__ = ["FileStream", "InputRequest", "SampleStream", "WholeFile"]

HEAD_ROWS = 64
HEAD_BYTES = 8 << 20
PART_ROWS = 65_536
PART_BYTES = 64 << 20
READ_BYTES = 4 << 20  # where parts are small, several are read at once
ROW_BYTES = 4096  # taken for a row of a jagged column
OTHER_HEADS = (5, 3, 7, 2, 11, 1)  # rows of a second small batch, in which axes differ from the first


class SampleStream(Protocol):
    """Batches of one file; every iteration starts from the beginning.

    Attributes:
        name: as reports call it.
        whole: it is one request as it is (.npz).
        rows: how many there are to read.
    """

    name: str
    whole: bool

    @property
    def rows(self) -> int:
        """How many rows there are to read."""
        ...

    @property
    def notes(self) -> list[str]:
        """Notes on the last iteration."""
        ...

    def bound(self, requested: Sequence[InputRequest]) -> SampleStream:
        """Return the same file read for these inputs."""
        ...

    def heads(self) -> list[Batch]:
        """Return one or two small batches of the first rows, of different sizes."""
        ...

    def __iter__(self) -> Iterator[Batch]:
        """Yield all rows."""
        ...


class WholeFile:
    """An .npz file: one request as it is.

    Args:
        batch: what it holds.
        options: which of its arrays go beside the inputs.
    """

    whole = True
    notes: list[str] = []  # noqa: RUF012 (there are never any)

    def __init__(self, batch: Batch, options: StreamOptions) -> None:
        for name in options.beside.values():
            if name not in batch.inputs:
                raise UsageError(f"{batch.name}: no array '{name}'; there are: {', '.join(batch.inputs) or 'none'}")
        self.name = batch.name
        columns = {name: batch.inputs[key] for name, key in options.beside.items()}
        taken = set(options.beside.values())
        self._batch = replace(batch, inputs={k: v for k, v in batch.inputs.items() if k not in taken}, columns=columns)

    @property
    def rows(self) -> int:
        """Rows of the request."""
        return self._batch.rows

    def bound(self, requested: Sequence[InputRequest]) -> WholeFile:
        """Return it as it is: its arrays have the inputs' own names."""
        return self

    def heads(self) -> list[Batch]:
        """Return the request."""
        return [self._batch]

    def __iter__(self) -> Iterator[Batch]:
        """Yield the request."""
        yield self._batch


class FileStream:
    """A file with one row per event, read in parts.

    Args:
        reader: the open file.
        options: how its columns become inputs.
        requested: the inputs; empty for a model that does not say.
    """

    whole = False

    def __init__(self, reader: Reader, options: StreamOptions, requested: Sequence[InputRequest] = ()) -> None:
        self.name = reader.name
        self._reader, self._options, self._wanted = reader, options, requested
        self._known: Binding | None = None
        self._remarks = Remarks(self.name)

    @property
    def _binding(self) -> Binding:
        if self._known is None:
            self._known = bind(self._reader, self._options, self._wanted)
        return self._known

    @property
    def rows(self) -> int:
        """How many rows there are to read.

        Raises:
            UsageError: the user's first row is none of the file.
            UnreadableError: the file has no rows.
        """
        length, first = self._binding.rows, self._options.first_row
        if not length:
            raise UnreadableError(f"{self.name}: no rows in it")
        if first >= length:
            raise UsageError(f"--first-row {first}: {self.name} has {length:,} rows, counted from 0")
        left = length - first
        return left if self._options.max_rows is None else min(left, self._options.max_rows)

    @property
    def notes(self) -> list[str]:
        """Casts, cuts and rows left out of the last iteration."""
        return self._remarks.lines

    def bound(self, requested: Sequence[InputRequest]) -> FileStream:
        """Return the same file read for these inputs."""
        return FileStream(self._reader, self._options, requested)

    def head(self, rows: int) -> Batch:
        """Return the first rows as one small batch, as many as the model's batch axis allows.

        Raises:
            UsageError: the file has fewer rows, or its first row fewer or more entries, than the model takes.
        """
        return self._head(rows, Remarks(self.name))

    def _head(self, rows: int, remarks: Remarks) -> Batch:
        unit, fixed = self._unit()
        at_once = max(unit, self._least())
        if self.rows < at_once:
            raise UsageError(f"{self.name}: {self.rows} rows, and the model takes {at_once} at a time")
        rows = unit if fixed else max(at_once, min(rows, self.rows, self._most()) // unit * unit)
        batch = next(self._batches(rows, rows, remarks), None)
        if batch is None:
            raise UsageError(f"{self.name}: its first row has fewer entries than the model takes, or more")
        return replace(batch, name=f"{self.name} (first {batch.rows} rows)", stream="", first_row=0)

    def heads(self) -> list[Batch]:
        """Return one or two small batches of the first rows, of different sizes; `notes` then says how they were read."""
        remarks = self._remarks = Remarks(self.name)
        if self._binding.per_event:
            return self._first_events(remarks)
        unit, fixed = self._unit()
        single = self.head(1)
        per_row = sum(array.nbytes for array in single.inputs.values()) / max(1, single.rows)
        first = self._head(int(min(HEAD_ROWS, max(1, HEAD_BYTES // max(1.0, per_row)))), remarks)
        if fixed:
            return [first]
        least = max(unit, self._least())
        smaller = [self.head(rows * unit) for rows in OTHER_HEADS if least <= rows * unit < first.rows]
        return [first, *sorted(smaller, key=lambda batch: -_differing(first, batch))[:1]]

    def _first_events(self, remarks: Remarks) -> list[Batch]:
        """Return the first event, and the first of other sizes, among a few; those with two entries or more come first."""
        found = list(self._batches(1, min(HEAD_ROWS, self.rows), remarks))
        if not found:
            raise UsageError(f"{self.name}: its first rows have fewer entries than the model takes, or more")
        roomy = [batch for batch in found if self._entries(batch) > 1] or found
        named = [replace(batch, name=f"{self.name} (row {batch.first_row})", stream="", first_row=0) for batch in roomy]
        other = sorted(named[1:], key=lambda batch: -_differing(named[0], batch))[:1]
        return [*named[:1], *(batch for batch in other if _differing(named[0], batch))]

    def _entries(self, batch: Batch) -> int:
        """Return the smallest number of entries of any ragged input."""
        ragged = [fill for fill in self._binding.fills if fill.ragged]
        return min(int(batch.inputs[fill.requested.name].shape[fill.layout.entries or 0]) for fill in ragged)

    def _unit(self) -> tuple[int, bool]:
        """Return how many rows a part must be a multiple of, and whether it must be exactly that many."""
        axes = [fill.requested.axis(0) for fill in self._binding.fills if fill.layout.rows]
        fixed = [axis.size for axis in axes if axis is not None and axis.size is not None]
        if fixed:
            return max(1, fixed[0]), True
        return max([axis.multiple for axis in axes if axis is not None], default=1), False

    def _least(self) -> int:
        axes = [fill.requested.axis(0) for fill in self._binding.fills if fill.layout.rows]
        return max([axis.minimum for axis in axes if axis is not None], default=0)

    def _most(self) -> int:
        axes = [fill.requested.axis(0) for fill in self._binding.fills if fill.layout.rows]
        return min([axis.maximum for axis in axes if axis is not None and axis.maximum is not None], default=self.rows)

    def _part_rows(self) -> int:
        unit, fixed = self._unit()
        if fixed or self._binding.per_event:
            return 1 if self._binding.per_event else unit
        rows = self._options.batch_rows
        if rows is None:
            head = self.head(HEAD_ROWS)
            size = sum(array.nbytes for array in [*head.inputs.values(), *head.columns.values()]) / max(1, head.rows)
            rows = int(min(PART_ROWS, PART_BYTES // max(1.0, size)))
        return max(unit, min(rows, self._most()) // unit * unit)

    def __iter__(self) -> Iterator[Batch]:
        """Yield all rows in parts.

        Raises:
            UnreadableError: the file is damaged.
            UsageError: a value or a count does not fit.
        """
        self._remarks = Remarks(self.name)
        if self._binding.per_event:
            self._remarks.note(f"{self.name}: no input says which row an entry belongs to: each row is one request")
        rows = self._part_rows()
        yield from self._batches(rows, self._kept(rows), self._remarks)

    def _kept(self, rows: int) -> int:
        """Return how many rows make parts that the model takes; a note names what is left at the end."""
        unit, _ = self._unit()
        least, kept = max(1, self._least()), self.rows - self.rows % unit
        if 0 < kept % rows < least:
            kept -= kept % rows
        if kept < self.rows:
            left, at_once = self.rows - kept, max(unit, least)
            self._remarks.note(f"{self.name}: the last {left:,} rows were left out: the model takes {at_once} at a time")
        return kept

    def _batches(self, rows: int, total: int, remarks: Remarks) -> Iterator[Batch]:
        binding, start = self._binding, self._options.first_row
        first, outside = start, 0
        for part in self._cut(rows, start, start + total):
            count = len(next(iter(part.values())))
            inputs = fill_part(part, binding, self.name, remarks)
            batch = Batch(
                name=f"{self.name} rows {first} to {first + count - 1}",
                inputs=inputs,
                columns={
                    name: column for name, key in self._options.beside.items() if not isinstance(column := part[key], Jagged)
                },
                stream=self.name,
                first_row=first,
                file_rows=count,
            )
            first += count
            if self._outside(batch):
                outside += 1
                continue
            yield batch
        if outside and total > 1:
            remarks.note(f"{self.name}: {outside:,} requests were left out: fewer entries than the model takes, or more")

    def _cut(self, rows: int, start: int, stop: int) -> Iterator[Mapping[str, Column]]:
        """Read several small parts at once: a library's cost for each reading is that of thousands of rows."""
        infos = [self._reader.info(column) for column in self._binding.read]
        sizes = [ROW_BYTES if i.jagged or i.dtype is None else i.dtype.itemsize * math.prod(i.tail) for i in infos]
        together = max(1, min(READ_BYTES // max(1, sum(sizes)), PART_ROWS) // rows)
        for block in self._reader.parts(self._binding.read, rows * together, start, stop):
            length = len(next(iter(block.values())))
            if length <= rows:
                yield block
                continue
            for first, last in windows(rows, 0, length):
                yield {name: sliced(column, first, last) for name, column in block.items()}

    def _outside(self, batch: Batch) -> bool:
        for fill in self._binding.fills:
            axis = None if not fill.ragged or fill.layout.entries is None else fill.requested.axis(fill.layout.entries)
            if axis is not None and axis.refusal(batch.inputs[fill.requested.name].shape[fill.layout.entries or 0]):
                return True
        return False


def _differing(first: Batch, second: Batch) -> int:
    """Count the axes in which two batches differ."""
    shapes, others = shapes_of(first.inputs), shapes_of(second.inputs)
    return sum(a != b for name in shapes for a, b in zip(shapes[name], others[name], strict=True))
