"""Tests whether the rows of a batch influence each other: only if they do not, a server may batch requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from portinf.core.batch import Array, Arrays, Batch
from portinf.core.errors import CannotError, RunnerError, first_line
from portinf.core.progress import Progress
from portinf.core.signature import Signature, TensorSpec, dtype_by_numpy
from portinf.runners import Runner
from portinf.samples.generate import generate, resample
from portinf.validation import Tolerance
from portinf.validation.batched import why_not_batched
from portinf.validation.elementwise import differing

__all__ = ["BATCH_SIZE", "RowCheck", "check_rows", "choose_batch_size", "servable", "why_not_batched"]

BATCH_SIZE = 64  # of a model whose rows are verified independent, unless the user says otherwise
FEWEST = 3  # a row, its neighbour, and one that moves
MOST = 8  # enough to see an influence; each is also run alone
WANTED = 5


@dataclass(frozen=True, kw_only=True)
class RowCheck:
    """Whether rows are independent, and what was seen.

    Attributes:
        independent: verified.
        reason: what was seen, or why it could not be tried.
        influenced: refuted: a row's answer was seen to depend on its batch.
    """

    independent: bool
    reason: str
    influenced: bool = False


def check_rows(runner: Runner, signature: Signature, batches: Sequence[Batch], tolerance: Tolerance) -> RowCheck:
    """Run rows alone, together, in another order, beside changed neighbours and in batches of other sizes.

    Args:
        runner: the model; the axis 0 of all its inputs and outputs is one dynamic symbol.
        signature: names that symbol, and gives ranges for changed rows.
        batches: to take rows from; where they have too few, rows are made from them or from the signature.
        tolerance: within which a row's outputs must stay what they are for the row alone.
    """
    why = why_not_batched(signature)
    if why:
        return RowCheck(independent=False, reason=why)
    rows = _rows(signature, batches)
    if len(rows) < FEWEST:
        return RowCheck(
            independent=False, reason=f"fewer than {FEWEST} different rows to test it with; give some with --inputs"
        )
    try:
        alone = [runner.infer(row) for row in rows]
    except RunnerError as error:
        return RowCheck(independent=False, reason=f"a single row fails: {first_line(error)}")
    changed = _changed(signature, rows[1], rows[2])
    answer = _answer(runner, changed)
    if answer is not None:
        alone.append(answer)
        rows.append(changed)
    for title, order in _probes(len(rows)):
        reason = _influence(runner, rows, alone, order, tolerance)
        if reason:
            seen = f"a row's answer depends on its batch ({title}): {reason}"
            return RowCheck(independent=False, reason=seen, influenced=True)
    return RowCheck(
        independent=True, reason=f"{len(rows)} rows give the same results alone, in other places and with other rows"
    )


def _answer(runner: Runner, row: Arrays) -> Arrays | None:
    """Return the answer to a made row, None where the row lies outside the model's domain: the other rows must do."""
    try:
        return runner.infer(row)
    except RunnerError:
        return None


def choose_batch_size(
    runner: Runner,
    signature: Signature,
    batches: Sequence[Batch],
    requested: int | None,
    tolerance: Tolerance,
    shown: str,
    progress: Progress,
) -> tuple[int, str]:
    """Return max_batch_size and the reason for it.

    Args:
        runner: the model.
        signature: its axes.
        batches: samples to take rows from.
        requested: the value given by the user; None for 64 where the rows are verified independent, else 0.
        tolerance: of the test.
        shown: how messages call the model.
        progress: called with one line per step.

    Raises:
        CannotError: a size was requested, and the rows are not independent, or the model is not right for that many.
    """
    if requested == 0:
        return 0, "asked for"
    progress("testing that rows do not depend on each other")
    outcome = check_rows(runner, signature, batches, tolerance)
    if outcome.independent:
        largest = signature.axes[signature.inputs[0].labels[0]].maximum
        if largest is not None and (requested or 0) > largest:
            raise CannotError(f"{shown}: --max-batch-size {requested}: this model is valid up to {largest} rows only")
        return requested or min(BATCH_SIZE, largest or BATCH_SIZE), outcome.reason
    if requested is not None:
        raise CannotError(f"{shown}: --max-batch-size {requested} is not possible: {outcome.reason}; leave it out, or give 0")
    return 0, outcome.reason


