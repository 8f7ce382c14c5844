"""All outputs of a comparison -> the rows that use up most of their tolerance, with the inputs that led to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from portinf.core.batch import Array, Arrays, Batch, Origin
from portinf.core.errors import UsageError
from portinf.validation.check import CheckResult, Figure
from portinf.validation.limits import Judging
from portinf.validation.pairing import case_of, pairs, scores
from portinf.validation.tally import Value, plain, show
from portinf.validation.tolerance import Tolerance

__all__ = ["ROWS", "Worst", "WorstRow", "joined"]

ROWS = 10
Scores = npt.NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class WorstRow:
    """One row, or one whole event where axis 0 is no batch, at its worst element.

    Attributes:
        case: name of the case.
        row: number in the case; None for a whole event.
        output: name of the output that is worst there.
        index: of the element in that output, its row counted as ``row``.
        dtype: numpy type name of the output.
        reference, candidate: the two values.
        score: difference over what is allowed, see `portinf.validation.pairing.scores`.
        batch: inputs and columns of this row alone (axis 0 of length 1), or of the whole event.
    """

    case: str
    row: int | None
    output: str
    index: tuple[int, ...]
    dtype: str
    reference: Value
    candidate: Value
    score: float
    batch: Batch

    @property
    def key(self) -> tuple[str, int | None]:
        """What makes it another row than others."""
        return self.case, self.row


class Worst(Judging):
    """`Check`: the rows of the largest scores over all batches and outputs, each once, at most ten of each origin.

    Args:
        tolerance, allow_nan: give the scores.
        batched: axis 0 of every input and output counts rows that do not depend on each other; else a batch is one event.
        keep: most rows of each origin: those of the user's samples are not crowded out by generated ones.
    """

    def __init__(self, tolerance: Tolerance, *, allow_nan: bool = False, batched: bool = False, keep: int = ROWS) -> None:
        super().__init__(tolerance)
        self._allow_nan, self._batched, self._keep = allow_nan, batched, keep
        self._rows: dict[Origin, list[WorstRow]] = {"given": [], "generated": []}

    def update(self, expected: Arrays, found: Arrays, batch: Batch) -> None:
        """Add one batch."""
        for name, reference, candidate in pairs(expected, found):
            bound = self._limits.of(name, reference, batch.inputs)
            score = scores(reference, candidate, bound, allow_nan=self._allow_nan)
            known = self._rows[batch.origin]
            least = known[-1].score if len(known) == self._keep else 0.0
            if score.max() > least:
                self._join(batch.origin, self._found(name, reference, candidate, score, least, batch))

    def merge(self, other: Worst) -> None:
        """Add all that another check has seen."""
        for origin, rows in other._rows.items():
            self._join(origin, rows)

    def rows(self, *, given: bool = False) -> list[WorstRow]:
        """Return the rows, worst first; with ``given`` those of the user's samples alone."""
        generated = [] if given else self._rows["generated"]
        return sorted([*self._rows["given"], *generated], key=_rank)[: self._keep]

    def results(self) -> Sequence[CheckResult]:
        """Return the list as one finding."""
        rows = self.rows()
        if not rows:
            return [CheckResult(name="worst rows", status="reported", text="no row differs")]
        first = rows[0]
        place = f"[{', '.join(map(str, first.index))}]"
        values = f"reference {show(first.reference, first.dtype)}, candidate {show(first.candidate, first.dtype)}"
        text = f"{first.case}, output '{first.output}' at {place}: {values}; {first.score:.3g} of the tolerance"
        return [CheckResult(name="worst rows", status="reported", text=text, table=[_shown(row) for row in rows])]

    def figures(self) -> Sequence[Figure]:
        """Return nothing: the scatter plot shows the worst element."""
        return ()

    def _join(self, origin: Origin, rows: Sequence[WorstRow]) -> None:
        """Keep the worst of both lists; a row that is in both stays with its larger score."""
        best: dict[tuple[str, int | None], WorstRow] = {}
        for row in [*self._rows[origin], *rows]:
            if row.key not in best or row.score > best[row.key].score:
                best[row.key] = row
        self._rows[origin] = sorted(best.values(), key=_rank)[: self._keep]

    def _found(
        self, name: str, reference: Array, candidate: Array, score: Scores, least: float, batch: Batch
    ) -> list[WorstRow]:
        if not self._has_rows(reference, batch):
            return [self._row(name, reference, candidate, int(score.argmax()), score, batch, None)]
        flat = score.reshape(len(score), -1)
        width = flat.shape[1]
        rows = _largest(flat, self._keep, least)
        return [
            self._row(name, reference, candidate, int(k) * width + int(flat[k].argmax()), score, batch, int(k)) for k in rows
        ]

    def _has_rows(self, reference: Array, batch: Batch) -> bool:
        """Whether the batch can be cut along axis 0."""
        arrays = [reference, *batch.inputs.values()]
        return self._batched and bool(batch.inputs) and all(a.ndim and len(a) == len(reference) for a in arrays)

    def _row(
        self, name: str, reference: Array, candidate: Array, flat: int, score: Scores, batch: Batch, row: int | None
    ) -> WorstRow:
        index = [int(k) for k in np.unravel_index(flat, reference.shape)]
        cut = batch
        if row is not None:
            index[0] = row + batch.first_row
            cut = Batch(name=batch.name, origin=batch.origin, inputs=_cut(batch.inputs, row), columns=_cut(batch.columns, row))
        return WorstRow(
            case=case_of(batch),
            row=None if row is None else row + batch.first_row,
            output=name,
            index=tuple(index),
            dtype=str(reference.dtype),
            reference=_value(reference, flat),
            candidate=_value(candidate, flat),
            score=float(score.flat[flat]),
            batch=cut,
        )


