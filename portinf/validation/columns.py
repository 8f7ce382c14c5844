"""Outputs and columns of a batch, by the names that a user gave -> one number per row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from portinf.core.batch import Array, Arrays, Batch
from portinf.core.errors import UsageError
from portinf.core.signature import dtype_by_numpy
from portinf.validation.pairing import working

__all__ = ["Place", "column", "is_signal", "numbers", "place_of"]

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Place:
    """One number per row of an output.

    Attributes:
        output: its name.
        index: along the last axis; None where there is one number per row.
    """

    output: str
    index: int | None

    def __str__(self) -> str:
        """Show it as a user would write it."""
        return self.output if self.index is None else f"{self.output}:{self.index}"

    def of(self, arrays: Arrays) -> Floats:
        """Return the numbers, (rows,); float64 stays, other types become float32."""
        array = working(arrays[self.output])
        return array.reshape(len(array)) if self.index is None else array[:, self.index]


def place_of(text: str, option: str, outputs: Arrays, preferred: int | None = None) -> Place:
    """Find the numbers that ``OUTPUT[:INDEX]`` means.

    Args:
        text: what the user said; empty for the only float output.
        option: for messages.
        outputs: of the reference, by name.
        preferred: index to take where the output has several numbers per row and the user named none.

    Raises:
        UsageError: there is no such output or index, or several that may be meant; the message lists them.
    """
    floats = {name: array for name, array in outputs.items() if dtype_by_numpy(str(array.dtype)).is_float}
    has = ", ".join(f"{name} {list(array.shape)}" for name, array in floats.items()) or "none"
    name, index = text, ""
    if text not in floats and text.rpartition(":")[2].isdigit():
        name, _, index = text.rpartition(":")
    if not text and len(floats) == 1:
        name = next(iter(floats))
    if name not in floats:
        what = f"no float output '{name}'" if text else "more than one output may be meant; name one"
        raise UsageError(f"{option} {text}: {what}; the reference has: {has}".replace("  ", " ").replace(" :", ":"))
    shape = floats[name].shape
    width = shape[1] if len(shape) == 2 else 1
    if len(shape) not in (1, 2):
        raise UsageError(f"{option} {name}: expected one number or one list of numbers per row, found shape {list(shape)}")
    if len(shape) == 1 or (width == 1 and index in ("", "0")):
        if index not in ("", "0"):
            raise UsageError(f"{option} {text}: output '{name}' has one number per row, there is no index {index}")
        return Place(output=name, index=None)
    if not index and preferred is not None and preferred < width:
        index = str(preferred)
    if not index or int(index) >= width:
        raise UsageError(
            f"{option} {text or name}: output '{name}' has {width} numbers per row: give {name}:0 to {name}:{width - 1}"
        )
    return Place(output=name, index=int(index))


def column(batch: Batch, name: str, option: str, rows: int) -> Array:
    """Return a column of a batch, (rows,).

    Raises:
        UsageError: there is none of this name, or it has not one entry for each of ``rows``; the message lists what there is.
    """
    if name not in batch.columns:
        raise UsageError(f"{option} {name}: {batch.name} has no such column; it has: {', '.join(batch.columns) or 'none'}")
    array = batch.columns[name]
    if array.ndim > 1 and array.size == len(array):
        array = array.reshape(len(array))
    if array.shape != (rows,):
        raise UsageError(
            f"{option} {name}: {batch.name}: expected one entry for each of the output's {rows} rows, found shape {list(array.shape)}"
        )
    return array


def numbers(batch: Batch, name: str, option: str, rows: int) -> npt.NDArray[np.float64]:
    """Return a column as numbers, (rows,).

    Raises:
        UsageError: as `column`, or its entries are no numbers.
    """
    array = column(batch, name, option, rows)
    if array.dtype.kind not in "fiub" and str(array.dtype) != "bfloat16":
        raise UsageError(
            f"{option} {name}: {batch.name}: expected numbers, found {'text' if array.dtype == object else array.dtype}"
        )
    return array.astype(np.float64)


def is_signal(labels: Array, value: str) -> npt.NDArray[np.bool_]:
    """Say of each label whether it is the signal's: equal as number where labels are numbers, else as text.

    Raises:
        UsageError: labels are numbers, and the value is none.
    """
    if labels.dtype.kind not in "fiub":
        return np.array([_text(label) == value for label in labels], dtype=np.bool_)
    try:
        return np.asarray(labels == float(value))
    except ValueError as error:
        raise UsageError(f"--signal {value}: the labels are numbers ({labels.dtype}); expected a number") from error


def _text(label: object) -> str:
    return label.decode("utf-8", "backslashreplace") if isinstance(label, bytes) else str(label)
