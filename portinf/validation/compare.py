"""Two sides, or a chain of them, and a stream of batches -> the record of each comparison, holding few batches at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from portinf.core.batch import Batch
from portinf.core.signature import Signature
from portinf.runners.float64 import Float64
from portinf.runners.protocol import Runner
from portinf.validation.check import Check
from portinf.validation.results import Comparison
from portinf.validation.run import Answers, Run
from portinf.validation.tolerance import Tolerance

__all__ = ["RECORDED", "Pair", "compare", "compare_chain"]

RECORDED = "recorded outputs"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One comparison of a chain.

    Attributes:
        reference: place among the sides; None for each batch's recorded outputs.
        candidate: place among the sides.
        takes: says of a batch whether this pair is to be compared on it.
        checks: in addition to single elements.
        tolerance: None for that of the chain.
        recorded_by: the ONNX file that gave the recorded outputs, where it is at hand.
    """

    reference: int | None
    candidate: int
    takes: Callable[[Batch], bool] = lambda _: True
    checks: Sequence[Check] = ()
    tolerance: Tolerance | None = None
    recorded_by: Path | None = None


def compare(
    reference: Runner | None,
    candidate: Runner,
    batches: Iterable[Batch],
    *,
    tolerance: Tolerance,
    allow_nan: bool = False,
    progress: Callable[[str], None] | None = None,
    reference_name: str = RECORDED,
    signature: Signature | None = None,
    checks: Sequence[Check] = (),
    float64: Float64 | None = None,
    recorded_by: Path | None = None,
) -> Comparison:
    """Compare one candidate with one reference; see `compare_chain`.

    Args:
        reference: answers first; None takes each batch's recorded outputs.
        candidate: is judged.
        batches, tolerance, allow_nan, progress, reference_name, signature, float64: as of `compare_chain`.
        checks: in addition to single elements.
        recorded_by: the ONNX file that gave the recorded outputs, where it is at hand.
    """
    sides = [candidate] if reference is None else [candidate, reference]
    pair = Pair(reference=None if reference is None else 1, candidate=0, checks=checks, recorded_by=recorded_by)
    return compare_chain(
        sides,
        [pair],
        batches,
        tolerance=tolerance,
        allow_nan=allow_nan,
        progress=progress,
        reference_name=reference_name,
        signature=signature,
        float64=float64,
    )[0]


def compare_chain(
    sides: Sequence[Runner],
    pairs: Sequence[Pair],
    batches: Iterable[Batch],
    *,
    tolerance: Tolerance,
    allow_nan: bool = False,
    progress: Callable[[str], None] | None = None,
    reference_name: str = RECORDED,
    signature: Signature | None = None,
    float64: Float64 | None = None,
) -> list[Comparison]:
    """Give all sides the same inputs, each once, and hold outputs against each other by name.

    The default absolute tolerance follows the scale of each output column, which is that of the reference's first answers to
    given samples (to generated ones where there are none): until it is known, batches wait. So the verdict does not depend on
    how a file is cut into parts.

    A NaN fails on either side unless ``allow_nan`` says that it is an answer like any other; then it must stand at the
    same places. Of generated inputs, those numbers are compared that are not NaN in the reference, and those rows that it
    answers; where nothing is left, they are reported as outside its domain: they neither pass nor fail. Batches that are parts
    of one file are reported as one case.

    Args:
        sides: all that can answer.
        pairs: which of them are compared.
        batches: read one at a time, once.
        tolerance: of float outputs; integers, booleans and strings are exact.
        allow_nan: NaN at the same places is right.
        progress: called with one line per case.
        reference_name: how reports call recorded outputs.
        signature: names the axes in the report; None for the sides' own.
        float64: opens sides in float64 for a second opinion on what is out of the default tolerance: see
            `portinf.validation.rounding.opinion`; None for none.

    Raises:
        UsageError: no reference, and a batch without recorded outputs.
        ServingError: a live endpoint fails otherwise than by refusing a request.
    """
    runs = [
        Run(
            numbers=(pair.reference, pair.candidate),
            reference=None if pair.reference is None else sides[pair.reference],
            candidate=sides[pair.candidate],
            checks=pair.checks,
            tolerance=tolerance if pair.tolerance is None else pair.tolerance,
            allow_nan=allow_nan,
            signature=signature,
            float64=float64,
            recorded_by=pair.recorded_by,
            progress=progress or (lambda _: None),
        )
        for pair in pairs
    ]
    for batch in batches:
        answers = Answers(sides, batch)
        for run, pair in zip(runs, pairs, strict=True):
            if pair.takes(batch):
                run.add(batch, answers)
    return [run.comparison(reference_name) for run in runs]