def _rows(signature: Signature, batches: Sequence[Batch]) -> list[Arrays]:
    """Return up to `MOST` different rows of one batch, each with a batch axis of length 1."""
    label = signature.inputs[0].labels[0]
    for batch in _sources(signature, batches, label):
        seen: dict[tuple[bytes, ...], Arrays] = {}
        for k in range(min(len(array) for array in batch.inputs.values())):
            row = {name: array[k : k + 1] for name, array in batch.inputs.items()}
            seen.setdefault(tuple(repr(a.tolist()).encode() if a.dtype == object else a.tobytes() for a in row.values()), row)
            if len(seen) == MOST:
                break
        if len(seen) >= FEWEST:
            return list(seen.values())
    return []


def _sources(signature: Signature, batches: Sequence[Batch], label: str) -> Iterator[Batch]:
    yield from sorted(batches, key=lambda batch: -len(next(iter(batch.inputs.values()))))
    for batch in batches[:1]:
        sizes = signature.sizes({name: array.shape for name, array in batch.inputs.items()})
        yield resample(signature, batch, {**sizes, label: WANTED})
    yield generate(signature, {label: WANTED})


def _changed(signature: Signature, row: Arrays, other: Arrays) -> Arrays:
    """Return a row unlike any other: numbers far off but in their known range, the rest from another row."""
    return {name: _far(signature.input(name), array, other[name]) for name, array in row.items()}


def _far(spec: TensorSpec, array: Array, other: Array) -> Array:
    if spec.role.kind != "value" or not dtype_by_numpy(spec.dtype).is_float:
        return other
    return np.asarray(np.clip(array * -3 + 1, spec.low, spec.high)).astype(array.dtype)


def _probes(count: int) -> Iterator[tuple[str, list[int]]]:
    """Yield batches as lists of row numbers; the last row is the changed one."""
    whole = list(range(count))
    yield "all rows together", whole
    yield "rows in another order", [*whole[1::2], *whole[::2]]
    yield "rows in reverse order", whole[::-1]
    yield "a neighbour replaced", [0, count - 1, *whole[2:]]
    yield "a smaller batch", whole[:-1]
    yield "a larger batch", [*whole, *whole, 0]


def _influence(runner: Runner, rows: Sequence[Arrays], alone: Sequence[Arrays], order: list[int], tolerance: Tolerance) -> str:
    """Run one batch and say where it differs from its rows alone; empty where it does not."""
    try:
        found = runner.infer({name: np.concatenate([rows[k][name] for k in order]) for name in rows[0]})
    except (RunnerError, ValueError) as error:
        return first_line(error)
    together = {}
    for name, array in found.items():
        parts = [alone[k][name] for k in order]
        if array.ndim == 0 or len(array) != len(order) or any(part.shape[:1] != (1,) for part in parts):
            shapes = f"{list(parts[0].shape)} for 1 row, {list(array.shape)} for {len(order)}"
            return f"output '{name}' has shape {shapes}: not one entry per row"
        if len({part.shape for part in parts}) > 1:
            return f"output '{name}' has another shape for another row"
        together[name] = np.concatenate(parts)
    return differing(together, found, tolerance=tolerance, inputs={str(array.dtype) for array in rows[0].values()})


def servable(batches: Iterable[Batch], max_batch_size: int) -> list[Batch]:
    """Cut batches with recorded outputs to what a batching server takes in one request: 1 to ``max_batch_size`` rows.

    Args:
        batches: of a model whose rows are verified independent, so that a part of a batch has its part of the answer.
        max_batch_size: 0 for a model without batching, whose batches stay as they are.
    """
    if max_batch_size == 0:
        return list(batches)
    cut = [
        replace(batch, inputs=_first(batch.inputs, max_batch_size), expected=_first(batch.expected or {}, max_batch_size))
        for batch in batches
    ]
    return [batch for batch in cut if all(len(array) for array in batch.inputs.values())]


def _first(arrays: Arrays, count: int) -> Arrays:
    return {name: array[:count] for name, array in arrays.items()}
