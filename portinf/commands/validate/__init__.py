"""Two or more models and their samples -> one report: every candidate against the reference and against its predecessor."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from portinf.commands.validate.cases import Cases
from portinf.commands.validate.hints import recorded_in_training, served_version
from portinf.commands.validate.reference_precision import ReferencePrecision, held_precision
from portinf.commands.validate.worst_rows import check_worst_path, save_worst
from portinf.conversion.open_source import open_source
from portinf.conversion.options import SourcingOptions
from portinf.conversion.randomness import random_checks
from portinf.core.batch import Batch, shapes_of
from portinf.core.errors import UsageError
from portinf.core.malloc import keep_freed_memory
from portinf.core.progress import Progress
from portinf.core.signature import Signature
from portinf.locate.resolve import take
from portinf.locate.sides import OnnxOptions, Recorded, open_side
from portinf.runners import Float64Runner, Runner
from portinf.runners.float64 import Float64
from portinf.samples import SampleStream, StreamOptions
from portinf.samples.files import open_files
from portinf.targets import find_target
from portinf.validation import (
    Check,
    CheckResult,
    Comparison,
    Pair,
    PhysicsOptions,
    Report,
    SideRecord,
    Tolerance,
    compare_chain,
    make_checks,
)
from portinf.validation.batch_independence import why_not_batched
from portinf.validation.checks.float64_distance import Precision, bounds_of
from portinf.validation.checks.invariances import Invariances
from portinf.validation.checks.worst_rows import Worst, WorstRow
from portinf.validation.side import Side

__all__ = ["ValidateOptions", "validate"]


@dataclass(frozen=True, kw_only=True)
class ValidateOptions:
    """The options of ``portinf validate``.

    Attributes:
        sourcing: sample files, and how to open sources.
        tolerance: when two numbers are equal; a packaged reference brings its own where no part is given.
        allow_nan: NaN at the same places on both sides is right.
        sets: labels of the axes whose order has no meaning.
        probes: also test each candidate with other batches, padding, orders and threads.
        onnx: how the candidates' ONNX files are run.
        physics: metrics that need labels or truth from the sample files.
        save_worst: npz file for inputs and columns of the worst rows; None for none.
        bisect: find the first node where the models of each comparison differ.
        reproducer: folder for the files that show it; None for ``bisect-MODEL`` in the current folder.
        precision: ``fp64`` measures both sides against the reference in float64, ``fp32`` refuses a reference with parameters
            in half precision; None for neither.
        tolerance_from: ``fp64`` takes each output's tolerance from the reference's own distance from float64.
    """

    sourcing: SourcingOptions = field(default_factory=SourcingOptions)
    tolerance: Tolerance = field(default_factory=Tolerance)
    allow_nan: bool = False
    sets: Sequence[str] = ()
    probes: bool = True
    onnx: OnnxOptions = field(default_factory=OnnxOptions)
    physics: PhysicsOptions = field(default_factory=PhysicsOptions)
    save_worst: Path | None = None
    bisect: bool = False
    reproducer: Path | None = None
    precision: ReferencePrecision | None = None
    tolerance_from: Literal["fp64"] | None = None


def validate(
    reference: str, candidates: Sequence[str], options: ValidateOptions, progress: Progress = lambda _: None
) -> Report:
    """Compare every candidate with the reference, and with the candidate before it.

    The samples are the files given, large ones read in parts; else the goldens of a packaged side; else batches generated from a
    signature. Batches at other sizes are made from them, except where recorded outputs are the reference: those exist for the
    goldens alone.

    Args:
        reference, candidates: a source, an ONNX file, the folder of a packaged model, or the address of a live model.
        options: what the user said.
        progress: called with each step.

    Raises:
        UsageError: no candidate, a sample does not fit the models, or a column or output that is named is not there.
        PortinfError: a side cannot be opened.
        ServingError: a live endpoint fails.
    """
    if not candidates:
        raise UsageError("expected at least one candidate in addition to the reference")
    _check_options(options)
    with ExitStack() as stack:
        progress(f"opening {reference}")
        plain = replace(options.onnx, provider="cpu", level="all")
        refs = [take(name, "validate") for name in (reference, *candidates)]
        sides = [open_side(ref, stack, options.onnx if number else plain) for number, ref in enumerate(refs)]
        if options.sourcing.inputs:
            keep_freed_memory()
        work = _Work(sides=sides, options=options, files=open_files(options.sourcing.inputs, _streams(sides, options)))
        stack.enter_context(work.float64)
        work.open_sources(stack, progress)
        work.look_at_precision(stack, progress)
        comparisons = work.comparisons(stack, progress)
        if options.save_worst is not None:
            work.notes += save_worst(options.save_worst, work.worst)
        return Report.of(comparisons, work.tolerance, work.notes, work.records())


class _Work:
    """One validation under way: its models, its cases and the notes on them."""

    def __init__(self, *, sides: Sequence[Side], options: ValidateOptions, files: Sequence[SampleStream]) -> None:
        self._sides = list(sides)
        self._options = options
        if files and isinstance(sides[0].runner, Recorded):
            raise UsageError(
                f"{sides[0].name}: recorded outputs can only be compared on their recorded inputs; remove --inputs"
            )
        self._with_columns = bool(options.physics.columns)  # worst rows that are written must have them, too
        self.worst: list[WorstRow] = []
        self._cases = Cases(self._sides, files, options.sourcing, list(options.physics.columns), self._note)
        self.notes = [note for side in sides for note in side.notes]
        self.tolerance = self._tolerance()
        self._truth: Float64Runner | None = None
        self.float64 = Float64()

    def _tolerance(self) -> Tolerance:
        """Return the user's tolerance; else the one that an emulation was made for, or a packaged reference was judged with."""
        emulated = [side for side in self._sides if side.to_float is not None]
        if self._options.tolerance == Tolerance() and 0 < len(emulated) < len(self._sides):
            self.notes.append(f"tolerance that {emulated[0].name} was made for")
            return emulated[0].to_float or Tolerance()
        return self._packaged()

    def _packaged(self) -> Tolerance:
        packaged = self._sides[0].tolerance
        if self._options.tolerance == Tolerance() and packaged not in (None, Tolerance()):
            self._note([f"tolerance from the manifest of {self._sides[0].name}"])
            return packaged or Tolerance()
        return self._options.tolerance

    def _between(self, *numbers: int) -> Tolerance:
        """Return the tolerance of two sides: what an emulation was made for is not lent to others in the same chain."""
        emulated = [self._sides[number].to_float is not None for number in numbers]
        mixed = any(side.to_float is not None for side in self._sides) and self._options.tolerance_from is None
        alone = not any(emulated) or (all(emulated) and 0 in numbers)
        return self._packaged() if mixed and alone else self.tolerance

    def open_sources(self, stack: ExitStack, progress: Progress) -> None:
        """Open the sources, with the files, else with samples made from what the other sides know."""
        for number, side in enumerate(self._sides):
            if not side.is_source:
                continue
            source = open_source(side.name, self._cases.sourcing(), progress)
            stack.enter_context(source)
            self._cases.opened[number] = source
            facts = {**side.facts, "framework": source.process.framework}
            self._sides[number] = replace(side, runner=source.runner, signature=source.signature, described=True, facts=facts)
            self.notes += source.notes

    def look_at_precision(self, stack: ExitStack, progress: Progress) -> None:
        """Prepare the reference in float64 if requested, and take the tolerance from it if requested."""
        options = self._options
        if options.precision != "fp64" and options.tolerance_from is None:
            return
        side = self._sides[0]
        self._truth = self.float64.of(side.runner)
        if options.tolerance_from is None:
            return
        progress("comparing the reference with float64")
        assert side.runner is not None
        bounds = bounds_of(side.runner, self._truth, self._cases)
        self.tolerance = replace(self.tolerance, outputs=bounds)
        self.notes.append("the tolerance is the distance between the reference and its float64 result")

    def _note(self, lines: Sequence[str]) -> None:
        """Add what is not said yet."""
        self.notes += [line for line in lines if line not in self.notes]

    def comparisons(self, stack: ExitStack, progress: Progress) -> list[Comparison]:
        """Compare every candidate with the reference, and from the second on with its predecessor; each side answers once."""
        first = None if self._cases.replays else 0
        pairs = []
        for number, side in enumerate(self._sides[1:], start=1):
            bound = self._between(0, number)
            checks = self._checks(0, bound)
            base = {"takes": self._taken(side), "checks": checks, "tolerance": bound, "recorded_by": self._sides[0].onnx}
            pairs += [Pair(reference=first, candidate=number, **base)]  # type: ignore[arg-type]
            if number > 1:
                both = (self._taken(self._sides[number - 1]), self._taken(side))
                bound = self._between(number - 1, number)
                checks = self._checks(number - 1, bound)
                pairs += [Pair(reference=number - 1, candidate=number, takes=_all(both), checks=checks, tolerance=bound)]
        names = [side.name for side in self._sides[1:]]
        progress(f"comparing {', '.join(names)} with {self._sides[0].name}")
        runners = self._runners()
        comparisons = compare_chain(
            runners,
            pairs,
            self._cases,
            tolerance=self.tolerance,
            allow_nan=self._options.allow_nan,
            progress=progress,
            reference_name=f"{self._sides[0].name} (recorded outputs)",
            signature=self._cases.best()[1],
            float64=self.float64,
        )
        worst = [check for pair in pairs for check in pair.checks if isinstance(check, Worst)]
        self.worst = [row for check in worst for row in check.rows(given=self._with_columns)]
        self._note([note for file in self._cases.files for note in file.notes])
        comparisons = [
            self._looked_at(comparison, pair, runners, progress) for comparison, pair in zip(comparisons, pairs, strict=True)
        ]
        return self._bisected(comparisons, pairs, stack, progress) if self._options.bisect else comparisons

    def _looked_at(self, comparison: Comparison, pair: Pair, runners: Sequence[Runner], progress: Progress) -> Comparison:
        """Add to a comparison with the first side what needs more than its outputs."""
        comparison = replace(
            comparison, checks=(*comparison.checks, *self._random(pair.reference or 0), *self._random(pair.candidate))
        )
        if pair.reference not in (None, 0):
            return comparison
        more = [*self._hints(comparison, pair.candidate)]
        if self._options.precision == "fp32":
            more.append(held_precision(self._sides[0], self._cases.opened.get(0)))
        side = self._sides[pair.candidate]
        checks, figures = find_target(side.target).explain(side, self._cases.samples()) if side.target else ((), ())
        comparison = replace(comparison, checks=(*comparison.checks, *more, *checks), figures=(*figures, *comparison.figures))
        return self._probed(comparison, pair, runners, progress) if self._options.probes else comparison

    def _bisected(
        self, comparisons: Sequence[Comparison], pairs: Sequence[Pair], stack: ExitStack, progress: Progress
    ) -> list[Comparison]:
        """Name the first node where the models of each comparison differ."""
        from portinf.bisection.bisect import Bisector, Place, choose

        def place(number: int) -> Place:
            return Place(side=self._sides[number], source=self._cases.opened.get(number))

        folder = self._options.reproducer or Path(f"bisect-{_stem(self._sides[-1].name)}")
        bisector = stack.enter_context(Bisector(tolerance=self.tolerance, folder=folder, progress=progress))
        found = []
        for comparison, pair in zip(comparisons, pairs, strict=True):
            batch = choose(comparison, filter(pair.takes, self._cases))
            found.append(bisector.bisect(comparison, place(pair.reference or 0), place(pair.candidate), batch))
        return found

    def _checks(self, before: int, tolerance: Tolerance) -> Sequence[Check]:
        """Return the checks beyond single elements; against the first model also the distance from float64."""
        made = make_checks(
            self._options.physics,
            tolerance,
            allow_nan=self._options.allow_nan,
            batched=not why_not_batched(self._cases.best()[1]),
        )
        return [*made, *([Precision(self._truth)] if self._truth is not None and before == 0 else [])]

    def _probed(self, comparison: Comparison, pair: Pair, runners: Sequence[Runner], progress: Progress) -> Comparison:
        """Add the invariances of a candidate to its comparison with the first side."""
        progress(f"invariances of {comparison.candidate}")
        signature = self._cases.best()[1]
        given = self._cases.samples()
        probes = Invariances(signature=signature, batches=given, tolerance=self.tolerance, sets=self._options.sets)
        reference = None if pair.reference is None else runners[pair.reference]
        return replace(comparison, checks=(*comparison.checks, *probes.results(reference, runners[pair.candidate])))

    def _random(self, number: int) -> list[CheckResult]:
        """Return the failed check of a side whose answers are random."""
        side, source = self._sides[number], self._cases.opened.get(number)
        if side.onnx is not None:
            return random_checks(side.onnx)
        reason = "" if source is None else source.process.random
        return [CheckResult(name="randomness", status="failed", text=f"{side.name}: {reason}")] if reason else []

    def _hints(self, comparison: Comparison, number: int) -> Iterator[CheckResult]:
        """Yield likely reasons of a failure, where they can be seen from outside."""
        first, side = self._sides[0], self._sides[number]
        if first.version is not None and side.endpoint:
            assert side.runner is not None
            found = served_version(side.name, first.version, side.runner.info.versions, equal=comparison.verdict == "equal")
            if found is not None:
                yield found
        if comparison.verdict != "equal" and self._cases.replays and side.onnx is not None:
            found = recorded_in_training(side.onnx, first.recorded, self.tolerance)
            if found is not None:
                yield found

    def records(self) -> list[SideRecord]:
        """Say where each side came from."""
        return [SideRecord(name=side.name, facts=side.facts) for side in self._sides]

    def _runners(self) -> list[Runner]:
        runners = [side.runner for side in self._sides]
        assert None not in runners  # every source was opened
        return [runner for runner in runners if runner is not None]

    def _taken(self, side: Side) -> Callable[[Batch], bool]:
        """Leave out generated batches that no server takes: a batched model needs at least one row."""

        def taken(batch: Batch) -> bool:
            if batch.origin == "generated" and side.endpoint and side.signature and _empty(side.signature, batch):
                self._note([f"'{batch.name}' was not sent to {side.name}: a batched model needs at least one row"])
                return False
            return True

        return taken