def _rank(row: WorstRow) -> tuple[float, str, int]:
    """Order by score; equal scores by place, so that parts may come in any order."""
    return -row.score, row.case, row.row or 0


def _largest(flat: Scores, keep: int, least: float) -> npt.NDArray[np.intp]:
    """Return the rows whose largest score is above ``least``, at most ``keep``, largest first; of equal rows the first."""
    elements = flat.ravel()
    many = keep * flat.shape[1]  # these elements lie in at least `keep` rows
    if elements.size > many:
        above = elements[elements > least]
        if above.size > many:
            least = np.nextafter(np.partition(above, above.size - many)[above.size - many], -np.inf)
    rows = np.unique(np.flatnonzero(elements > least) // flat.shape[1])
    order = np.argsort(-flat[rows].max(axis=1), kind="stable")
    return np.asarray(rows[order[:keep]])


def _cut(arrays: Arrays, row: int) -> Arrays:
    return {name: array[row : row + 1].copy() for name, array in arrays.items()}


def _value(array: Array, flat: int) -> Value:
    element = array.flat[flat]
    if isinstance(element, bytes):
        return element.decode("utf-8", "backslashreplace")
    if isinstance(element, str):
        return element
    value = element.item()
    return value if isinstance(value, (bool, int)) else float(value)


def _shown(row: WorstRow) -> dict[str, Value]:
    place = ", ".join(map(str, row.index))
    return {
        "case": row.case,
        "row": -1 if row.row is None else row.row,
        "output": row.output,
        "index": f"[{place}]",
        "reference": plain(row.reference),
        "candidate": plain(row.candidate),
        "score": plain(row.score),
    }


def joined(rows: Sequence[WorstRow]) -> tuple[Arrays, list[str], list[str]]:
    """Put rows into the arrays of one request, inputs and columns by name, the worst row first.

    Args:
        rows: at least one, worst first. Whole events cannot be joined: the first one is taken.

    Returns:
        The arrays, which of them are columns alone, and what had to be left out.

    Raises:
        UsageError: a column has the name of an input, but other values.
    """
    first, notes = rows[0], []
    taken = (
        [row for row in rows if row.row is not None and _alike(row.batch, first.batch)] if first.row is not None else [first]
    )
    if len(taken) < len(rows):
        what = "whole events" if first.row is None else "of other sizes"
        notes.append(f"{len(rows) - len(taken)} of the {len(rows)} worst rows are {what} and were left out")
    inputs = dict(first.batch.inputs)
    if first.row is not None:
        inputs = {name: np.concatenate([row.batch.inputs[name] for row in taken]) for name in inputs}
    columns = [name for name in first.batch.columns if all(name in row.batch.columns for row in taken)]
    return inputs | _columns(taken, columns, inputs), [name for name in columns if name not in inputs], notes


def _columns(taken: Sequence[WorstRow], names: Sequence[str], inputs: Arrays) -> Arrays:
    found: Arrays = {}
    for name in names:
        parts = [row.batch.columns[name] for row in taken]
        found[name] = np.concatenate(parts) if len(parts) > 1 else parts[0]
        if name in inputs and not np.array_equal(inputs[name], found[name]):
            raise UsageError(f"column '{name}' has the name of an input, but other values: both cannot be in one .npz file")
    return found


def _alike(batch: Batch, other: Batch) -> bool:
    return {n: (a.shape, a.dtype) for n, a in batch.inputs.items()} == {n: (a.shape, a.dtype) for n, a in other.inputs.items()}
