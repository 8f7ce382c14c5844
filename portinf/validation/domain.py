"""Generated inputs to which a reference has no answer, or NaN: which part of them can still be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from portinf.core.batch import Array, Arrays, Batch
from portinf.core.errors import RunnerError
from portinf.core.signature import dtype_by_numpy
from portinf.runners.protocol import Runner

__all__ = ["answered_rows", "has_numbers", "masked", "nan_places", "rows_of"]

REQUESTS = 24  # by which rows without an answer are looked for
IN_VAIN = 8  # of them without any answer: then it is not the rows
Bools = npt.NDArray[np.bool_]


def answered_rows(reference: Runner, batch: Batch) -> Batch | None:
    """Return the rows of a batch that a reference answers, where it refuses the whole; None where it refuses all of them.

    The batch is halved until its parts are answered, or the requests are used up.

    Args:
        reference: is asked.
        batch: whose inputs all have one row per entry of axis 0.
    """
    rows = batch.rows
    if rows < 2 or any(array.ndim == 0 or len(array) != rows for array in batch.inputs.values()):
        return None
    good: list[Array] = []
    waiting = np.array_split(np.arange(rows), 2)
    for number in range(REQUESTS):
        if not waiting or (number >= IN_VAIN and not good):
            break
        part = waiting.pop(0)
        try:
            reference.infer(rows_of(batch.inputs, part))
        except RunnerError:
            waiting += [half for half in np.array_split(part, 2) if len(half)] if len(part) > 1 else []
        else:
            good.append(part)
    if not good:
        return None
    kept = np.sort(np.concatenate(good))
    return replace(batch, inputs=rows_of(batch.inputs, kept), columns=rows_of(batch.columns, kept))


def rows_of(arrays: Mapping[str, Array], rows: Array) -> Arrays:
    """Return some rows of every array: their numbers, or a flag for each."""
    return {name: array[rows] for name, array in arrays.items()}


def has_numbers(arrays: Mapping[str, Array]) -> bool:
    """Whether any element is a finite number, or of a type that has nothing else."""
    return any(bool(np.isfinite(array).any()) if _is_float(array) else bool(array.size) for array in arrays.values())


def nan_places(expected: Mapping[str, Array]) -> dict[str, Bools]:
    """Return for each output the elements that are not compared because the reference gives NaN; nothing where it gives none.

    Other types than floats have no NaN: of them, those are not compared whose row has a NaN in any float output (none at all,
    where their rows are others).
    """
    floats = {name: np.isnan(array) for name, array in expected.items() if _is_float(array)}
    bad = [places for places in floats.values() if places.any()]
    if not bad:
        return {}
    return {name: floats[name] if name in floats else _in_rows(array, bad) for name, array in expected.items()}


def masked(expected: Arrays, found: Arrays, places: Mapping[str, Bools]) -> tuple[Arrays, Arrays]:
    """Return both answers with equal elements where nothing is compared."""
    ours, theirs = dict(expected), dict(found)
    for name, mask in places.items():
        array, other = expected[name], found.get(name)
        ours[name] = np.where(mask, np.zeros((), array.dtype), array) if _is_float(array) else array
        if other is not None and other.shape == array.shape and other.dtype == array.dtype:
            theirs[name] = np.where(mask, ours[name], other)
    return ours, theirs


def _in_rows(array: Array, bad: list[Bools]) -> Bools:
    places = np.zeros(array.shape, dtype=np.bool_)
    for mask in bad:
        if array.ndim and mask.ndim and len(mask) == len(array):
            places[mask.reshape(len(mask), -1).any(axis=1)] = True
        else:
            places[...] = True
    return places


def _is_float(array: Array) -> bool:
    return dtype_by_numpy(str(array.dtype)).is_float