def _all(conditions: Sequence[Callable[[Batch], bool]]) -> Callable[[Batch], bool]:
    return lambda batch: all(condition(batch) for condition in conditions)


def _check_options(options: ValidateOptions) -> None:
    """Refuse what cannot be done before anything is opened."""
    if options.save_worst is not None:
        check_worst_path(options.save_worst)
    for name, option in options.physics.columns.items():
        if not options.sourcing.inputs:
            raise UsageError(f"{option} {name}: columns are read from sample files: give them with --inputs")


def _streams(sides: Sequence[Side], options: ValidateOptions) -> StreamOptions:
    """Say how files are read: what the physics metrics need goes beside the inputs, unless it is an input of a model."""
    known = {spec.name for side in sides for spec in (side.signature.inputs if side.signature else ())}
    base = options.sourcing.streams
    return replace(base, beside={**{name: name for name in options.physics.columns if name not in known}, **base.beside})


def _stem(name: str) -> str:
    """Return a short name of a side for a folder: of a file without its suffix, of a live model without its address."""
    last = name.rstrip("/").rsplit("/", 1)[-1]
    return re.sub(r"[^\w.-]+", "-", last.removesuffix(".onnx")) or "model"


def _empty(signature: Signature, batch: Batch) -> bool:
    """Whether the batch axis of a served model has no entry in this batch."""
    shapes = shapes_of(batch.inputs)
    firsts = [(spec.shape[0], shapes[spec.name]) for spec in signature.inputs if spec.shape and spec.name in shapes]
    return any(axis.label == "batch" and axis.minimum == 1 and shape[:1] == (0,) for axis, shape in firsts)
