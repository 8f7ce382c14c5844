"""The columns of a file and the inputs of a model -> what fills each input, checked before anything is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from portinf.core.errors import UsageError
from portinf.core.signature import Axis, Role, TensorSpec
from portinf.samples.columns import ColumnInfo, Reader
from portinf.samples.layout import Layout, chosen_layout, given_layout
from portinf.samples.options import StreamOptions

__all__ = ["Binding", "Fill", "InputRequest", "bind"]

SHOWN = 20  # names of columns in a message
UNNAMED = "X"  # an input of a model that does not name its inputs, filled by an array without a name


@dataclass(frozen=True, kw_only=True)
class InputRequest:
    """One input as far as it is known.

    Attributes:
        name: the user's name.
        dtype: numpy type name; None to take the file's.
        shape: axes; None where they are not known.
        role: what its numbers mean.
        optional: the model has a default for it.
        labels: label by axis number where the shape is not known.
    """

    name: str
    dtype: str | None = None
    shape: tuple[Axis, ...] | None = None
    role: Role = field(default_factory=Role)
    optional: bool = False
    labels: Mapping[int, str] = field(default_factory=dict)

    @staticmethod
    def of(spec: TensorSpec) -> InputRequest:
        """Take all that a signature says."""
        return InputRequest(name=spec.name, dtype=spec.dtype, shape=spec.shape, role=spec.role, optional=spec.optional)

    def axis(self, number: int) -> Axis | None:
        """Return one axis; None where it is not known."""
        return self.shape[number] if self.shape is not None and number < len(self.shape) else None

    def label(self, number: int) -> str | None:
        """Return the label of a dynamic axis."""
        axis = self.axis(number)
        return self.labels.get(number) if axis is None else axis.label


@dataclass(frozen=True, kw_only=True)
class Fill:
    """What fills one input.

    Attributes:
        requested: the input.
        columns: of the file; for what is made from counts, the jagged column that has them.
        layout: where they go.
        made: made from the counts of a jagged column: ``mask``, ``segment`` or ``row_splits``; empty for the columns' values.
        jagged: the columns are jagged.
    """

    requested: InputRequest
    columns: tuple[str, ...]
    layout: Layout
    made: Literal["", "mask", "segment", "row_splits"] = ""
    jagged: bool = False

    @property
    def ragged(self) -> bool:
        """Whether rows lie one after the other instead of along an axis of their own."""
        return self.jagged and not self.layout.rows

    @property
    def entries(self) -> str | None:
        """Label of the axis along which entries lie."""
        return None if self.layout.entries is None else self.requested.label(self.layout.entries)


@dataclass(frozen=True, kw_only=True)
class Binding:
    """What is read and what it fills.

    Attributes:
        fills: in the order of the inputs.
        read: every column that is needed.
        rows: length of these columns.
        per_event: rows cannot be distinguished when they are concatenated: one row of the file is one request.
    """

    fills: Sequence[Fill]
    read: Sequence[str]
    rows: int
    per_event: bool

    def group(self, label: str | None) -> Fill | None:
        """Return the ragged input whose entries lie along a labelled axis; without a label the only one there is."""
        ragged = [fill for fill in self.fills if fill.ragged and not fill.made]
        alike = [fill for fill in ragged if fill.entries == label and label is not None]
        values = [fill for fill in ragged if fill.requested.role.kind != "index"]
        return alike[0] if alike else values[0] if len(values) == 1 else None


def bind(reader: Reader, options: StreamOptions, requested: Sequence[InputRequest]) -> Binding:
    """Decide what fills each input.

    Args:
        reader: the file.
        options: the user's.
        requested: the inputs; empty for a model that does not say.

    Raises:
        UsageError: a column is missing, is no number, or does not fit; the message says what there is.
    """
    requested = requested or _unnamed(reader, options)
    names = [item.name for item in requested]
    for option, given in (("--input-columns", options.columns), ("--layout", options.layouts), ("--mask", options.masks)):
        unknown = [name for name in given if name not in names]
        if unknown:
            raise UsageError(f"{option} {unknown[0]}=...: no such input; the model has: {', '.join(names)}")
    found = {item.name: _columns(reader, options, item, requested) for item in requested}
    made = [item for item in requested if not found[item.name] and item.role.kind in ("segment", "row_splits")]
    if not any(found.values()):
        raise UsageError(
            f"{reader.name}: no column for any input of the model ({', '.join(names)}); say which fill them with "
            f"--input-columns {names[0]}=COL,COL,...; there are: {_listed(reader)}"
        )
    filled = [
        _filled(reader, options, item, found[item.name], ragged=bool(made), name=reader.name)
        for item in requested
        if found[item.name]
    ]
    fills = {fill.requested.name: fill for fill in filled}
    for item in requested:
        if not found[item.name]:
            fills.update(_made(reader, options, item, filled))
    ordered = [fills[name] for name in names if name in fills]
    beside = _beside(reader, options)
    read = list(dict.fromkeys([*(column for fill in ordered for column in fill.columns), *beside]))
    binding = Binding(
        fills=ordered,
        read=read,
        rows=_length(reader, read),
        per_event=any(fill.ragged for fill in ordered) and not made,
    )
    _check_rows(reader, binding)
    return binding


def _unnamed(reader: Reader, options: StreamOptions) -> list[InputRequest]:
    """Return inputs for a model that names none: those the user names, else every column."""
    names = [*options.columns, *options.masks]
    if not names:
        names = [UNNAMED] if reader.plain else [name for name in reader.names if name not in options.beside.values()]
    return [InputRequest(name=name) for name in names]


def _columns(reader: Reader, options: StreamOptions, item: InputRequest, requested: Sequence[InputRequest]) -> tuple[str, ...]:
    """Return the columns of one input; none if it is made or may be left out."""
    if item.name in options.columns:
        for column in options.columns[item.name]:
            _known(reader, column)
        return tuple(options.columns[item.name])
    if item.name in options.masks:
        return ()
    if item.name in reader.names:
        return (item.name,)
    required = [one for one in requested if not one.optional]
    if reader.plain and required == [item]:
        return tuple(reader.names)
    if item.optional or item.role.kind in ("mask", "segment", "row_splits"):
        return ()
    if reader.plain:
        raise UsageError(
            f"{reader.name}: one array without a name, and the model has {len(required)} inputs: "
            f"{', '.join(one.name for one in required)}; give an .npz file with one array for each"
        )
    raise UsageError(
        f"{reader.name}: no column '{item.name}' for the input of that name; say which columns fill it with "
        f"--input-columns {item.name}=COL,COL,...; there are: {_listed(reader)}"
    )


def _listed(reader: Reader) -> str:
    more = len(reader.names) - SHOWN
    return ", ".join(list(reader.names)[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _known(reader: Reader, column: str) -> ColumnInfo:
    """Describe a column that must be there and hold numbers."""
    if column not in reader.names:
        raise UsageError(f"{reader.name}: no column '{column}'; there are: {_listed(reader)}")
    info = reader.info(column)
    if info.dtype is None:
        raise UsageError(f"{reader.name}: column '{column}' holds no numbers: {info.kind}")
    return info


def _filled(
    reader: Reader, options: StreamOptions, item: InputRequest, columns: tuple[str, ...], *, ragged: bool, name: str
) -> Fill:
    infos = [_known(reader, column) for column in columns]
    what = f"{name}: input '{item.name}'"
    if len({info.jagged for info in infos}) > 1:
        uneven = columns[[info.jagged for info in infos].index(True)]
        raise UsageError(f"{what}: column '{uneven}' has rows of varying length and others do not: they cannot be stacked")
    if item.role.kind in ("segment", "row_splits"):
        raise UsageError(
            f"{what}: a {item.role.kind} is made from the counts of jagged columns, one row of the file for each event; "
            "for a file with one row per node, give an .npz file for each request"
        )
    if item.name in options.layouts:
        layout = given_layout(options.layouts[item.name], infos, what)
    elif item.shape is not None:
        layout = chosen_layout(item.shape, infos, what, only="ragged" if ragged else None)
    else:
        layout = _natural(infos, item, what)
    return Fill(requested=item, columns=columns, layout=layout, jagged=infos[0].jagged)


def _natural(infos: Sequence[ColumnInfo], item: InputRequest, what: str) -> Layout:
    """Choose for a model that does not say its shapes: columns side by side."""
    if not infos[0].jagged and len(infos) == 1:
        return Layout()
    if all(not info.jagged and not info.tail for info in infos):
        return Layout(features=1)
    raise UsageError(
        f"{what}: the model does not say its shape; say which axis is which, for example "
        f"--layout {item.name}=rows,entries,features"
    )


def _made(reader: Reader, options: StreamOptions, item: InputRequest, filled: Sequence[Fill]) -> dict[str, Fill]:
    """Return what fills an input for which the file has no column: made from counts, or nothing if it is optional."""
    what = f"{reader.name}: input '{item.name}'"
    jagged = [fill for fill in filled if fill.jagged]
    kind = item.role.kind
    if kind in ("segment", "row_splits"):
        alike = [fill for fill in jagged if fill.ragged and fill.entries is not None and fill.entries == item.role.of]
        ragged = [fill for fill in jagged if fill.ragged and fill.requested.role.kind != "index"]
        chosen = alike or (ragged if len(ragged) == 1 else [])
        if not chosen:
            raise UsageError(
                f"{what}: no column of that name, and no jagged columns along its axis '{item.role.of}' to make it from"
            )
        layout = Layout(rows=False, entries=0)
        return {item.name: Fill(requested=item, columns=chosen[0].columns[:1], layout=layout, made=kind, jagged=True)}
    if kind == "mask" or item.name in options.masks:
        column = options.masks.get(item.name) or _masked(item, jagged, what)
        info = _known(reader, column)
        if not info.jagged:
            raise UsageError(f"--mask {item.name}={column}: this column has no rows of varying length")
        words = options.layouts.get(item.name)
        if words is None and item.shape is None:
            words = ("rows", "entries")
        layout = given_layout(words, [info], what) if words else chosen_layout(item.shape or (), [info], what, only="padded")
        return {item.name: Fill(requested=item, columns=(column,), layout=layout, made="mask", jagged=True)}
    return {}


def _masked(item: InputRequest, jagged: Sequence[Fill], what: str) -> str:
    """Return the jagged column that a mask is about."""
    alike = [fill for fill in jagged if not fill.ragged and fill.entries is not None and fill.entries == item.role.of]
    if not alike:
        raise UsageError(f"{what}: no column of that name; say what it masks with --mask {item.name}=COL, a jagged column")
    return alike[0].columns[0]


def _beside(reader: Reader, options: StreamOptions) -> list[str]:
    for column in options.beside.values():
        if _known(reader, column).jagged:
            raise UsageError(f"{reader.name}: column '{column}' has rows of varying length; expected one value per row")
    return list(options.beside.values())


def _length(reader: Reader, read: Sequence[str]) -> int:
    lengths = {column: reader.rows if (rows := reader.info(column).rows) is None else rows for column in read}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"'{column}' {length:,}" for column, length in lengths.items())
        raise UsageError(f"{reader.name}: columns of different lengths: {shown}")
    return next(iter(lengths.values()), reader.rows)


def _check_rows(reader: Reader, binding: Binding) -> None:
    """Refuse inputs that point into the rows of the file: parts would cut them."""
    firsts = {fill.requested.label(0) for fill in binding.fills if not fill.jagged} - {None}
    for fill in binding.fills:
        role = fill.requested.role
        if role.kind == "index" and not fill.jagged and role.of in firsts:
            raise UsageError(
                f"{reader.name}: input '{fill.requested.name}' points into the rows of the file, which is read in parts; "
                "give an .npz file for each request"
            )
