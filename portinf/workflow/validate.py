"""Two or more sides and their samples -> one report: every candidate against the reference and against its predecessor."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from portinf.errors import UsageError
from portinf.resampling import default_sizes, generate, sweep
from portinf.samples import Batch, check_batch, load_npz, shapes_of
from portinf.signature import Signature
from portinf.validation import Hop, Report, Tolerance, compare
from portinf.validation.checks import Check
from portinf.validation.precision import Precision, Truth, bounds_of
from portinf.workflow.bisect import Bisector, Place, choose
from portinf.workflow.precision import ReferencePrecision, held_precision, truth_of
from portinf.workflow.sides import Side, open_side
from portinf.workflow.sourcing import OpenedSource, Progress, SourcingOptions, open_source

__all__ = ["ValidateOptions", "validate"]


@dataclass(frozen=True, kw_only=True)
class ValidateOptions:
    """Everything ``portinf validate`` may be told.

    Attributes:
        sourcing: sample files, and how to open sources.
        tolerance: when two numbers are equal; a packaged reference brings its own where no part is given.
        allow_nan: NaN at the same places on both sides is right.
        bisect: find the first node at which the sides of each hop part.
        reproducer: folder for the files that show it; None for ``bisect-MODEL`` in the current folder.
        precision: ``fp64`` measures both sides against the reference in float64, ``fp32`` refuses a reference with parameters
            in half precision; None for neither.
        tolerance_from: ``fp64`` takes each output's tolerance from the reference's own distance from float64.
    """

    sourcing: SourcingOptions = field(default_factory=SourcingOptions)
    tolerance: Tolerance = field(default_factory=Tolerance)
    allow_nan: bool = False
    bisect: bool = False
    reproducer: Path | None = None
    precision: ReferencePrecision | None = None
    tolerance_from: Literal["fp64"] | None = None


def validate(
    reference: str, candidates: Sequence[str], options: ValidateOptions, progress: Progress = lambda _: None
) -> Report:
    """Compare every candidate with the reference, and with the candidate before it.

    The samples are the files given; else the goldens of a packaged side; else batches generated from a signature. Batches at
    other sizes are made from them, except where recorded outputs are the reference: those exist for the goldens alone.

    Args:
        reference, candidates: a source, an ONNX file, the folder of a packaged model, or the address of a live model.
        options: what the user said.
        progress: told what happens, one line each.

    Raises:
        UsageError: no candidate, or a sample does not fit the models.
        PortinfError: a side cannot be opened.
        ServingError: a live endpoint fails.
    """
    if not candidates:
        raise UsageError("expected at least one candidate beside the reference")
    with ExitStack() as stack:
        progress(f"opening {reference}")
        sides = [open_side(name, stack) for name in (reference, *candidates)]
        work = _Work(sides=sides, options=options, given=[load_npz(Path(path)) for path in options.sourcing.inputs])
        work.open_sources(stack, progress)
        work.look_at_precision(stack, progress)
        hops = list(work.hops(stack, progress))
        return Report.of(hops, work.tolerance, work.notes)


class _Work:
    """One validation under way: its sides, its cases and what there is to say about them."""

    def __init__(self, *, sides: Sequence[Side], options: ValidateOptions, given: Sequence[Batch]) -> None:
        self._sides = list(sides)
        self._options = options
        self._files = given
        self._replays = not given and bool(sides[0].recorded)
        self._opened: dict[int, OpenedSource] = {}
        self.notes = [note for side in sides for note in side.notes]
        self.tolerance = self._tolerance()
        self._truth: Truth | None = None

    def _tolerance(self) -> Tolerance:
        """Return the user's tolerance, or the one that a packaged reference was judged with."""
        packaged = self._sides[0].tolerance
        if self._options.tolerance == Tolerance() and packaged not in (None, Tolerance()):
            self.notes.append(f"tolerance from the manifest of {self._sides[0].name}")
            return packaged or Tolerance()
        return self._options.tolerance

    def open_sources(self, stack: ExitStack, progress: Progress) -> None:
        """Open the sources, with the files, else with samples made from what the other sides know."""
        for number, side in enumerate(self._sides):
            if not side.is_source:
                continue
            batches = [] if self._files else (self._recorded() or self._made())
            source = open_source(side.name, replace(self._options.sourcing, batches=batches), progress)
            stack.enter_context(source)
            self._opened[number] = source
            self._sides[number] = replace(side, runner=source.runner, signature=source.signature, described=True)
            self.notes += source.notes

    def look_at_precision(self, stack: ExitStack, progress: Progress) -> None:
        """Prepare the reference in float64 where it is asked for, and take the tolerance from it where that is asked for."""
        options = self._options
        if options.precision != "fp64" and options.tolerance_from is None:
            return
        side = self._sides[0]
        self._truth = truth_of(side, self._opened.get(0), stack)
        if options.tolerance_from is None:
            return
        progress("measuring the reference against fp64")
        assert side.runner is not None
        bounds = bounds_of(side.runner, self._truth, self.cases())
        self.tolerance = replace(self.tolerance, outputs=bounds)
        self.notes.append("the tolerance was taken from the reference's own distance from fp64")

    def _made(self) -> list[Batch]:
        """Make samples of two sizes for a source that comes without, from what another side knows."""
        found = next(
            ((side.name, side.signature) for side in self._sides if side.described and side.signature is not None), None
        )
        if found is None:
            return []
        name, signature = found
        sizes = default_sizes(signature)
        larger = {label: n + signature.axes[label].multiple for label, n in sizes.items()}
        made = [generate(signature, sizes), generate(signature, larger)] if sizes else [generate(signature)]
        return [replace(batch, name=f"a sample made for {name}", origin="given") for batch in made]

    def _recorded(self) -> list[Batch]:
        """Return the first goldens of any side, as inputs alone."""
        for side in self._sides:
            if side.recorded:
                return [replace(batch, expected=None, name=f"golden {batch.name}") for batch in side.recorded]
        return []

    def _best(self) -> tuple[int, Signature]:
        """Return number and signature of the side that knows most of axes and roles; a server's only if there is no other."""
        known = [(k, s.described, s.signature) for k, s in enumerate(self._sides) if s.signature is not None]
        number, _, signature = max(known, key=lambda side: (side[1], *_knowledge(side[2])))
        return number, signature

    def cases(self) -> Iterator[Batch]:
        """Yield what is compared: the samples, then other sizes of them."""
        if self._replays:
            yield from self._sides[0].recorded
            return
        number, signature = self._best()
        if self._files and number in self._opened:
            yield from self._opened[number].cases  # their answers are remembered
            return
        given = self._files or self._recorded()
        for batch in given:
            check_batch(signature, batch)
        yield from given or [generate(signature)]
        yield from sweep(signature, given)

    def hops(self, stack: ExitStack, progress: Progress) -> Iterator[Hop]:
        """Compare every candidate with the reference, and from the second on with its predecessor."""
        bisector = None
        if self._options.bisect:
            folder = self._options.reproducer or Path(f"bisect-{_stem(self._sides[-1].name)}")
            bisector = stack.enter_context(Bisector(tolerance=self.tolerance, folder=folder, progress=progress))
        for number in range(1, len(self._sides)):
            for before in (0, number - 1) if number > 1 else (0,):
                hop = self._hop(before, number, progress)
                if bisector is not None:
                    hop = bisector.bisect(hop, self._place(before), self._place(number), choose(hop, self._served(number)))
                yield hop

    def _place(self, number: int) -> Place:
        return Place(side=self._sides[number], source=self._opened.get(number))

    def _hop(self, before: int, number: int, progress: Progress) -> Hop:
        side = self._sides[number]
        reference = None if self._replays and before == 0 else self._sides[before].runner
        assert side.runner is not None  # every source was opened
        name = f"{self._sides[0].name} (recorded outputs)"
        progress(f"comparing {side.name} with {name if reference is None else reference.name}")
        hop = compare(
            reference,
            side.runner,
            self._served(number),
            tolerance=self.tolerance,
            allow_nan=self._options.allow_nan,
            progress=progress,
            reference_name=name,
            signature=self._best()[1],
            checks=self._checks(before),
        )
        if self._options.precision == "fp32" and before == 0:
            hop = replace(hop, checks=(*hop.checks, held_precision(self._sides[0], self._opened.get(0))))
        return hop

    def _checks(self, before: int) -> list[Check]:
        """Return what is looked at beside single elements: the distance from fp64 of what is compared with the reference."""
        return [Precision(self._truth)] if self._truth is not None and before == 0 else []

    def _served(self, number: int) -> Iterator[Batch]:
        """Leave out generated batches that no server takes: a batched model needs at least one row."""
        side = self._sides[number]
        for batch in self.cases():
            if batch.origin == "generated" and side.endpoint and side.signature and _empty(side.signature, batch):
                note = f"'{batch.name}' was not sent to {side.name}: a batched model needs at least one row"
                self.notes += [] if note in self.notes else [note]
                continue
            yield batch


def _stem(name: str) -> str:
    """Return a short name of a side for a folder: of a file without its suffix, of a live model without its address."""
    last = name.rstrip("/").rsplit("/", 1)[-1]
    return re.sub(r"[^\w.-]+", "-", last.removesuffix(".onnx")) or "model"


def _knowledge(signature: Signature) -> tuple[int, int, int]:
    """Rank a signature: inputs with a role other than plain values, then dynamic axes, then ties between them."""
    roles = sum(spec.role.kind != "value" for spec in signature.inputs)
    places = sum(len(spec.labels) for spec in signature.inputs)
    return roles, places, -len(signature.axes)


def _empty(signature: Signature, batch: Batch) -> bool:
    """Whether the batch axis of a served model has no entry in this batch."""
    shapes = shapes_of(batch.inputs)
    firsts = [(spec.shape[0], shapes[spec.name]) for spec in signature.inputs if spec.shape and spec.name in shapes]
    return any(axis.label == "batch" and axis.minimum == 1 and shape[:1] == (0,) for axis, shape in firsts)
