"""A converted file that is right on the samples -> the same, also tested outside their range, with notes or a refusal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from portinf.conversion.candidate import Candidate
from portinf.conversion.open_source import OpenedSource
from portinf.conversion.options import ConvertOptions
from portinf.core.batch import Array, Arrays, Batch, shapes_of
from portinf.core.errors import CannotError, first_line
from portinf.core.progress import Progress
from portinf.probing.requests import SMALL_REQUEST, Space
from portinf.probing.search import Finding, Sides, search
from portinf.probing.watching import named_cause
from portinf.validation import CaseResult
from portinf.validation.check import CheckResult

__all__ = ["NAME", "at_extremes", "cause_of"]

NAME = "inner extremes"
REWRITE = "rewrite this operation in the model"
STRANGE = ("nan", "infinite")
MANNERS = ("other", "not finite", "discrete", "shape", "finite")  # the worst first


@dataclass(frozen=True)
class _Double:
    """The source in float64 behind the contract of what answers."""

    opened: OpenedSource

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request in float64."""
        return self.opened.runner.infer_double(inputs)


def at_extremes(candidate: Candidate, options: ConvertOptions, progress: Progress) -> Candidate:
    """Ask source and file outside the samples' range, where the graph's operators are known to go wrong.

    Args:
        candidate: a file that is equal on every case.
        options: of the conversion; the user's ranges limit the values of the requests.
        progress: called with each step.

    Returns:
        The candidate with a check: ``failed`` where the source gives numbers and the file none, or grossly other ones, at numbers
        of ordinary size; ``reported``, and notes, for smaller differences and for stranger numbers.

    Raises:
        CannotError: the source's process ended.
    """
    base = _base(candidate)
    if base is None:
        return candidate
    progress("comparing outside the samples' range")
    opened = candidate.opened
    space = Space(
        signature=opened.signature,
        base=base.inputs,
        samples=[batch.inputs for batch in opened.given],
        ranges=options.sourcing.ranges,
    )
    sides = Sides(
        source=opened.runner,
        path=candidate.path,
        signature=opened.signature,
        truth=_Double(opened),
        tolerance=options.tolerance,
    )
    try:
        found, answered = search(sides, space)
    except CannotError as error:
        way_out = _way_out(space, [*space.floats, *space.integers])
        raise CannotError(
            f"outside the samples' range {first_line(error)}: make the model accept such inputs{way_out}"
        ) from error
    if not found and not answered:
        return candidate
    gross = [finding for finding in found if finding.gross]
    if gross:
        check = CheckResult(name=NAME, status="failed", text=_refused(space, gross))
        return replace(candidate, comparison=replace(candidate.comparison, checks=(*candidate.comparison.checks, check)))
    notes = _notes(found)
    text = "; ".join(notes) or f"{answered} requests outside the samples' range: file and source agree"
    check = CheckResult(name=NAME, status="reported" if notes else "passed", text=text)
    return replace(
        candidate,
        notes=[*candidate.notes, *notes],
        comparison=replace(candidate.comparison, checks=(*candidate.comparison.checks, check)),
    )


def cause_of(candidate: Candidate) -> str:
    """Name the operator that seems to be at fault where a case disagrees; empty where none is known."""
    pairs = zip(candidate.opened.cases, candidate.comparison.cases, strict=False)
    wrong = [(batch, case) for batch, case in pairs if case.status == "disagrees" and case.outputs and _filled(batch)]
    if not wrong:
        return ""
    batch, case = wrong[0]
    output = next((output.name for output in case.outputs if not output.equal), "")
    cause = named_cause(candidate.path, batch.inputs, output)
    return f"; look at {cause}" if cause else ""


def _base(candidate: Candidate) -> Batch | None:
    """Return the smallest equal case without empty tensors, two or more of everything where that can be."""
    pairs = zip(candidate.opened.cases, candidate.comparison.cases, strict=False)
    known = [(batch, case) for batch, case in pairs if case.status == "equal" and _filled(batch)]
    return min(known, key=lambda pair: _preference(*pair), default=(None, None))[0]


def _preference(batch: Batch, case: CaseResult) -> tuple[bool, int]:
    size = sum(array.size for array in batch.inputs.values())
    return min(case.sizes.values(), default=2) < 2 and size <= SMALL_REQUEST, size


def _filled(batch: Batch) -> bool:
    return bool(batch.inputs) and all(math.prod(shape) for shape in shapes_of(batch.inputs).values())


def _rank(finding: Finding) -> tuple[bool, int]:
    return not finding.cause, MANNERS.index(finding.difference.manner) if finding.difference is not None else len(MANNERS)


