"""Samples that vary too little to judge a network on -> the same with rows drawn within their range before them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from portinf.core.batch import Array, Arrays, Batch
from portinf.core.errors import UsageError
from portinf.targets.fpga.quantize.choose import SEEN, Read

__all__ = ["drawn_column", "filled_up"]

FLAT = 1e-3  # of the range that numbers have over all rows: what varies less along an axis counts as constant there
ROWS = (256, 2048)  # drawn rows: as many as there are samples, within these bounds
SAME = "the same in every row"


def filled_up(read: Read) -> tuple[Read, list[str]]:
    """Add rows where samples do not say which number stands where: one grey in every image, or the same row again and again.

    Numbers of such inputs are drawn one by one: between neighbouring values that the samples have at that place, or anywhere in the
    input where every row is the same.

    Args:
        read: reads the samples.

    Returns:
        What reads the drawn rows and then the samples, and a note; samples that vary are left alone, without a note.

    Raises:
        UsageError: all samples hold one number and no other.
    """
    samples = _first(read)
    if not any(array.size for array in samples.values()):
        return read, []
    spans = {name: float(np.ptp(array)) for name, array in samples.items() if array.size}
    if not any(spans.values()):
        numbers = sorted({float(array.flat[0]) for array in samples.values()})
        raise UsageError(
            f"--inputs: every number of the samples is {' or '.join(f'{number:g}' for number in numbers)}: formats cannot be chosen or "
            "judged on them; give samples as the model will see them"
        )
    flat = {name: why for name, array in samples.items() if spans[name] and (why := _constant(array))}
    if not flat:
        return read, []
    rows = int(np.clip(max(map(len, samples.values())), *ROWS))
    draw = np.random.default_rng(0)
    inputs = {
        name: _drawn(array, rows, draw) if name in flat else array[draw.integers(0, len(array), rows)]
        for name, array in samples.items()
    }

    def more() -> Iterator[Batch]:
        yield Batch(name="drawn within the range of the samples", inputs=inputs, origin="generated")
        yield from read()

    reasons = ", ".join(f"those of input '{name}' are {why}" for name, why in flat.items())
    return more, [
        f"the samples do not distinguish all inputs ({reasons}): {rows} rows drawn within their range are tested as well"
    ]


def _first(read: Read) -> Arrays:
    """Return the first rows, as many as the search looks at."""
    parts: dict[str, list[Array]] = {}
    rows = 0
    for batch in read():
        for name, array in batch.inputs.items():
            parts.setdefault(name, []).append(array[: SEEN - rows])
        rows += batch.rows
        if rows >= SEEN:
            break
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def _constant(array: Array) -> str:
    """Say in what samples are constant; empty where they vary."""
    if array.ndim < 2:
        return ""
    if not np.ptp(array, axis=0).any():
        return SAME
    for axis in range(1, array.ndim):
        within, whole = np.ptp(array, axis=axis).max(axis=0), np.ptp(array, axis=(0, axis))
        if array.shape[axis] > 1 and (within <= FLAT * whole).all():
            return f"constant along axis {axis}"
    return ""


def _drawn(array: Array, rows: int, draw: np.random.Generator) -> Array:
    if _constant(array) == SAME:
        return drawn_column(array.ravel(), rows * array[0].size, draw).reshape(rows, *array.shape[1:])
    columns = array.reshape(len(array), -1).T
    return np.stack([drawn_column(column, rows, draw) for column in columns], axis=1).reshape(rows, *array.shape[1:])


def drawn_column(column: Array, rows: int, draw: np.random.Generator) -> Array:
    """Draw numbers like those of one column: between neighbouring values, or of them where all are whole numbers."""
    if np.array_equal(column, np.rint(column)):
        return draw.choice(column, rows)
    found = np.interp(draw.random(rows), np.linspace(0, 1, len(column)), np.sort(column))
    return np.asarray(found.astype(column.dtype))
