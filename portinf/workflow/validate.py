"""Two or more sides and their samples -> one report: every candidate against the reference and against its predecessor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from portinf.errors import UsageError
from portinf.resampling import default_sizes, generate, sweep
from portinf.samples import Batch, check_batch, shapes_of
from portinf.signature import Signature
from portinf.streams import SampleStream
from portinf.validation import Hop, Report, Tolerance
from portinf.validation.compare import Pair, compare_chain
from portinf.workflow.edge_cases import edge_cases
from portinf.workflow.samplefiles import bound, heads, open_files
from portinf.workflow.sides import Side, open_side
from portinf.workflow.sourcing import OpenedSource, Progress, SourcingOptions, open_source
from portinf.workflow.told import with_ranges, with_roles

__all__ = ["ValidateOptions", "validate"]


@dataclass(frozen=True, kw_only=True)
class ValidateOptions:
    """Everything ``portinf validate`` may be told.

    Attributes:
        sourcing: sample files, and how to open sources.
        tolerance: when two numbers are equal; a packaged reference brings its own where no part is given.
        allow_nan: NaN at the same places on both sides is right.
        threads: of ONNX Runtime, for each side; 0 lets it choose.
    """

    sourcing: SourcingOptions = field(default_factory=SourcingOptions)
    tolerance: Tolerance = field(default_factory=Tolerance)
    allow_nan: bool = False
    threads: int = 0


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
        sides = [open_side(name, stack, threads=options.threads) for name in (reference, *candidates)]
        work = _Work(sides=sides, options=options, files=open_files(options.sourcing.inputs, options.sourcing.streams))
        work.open_sources(stack, progress)
        hops = work.hops(progress)
        return Report.of(hops, work.tolerance, work.notes)


class _Work:
    """One validation under way: its sides, its cases and what there is to say about them."""

    def __init__(self, *, sides: Sequence[Side], options: ValidateOptions, files: Sequence[SampleStream]) -> None:
        self._sides = list(sides)
        self._options = options
        self._files = list(files)
        self._replays = not files and bool(sides[0].recorded)
        self._opened: dict[int, OpenedSource] = {}
        self.notes = [note for side in sides for note in side.notes]
        self.tolerance = self._tolerance()

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
            source = open_source(side.name, self._sourcing(), progress)
            stack.enter_context(source)
            self._opened[number] = source
            self._sides[number] = replace(side, runner=source.runner, signature=source.signature, described=True)
            self.notes += source.notes

    def _sourcing(self) -> SourcingOptions:
        """Return how to open a source: with the files as another side takes them, where one is known, else as it takes them."""
        told = self._options.sourcing
        if not self._files:
            return replace(told, batches=self._recorded() or self._made())
        known = self._described()
        return told if known is None else replace(told, inputs=(), batches=heads(bound(self._files, known[1])))

    def _described(self) -> tuple[str, Signature] | None:
        """Return name and signature of the first side that knows its axes and roles."""
        found = ((side.name, side.signature) for side in self._sides if side.described and side.signature is not None)
        return next(((name, self._told(signature)) for name, signature in found), None)

    def _told(self, signature: Signature) -> Signature:
        """Return a signature with the roles and ranges that the user gave."""
        told = self._options.sourcing
        signature = with_roles(signature, told.roles)
        return replace(signature, inputs=with_ranges(signature.inputs, told.ranges))

    def _made(self) -> list[Batch]:
        """Make samples of two sizes for a source that comes without, from what another side knows."""
        found = self._described()
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
        return number, self._told(signature)

    def cases(self) -> Iterator[Batch]:
        """Yield what is compared: the samples, then other sizes of them."""
        if self._replays:
            yield from self._sides[0].recorded
            return
        number, signature = self._best()
        opened = self._opened.get(number) if self._files else None
        if opened is not None and all(file.whole for file in self._files):
            yield from opened.cases  # their answers are remembered
            return
        self._files = bound(self._files, signature)
        given = heads(self._files) or self._recorded()
        for batch in given:
            check_batch(signature, batch)
        for file in self._files:
            for batch in file:
                check_batch(signature, batch)
                yield batch
        if not self._files:
            yield from given or [generate(signature)]
        if opened is not None:
            yield from (batch for batch in opened.cases if batch.origin == "generated")
            return
        yield from sweep(signature, given)
        yield from edge_cases(signature, given, self._options.sourcing.ranges)

    def hops(self, progress: Progress) -> list[Hop]:
        """Compare every candidate with the reference, and from the second on with its predecessor; each side answers once."""
        runners = [side.runner for side in self._sides if side.runner is not None]
        assert len(runners) == len(self._sides)  # every source was opened
        first = None if self._replays else 0
        pairs: list[Pair] = []
        for number, side in enumerate(self._sides[1:], start=1):
            references = [first] if number == 1 else [first, number - 1]
            pairs += [Pair(reference=k, candidate=number, takes=self._taken_by(side)) for k in references]
        progress(f"comparing {', '.join(side.name for side in self._sides)}")
        hops = compare_chain(
            runners,
            pairs,
            self.cases(),
            tolerance=self.tolerance,
            allow_nan=self._options.allow_nan,
            progress=progress,
            reference_name=f"{self._sides[0].name} (recorded outputs)",
            signature=self._best()[1],
        )
        self.notes += [note for file in self._files for note in file.notes]
        return hops

    def _taken_by(self, side: Side) -> Callable[[Batch], bool]:
        """Leave out generated batches that no server takes: a batched model needs at least one row."""

        def takes(batch: Batch) -> bool:
            if batch.origin == "generated" and side.endpoint and side.signature and _empty(side.signature, batch):
                note = f"'{batch.name}' was not sent to {side.name}: a batched model needs at least one row"
                self.notes += [] if note in self.notes else [note]
                return False
            return True

        return takes


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
