"""Columns of a file and the shape of an input -> which axis holds what, and the array itself: stacked, padded or ragged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from portinf.core.batch import Array
from portinf.core.errors import UsageError
from portinf.core.signature import Axis
from portinf.samples.columns import ColumnInfo, Jagged

__all__ = ["Layout", "chosen_layout", "given_layout", "pad_length", "padded", "ragged", "stacked", "valid"]

Shape = tuple[Axis, ...]
Form = Literal["padded", "ragged"]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which axis of an input holds what.

    Attributes:
        rows: axis 0 counts the rows of the file; False where rows lie one after the other along ``entries``.
        features: axis along which columns are stacked; None for a single column that has no axis of its own.
        entries: axis along which the entries of a jagged row lie; None for flat columns.
        joined: flat columns of one row are written one after the other into a matrix.
    """

    rows: bool = True
    features: int | None = None
    entries: int | None = None
    joined: bool = False


def given_layout(words: Sequence[str], infos: Sequence[ColumnInfo], what: str) -> Layout:
    """Read the user's own words for the axes.

    Raises:
        UsageError: they do not fit to the columns.
    """
    jagged = infos[0].jagged
    expected = "rows,entries, rows,entries,features, rows,features,entries, entries,features or entries"
    if not jagged:
        if words[0] != "rows":
            raise UsageError(f"{what}: a column with one value per row: its layout begins with rows")
        return Layout(features=words.index("features") if "features" in words else None)
    if "entries" not in words or words.count("rows") + 2 < len(words) or ("rows" in words and words[0] != "rows"):
        raise UsageError(f"{what}: rows of different lengths; expected a layout such as {expected}")
    features = words.index("features") if "features" in words else None
    if features is None and len(infos) > 1:
        raise UsageError(f"{what}: {len(infos)} columns need an axis 'features' in the layout")
    return Layout(rows="rows" in words, features=features, entries=words.index("entries"))


def chosen_layout(shape: Shape, infos: Sequence[ColumnInfo], what: str, *, only: Form | None = None) -> Layout:
    """Find the one layout that an input's shape allows.

    Args:
        shape: axes of the input.
        infos: of its columns, all flat or all jagged.
        what: for messages.
        only: consider one of the forms: ``ragged`` where another input cuts axis 0 into events, ``padded`` for masks.

    Raises:
        UsageError: none fits, or several do; the message says how to choose.
    """
    options = _of_jagged(shape, len(infos), only) if infos[0].jagged else _of_flat(shape, infos)
    text = f"[{', '.join(map(str, shape))}]"
    shown = ", ".join(map(str, infos[:3])) + (", ..." if len(infos) > 3 else "")
    if not options:
        raise UsageError(
            f"{what}: {len(infos)} column{'s' * (len(infos) != 1)} ({shown}) do not fill an input of shape {text}: "
            "give as many columns as its feature axis is long with --input-columns INPUT=COL,COL,..."
        )
    if len(options) > 1:
        words = " or ".join(",".join(_words(layout, len(shape))) for layout in options)
        raise UsageError(
            f"{what}: {len(infos)} column{'s' * (len(infos) != 1)} fill an input of shape {text} in more than one way: "
            f"say which axis is which with --layout INPUT={words}"
        )
    return options[0]


def _of_flat(shape: Shape, infos: Sequence[ColumnInfo]) -> list[Layout]:
    tails = {info.tail for info in infos}
    count, tail = len(infos), infos[0].tail
    if len(tails) > 1 or (count > 1 and len(shape) == 2 and len(tail) == 1):
        widths = sum(int(np.prod(info.tail, dtype=np.int64)) for info in infos)
        fits = len(shape) == 2 and max(len(t) for t in tails) == 1 and shape[1].size in (None, widths)
        return [Layout(joined=True, features=1)] if fits else []
    if count == 1 and len(shape) == 1 + len(tail) and _matches(shape[1:], tail):
        return [Layout()]
    if len(shape) != 2 + len(tail):
        return []
    lone = (None, count) if len(shape) == 2 and count > 1 else (count,)
    places = range(1, len(shape))
    return [
        Layout(features=axis)
        for axis in places
        if shape[axis].size in lone and _matches(shape[1:axis] + shape[axis + 1 :], tail)
    ]


def _matches(axes: Shape, lengths: tuple[int, ...]) -> bool:
    return all(axis.size in (None, length) for axis, length in zip(axes, lengths, strict=True))


def _of_jagged(shape: Shape, count: int, only: Form | None) -> list[Layout]:
    options: list[Layout] = []
    rank = len(shape)
    if only != "ragged":
        if rank == 3:
            options += [Layout(features=axis, entries=3 - axis) for axis in (2, 1) if shape[axis].size == count]
        if rank == 2 and count == 1:
            options.append(Layout(entries=1))
    if only == "padded":
        return options
    if rank == 2:
        options += [
            Layout(rows=False, features=axis, entries=1 - axis)
            for axis in (1, 0)
            if shape[axis].size == count and shape[1 - axis].label is not None
        ]
    if rank == 1 and count == 1 and shape[0].label is not None:
        options.append(Layout(rows=False, entries=0))
    return options


def _words(layout: Layout, rank: int) -> list[str]:
    words = ["rows" if layout.rows and axis == 0 else "entries" for axis in range(rank)]
    if layout.features is not None:
        words[layout.features] = "features"
    return words


def stacked(arrays: Sequence[Array], layout: Layout) -> Array:
    """Put flat columns (rows, ...) into one array."""
    if layout.joined:
        return np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)
    if layout.features is None:
        return arrays[0]
    return np.stack(arrays, axis=layout.features)


def pad_length(counts: Array, axis: Axis | None) -> int:
    """Return the length of the entries' axis: the fixed one, or the longest row's as the axis accepts it."""
    if axis is not None and axis.size is not None:
        return axis.size
    longest = int(counts.max(initial=0))
    if axis is None:
        return longest
    return -(-max(longest, axis.minimum) // axis.multiple) * axis.multiple


def valid(counts: Array, length: int) -> Array:
    """Return which places of padded rows hold an entry, bool (rows, length)."""
    return np.asarray(np.arange(length) < counts[:, None])


def padded(columns: Sequence[Jagged], layout: Layout, length: int) -> Array:
    """Put jagged columns of equal counts into one array; entries after ``length`` are cut, missing ones are 0.

    Returns:
        (rows, length), or with the columns along ``layout.features``.
    """
    counts = columns[0].counts
    places = valid(counts, length)
    kept = _within(counts, length)
    shape = [len(counts), length]
    if layout.features is not None:
        shape.insert(layout.features, len(columns))
    array = np.zeros(shape, columns[0].values.dtype)
    for number, column in enumerate(columns):
        place = array if layout.features is None else np.moveaxis(array, layout.features, 0)[number]
        place[places] = column.values if kept is None else column.values[kept]
    return array


def _within(counts: Array, length: int) -> Array | None:
    """Return which entries are among the first ``length`` of their row; None where all are."""
    if int(counts.max(initial=0)) <= length:
        return None
    starts = np.cumsum(counts) - counts
    return np.asarray(np.arange(int(counts.sum())) - np.repeat(starts, counts) < length)


def ragged(columns: Sequence[Jagged], layout: Layout) -> Array:
    """Put jagged columns one row after the other: (entries,), (entries, features) or (features, entries)."""
    if layout.features is None:
        return columns[0].values
    return np.stack([column.values for column in columns], axis=layout.features)
