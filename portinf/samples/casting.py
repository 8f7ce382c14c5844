"""Numbers of a file's type into the type that a model takes: without loss, or with a note; never wrapped around."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from portinf.core.batch import Array
from portinf.core.errors import UsageError

__all__ = ["cast"]

EXACT = {"float16": 1 << 11, "float32": 1 << 24, "float64": 1 << 53}  # whole numbers up to this are exact


def cast(array: Array, dtype: str, what: str, note: Callable[[str], None]) -> Array:
    """Return an array in another type.

    Floats may be rounded to float32, and whole numbers become floats, both with a note. Everything else must come out as it
    went in.

    Args:
        array: numbers.
        dtype: numpy type name of the result.
        what: for messages, for example ``events.h5: column 'pt'``.
        note: called when a type changes.

    Raises:
        UsageError: a value would change otherwise than by rounding to float32; the message names it.
    """
    target = np.dtype(dtype)
    native = np.dtype(array.dtype).newbyteorder("=")
    if native == target:
        return np.asarray(array, dtype=target)
    with np.errstate(all="ignore"):
        changed = np.asarray(array.astype(target))
    source, kinds = str(native), (native.kind, target.kind)
    if kinds == ("f", "f") and target.itemsize >= 4:
        _check_overflow(array, changed, dtype, what)
        note(f"{what}: {source} cast to {dtype}")
        return changed
    if target.kind == "f" and native.kind in "iu":
        rounded = _largest(array) > EXACT.get(dtype, 0)
        if rounded and dtype == "float16":
            _check_same(array, changed, dtype, what)
        note(f"{what}: {source} cast to {dtype}" + (", large values rounded" if rounded else ""))
        return changed
    _check_same(array, changed, dtype, what)
    if native.kind != target.kind:
        note(f"{what}: {source} cast to {dtype}")
    return changed


def _largest(array: Array) -> int:
    return max(abs(int(array.max())), abs(int(array.min()))) if array.size else 0


def _check_overflow(array: Array, changed: Array, dtype: str, what: str) -> None:
    lost = np.isinf(changed)
    if lost.any() and (lost := lost & np.isfinite(array)).any():
        raise UsageError(f"{what}: {array[lost][0]!s} does not fit into {dtype}")


def _check_same(array: Array, changed: Array, dtype: str, what: str) -> None:
    """Hold values against what became of them; Python's own numbers compare exactly across types, numpy's do not."""
    target = changed.dtype
    if target.kind in "iu" and array.dtype.kind in "iu" and array.size:
        low, high = np.iinfo(target).min, np.iinfo(target).max
        outside = [value for value in (int(array.min()), int(array.max())) if not low <= value <= high]
        if outside:
            raise UsageError(f"{what}: {outside[0]} does not fit into {dtype}: expected {low} to {high}")
        return
    with np.errstate(all="ignore"):
        back = changed.astype(array.dtype)
        same = (back == array) | ((back != back) & (array != array) if target.kind == "f" else False)
    if target.kind in "iu" and array.dtype.kind == "f":
        same &= (array >= float(np.iinfo(target).min)) & (array < float(np.iinfo(target).max) + 1.0)
    if not np.all(same):
        raise UsageError(f"{what}: {array[~same][0]!s} would change in {dtype}, which the model takes: store {dtype}")
