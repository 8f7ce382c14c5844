"""One part of a file and its binding -> the arrays of one request, types cast, entries padded or laid one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from portinf.core.batch import Array, Arrays
from portinf.core.errors import UsageError
from portinf.samples.binding import Binding, Fill
from portinf.samples.casting import cast
from portinf.samples.columns import Column, Jagged
from portinf.samples.layout import pad_length, padded, ragged, stacked

__all__ = ["Remarks", "fill_part"]


class Remarks:
    """Notes on a whole file once its parts are read: types that were cast, entries that were cut."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: dict[str, None] = {}
        self._cut: dict[str, tuple[int, int]] = {}

    def note(self, line: str) -> None:
        """Add a line, once."""
        self._lines[line] = None

    def cut(self, name: str, entries: int, length: int) -> None:
        """Add entries of one input that found no place."""
        self._cut[name] = self._cut.get(name, (0, 0))[0] + entries, length

    @property
    def lines(self) -> list[str]:
        """All notes."""
        cuts = [
            f"{self._name}: {entries:,} entries after the first {length} of their row were cut off for input '{name}'"
            for name, (entries, length) in self._cut.items()
        ]
        return [*self._lines, *cuts]


def fill_part(part: Mapping[str, Column], binding: Binding, file: str, remarks: Remarks) -> Arrays:
    """Make the inputs of one request.

    Args:
        part: the columns that ``binding`` reads.
        binding: what fills what.
        file: for messages.
        remarks: called for casts and cuts.

    Raises:
        UsageError: a value does not fit the input's type, counts differ, or an index points outside of its event.
    """
    _check_counts(part, binding, file)
    inputs: Arrays = {}
    for fill in binding.fills:
        if fill.made:
            inputs[fill.requested.name] = _made(fill, _counts(part, fill))
        elif not fill.jagged:
            inputs[fill.requested.name] = _flat(part, fill, file, remarks)
        elif fill.ragged:
            inputs[fill.requested.name] = _ragged(part, fill, binding, file, remarks)
        else:
            inputs[fill.requested.name] = _padded(part, fill, file, remarks)
    return inputs


def _counts(part: Mapping[str, Column], fill: Fill) -> Array:
    column = part[fill.columns[0]]
    assert isinstance(column, Jagged)
    return column.counts


def _check_counts(part: Mapping[str, Column], binding: Binding, file: str) -> None:
    """Columns of one input, and of inputs whose entries share an axis, must have equally many entries in each row."""
    first: dict[str, str] = {}
    for fill in (fill for fill in binding.fills if fill.jagged):
        group = fill.entries or f"input {fill.requested.name}"
        if fill.made in ("segment", "row_splits"):
            continue
        for name in fill.columns:
            reference, column = part[first.setdefault(group, name)], part[name]
            assert isinstance(reference, Jagged) and isinstance(column, Jagged)
            if column is not reference and not np.array_equal(column.counts, reference.counts):
                row = int(np.argmax(column.counts != reference.counts))
                raise UsageError(
                    f"{file}: columns '{first[group]}' and '{name}' have {reference.counts[row]} and {column.counts[row]} "
                    f"entries in one row (number {row} of its part): they must be equal for input '{fill.requested.name}'"
                )


def _cast(array: Array, fill: Fill, column: str, file: str, remarks: Remarks) -> Array:
    dtype = fill.requested.dtype or str(np.dtype(array.dtype).newbyteorder("="))
    return cast(array, dtype, f"{file}: column '{column}'", remarks.note)


def _flat(part: Mapping[str, Column], fill: Fill, file: str, remarks: Remarks) -> Array:
    arrays: list[Array] = []
    for name in fill.columns:
        column = part[name]
        assert not isinstance(column, Jagged)
        arrays.append(_cast(column, fill, name, file, remarks))
    return np.ascontiguousarray(stacked(arrays, fill.layout))


def _jagged(part: Mapping[str, Column], fill: Fill, file: str, remarks: Remarks) -> list[Jagged]:
    columns: list[Jagged] = []
    for name in fill.columns:
        column = part[name]
        assert isinstance(column, Jagged)
        columns.append(Jagged(counts=column.counts, values=_cast(column.values, fill, name, file, remarks)))
    if fill.requested.dtype is None and len({column.values.dtype for column in columns}) > 1:
        common = np.result_type(*(column.values for column in columns))
        return [Jagged(counts=column.counts, values=column.values.astype(common)) for column in columns]
    return columns


def _padded(part: Mapping[str, Column], fill: Fill, file: str, remarks: Remarks) -> Array:
    columns = _jagged(part, fill, file, remarks)
    counts, length = columns[0].counts, _length(fill, _counts(part, fill))
    cut = int(np.maximum(counts - length, 0).sum())
    if cut:
        remarks.cut(fill.requested.name, cut, length)
        if fill.requested.role.kind == "index":
            raise UsageError(
                f"{file}: input '{fill.requested.name}' holds indices, and rows have more than {length} entries: cutting them would "
                "leave indices that point nowhere; leave those rows out"
            )
    return padded(columns, fill.layout, length)


def _length(fill: Fill, counts: Array) -> int:
    assert fill.layout.entries is not None
    return pad_length(counts, fill.requested.axis(fill.layout.entries))


def _made(fill: Fill, counts: Array) -> Array:
    """Make a mask (1 where there is an entry), a segment vector (row of each entry) or row splits (offsets)."""
    dtype = fill.requested.dtype or ("bool" if fill.made == "mask" else "int64")
    if fill.made == "segment":
        return np.repeat(np.arange(len(counts)), counts).astype(dtype)
    if fill.made == "row_splits":
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]).astype(dtype)
    ones = np.ones(int(counts.sum()), dtype)
    return padded([Jagged(counts=counts, values=ones)], fill.layout, _length(fill, counts))


def _ragged(part: Mapping[str, Column], fill: Fill, binding: Binding, file: str, remarks: Remarks) -> Array:
    columns = _jagged(part, fill, file, remarks)
    if fill.requested.role.kind == "index":
        columns = _shifted(part, columns, fill, binding, file)
    elif not binding.per_event and columns[0].values.dtype.kind in "iu":
        remarks.note(
            f"{file}: input '{fill.requested.name}' is treated as plain numbers; if it holds indices into its row, add "
            f"--role {fill.requested.name}=index:AXIS"
        )
    return np.ascontiguousarray(ragged(columns, fill.layout))


def _shifted(part: Mapping[str, Column], columns: Sequence[Jagged], fill: Fill, binding: Binding, file: str) -> list[Jagged]:
    """Indices count from the start of their own row; make them count from the start of the part."""
    role = fill.requested.role
    shifted = []
    for number, column in enumerate(columns):
        label = role.of if role.into is None or number == 0 else role.into
        group = binding.group(label)
        if group is None:
            raise UsageError(
                f"{file}: input '{fill.requested.name}' points into axis '{label}', and no jagged column lies along it"
            )
        sizes = _counts(part, group)
        room = np.repeat(sizes, column.counts)
        outside = (column.values < 0) | (column.values >= room)
        if outside.any():
            raise UsageError(
                f"{file}: input '{fill.requested.name}': index {column.values[outside][0]} into {room[outside][0]} entries of its "
                "row: indices count from the first entry of their own row"
            )
        starts = np.repeat(np.cumsum(sizes) - sizes, column.counts).astype(column.values.dtype)
        shifted.append(Jagged(counts=column.counts, values=column.values + starts))
    return shifted