def _refused(space: Space, gross: Sequence[Finding]) -> str:
    """Say the worst, which other operators are at fault, and the way out where all of it lies outside the samples' range."""
    moved = list(dict.fromkeys(name for finding in gross for name in finding.probe.moved))
    outside = all(any(_leaves(space, finding, name) for name in finding.probe.moved) for finding in gross)
    return f"{_worst(gross)}; {REWRITE}{_way_out(space, moved) if outside else ''}"


def _notes(found: Sequence[Finding]) -> list[str]:
    """Return a line for missing values and a line for all else, each with the worst of it and the other operators."""
    parts = [[f for f in found if (f.probe.kind in STRANGE) == strange] for strange in (False, True)]
    return [f"outside the samples' range the file differs from the source: {_worst(part)}" for part in parts if part]


def _worst(found: Sequence[Finding]) -> str:
    worst = min(found, key=_rank)
    operators = dict.fromkeys(finding.cause.operator for finding in found if finding.cause is not None)
    others = [operator for operator in operators if worst.cause is None or operator != worst.cause.operator]
    return f"{_said(worst)}{'; also: ' if others else ''}{', '.join(others)}"


def _leaves(space: Space, finding: Finding, name: str) -> bool:
    """Whether a probe's numbers leave the range that would be proposed."""
    low, high = (_outward(end, sign) for end, sign in zip(space.seen(name), (-1, 1), strict=True))
    array = finding.probe.inputs[name].astype(np.float64)
    return bool(np.any(~((array >= float(low)) & (array <= float(high)))))


def _said(finding: Finding) -> str:
    """Say operator, output, both values and the inputs in one line."""
    head = f"{finding.cause}: " if finding.cause else ""
    difference = finding.difference
    if difference is None:
        return f"{head}the source answers, the file refuses ({finding.refusal}), at {_place(finding, ())}"
    where = f"output '{difference.output}'"
    where += "" if difference.manner == "shape" else f" at [{', '.join(map(str, difference.index))}]"
    values = f"source {difference.expected}, file {difference.found}"
    return f"{head}{where}: {'shape: ' * (difference.manner == 'shape')}{values}, with {_place(finding, difference.index)}"


def _place(finding: Finding, index: tuple[int, ...]) -> str:
    """Say the moved inputs at this element, else in this row, else as a whole."""
    if finding.probe.kind in STRANGE:
        return f"{'NaN' if finding.probe.kind == 'nan' else 'infinities'} in {' and '.join(finding.probe.moved)}"
    said = []
    for name in finding.probe.moved[:2]:
        array = finding.probe.inputs[name]
        if index and len(index) == array.ndim and all(k < n for k, n in zip(index, array.shape, strict=True)):
            row = array[index[0]]
            said.append(
                f"{name}[{', '.join(map(str, index))}] = {_number(array[index])}" + _span(row, f" in {name}[{index[0]}]")
            )
        elif index and array.ndim and index[0] < len(array):
            said.append(f"{name}[{index[0]}]{_span(array[index[0]], '')}")
        else:
            said.append(f"{name}{_span(array, '')}")
    return " and ".join(said)


def _span(array: Array, within: str) -> str:
    wide = np.asarray(array).astype(np.float64)
    if within and wide.size < 2:
        return ""
    strange = [word for word, test in (("NaN", np.isnan(wide)), ("infinity", np.isinf(wide))) if test.any()]
    finite = wide[np.isfinite(wide)]
    span = f"{_number(finite.min())} to {_number(finite.max())}" if finite.size else ""
    text = " and ".join(part for part in (*strange, span) if part)
    return f" ({text}{within})" if within else f" of {text}"


def _number(value: object) -> str:
    return str(value) if isinstance(value, int | np.integer) else format(float(value), ".6g")  # type: ignore[arg-type]


def _way_out(space: Space, names: Sequence[str]) -> str:
    """Return the options that keep inputs to what the samples hold."""
    options = [
        f"--value-range {name}={_outward(space.seen(name)[0], -1)}:{_outward(space.seen(name)[1], 1)}"
        for name in names
        if space.free(name)
    ]
    return f", or, if the model never gets such inputs, add: {' '.join(options)}" if options else ""


def _outward(value: float, sign: int) -> str:
    """Round away from the samples, to two digits; whole numbers stay."""
    if value == int(value):
        return str(int(value))
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    rounded = (math.floor if sign < 0 else math.ceil)(value / step) * step
    return format(rounded, ".2g")
