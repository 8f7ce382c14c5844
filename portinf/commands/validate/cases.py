"""The cases of one validation: by the most specific signature of the models, with the recorded answers of its sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from portinf.conversion.open_source import OpenedSource
from portinf.conversion.options import SourcingOptions
from portinf.core.batch import Batch, shapes_of
from portinf.core.signature import Axis, Signature
from portinf.samples import SampleStream
from portinf.samples.case_set import CaseSet
from portinf.samples.files import bound, heads
from portinf.samples.generate import default_sizes, generate
from portinf.samples.user_options import with_ranges, with_roles
from portinf.sources.describe.axes import with_given_limits
from portinf.validation.side import Side

__all__ = ["Cases"]


class Cases:
    """The inputs of one validation.

    Args:
        sides: of the validation, the reference first; read again each time, for sources are opened meanwhile.
        files: the user's.
        sourcing: the user's options on sources and samples.
        requested: names of the columns that the physics metrics need.
        say: takes notes for the report.

    Attributes:
        files: the user's, bound to the inputs once these are known.
        opened: the sources by the number of their side.
        replays: the reference's recorded answers are what is compared.
    """

    def __init__(
        self,
        sides: Sequence[Side],
        files: Sequence[SampleStream],
        sourcing: SourcingOptions,
        requested: Sequence[str],
        say: Callable[[Sequence[str]], None],
    ) -> None:
        self._sides, self._sourcing_options, self._wanted, self._say = sides, sourcing, requested, say
        self.files = list(files)
        self.opened: dict[int, OpenedSource] = {}
        self.replays = not files and bool(sides[0].recorded)

    def samples(self) -> list[Batch]:
        """Return small batches of the user's files, else goldens, else one that is made."""
        return (
            heads(self.files)
            or self.recorded()
            or [replace(generate(self.best()[1]), name="a sample generated from the signature")]
        )

    def sourcing(self) -> SourcingOptions:
        """Return how to open a source: with the files as another side takes them, where one is known, else as it takes them."""
        sourcing = self._sourcing_options
        if not self.files:
            return replace(sourcing, batches=self.recorded() or self._made())
        if all(file.whole for file in self.files):
            return replace(sourcing, inputs=(), batches=heads(self.files))
        known = self._described()
        return sourcing if known is None else replace(sourcing, inputs=(), batches=heads(bound(self.files, known[1])))

    def _described(self) -> tuple[str, Signature] | None:
        """Return name and signature of the first side with known axes and roles."""
        found = ((side.name, side.signature) for side in self._sides if side.described and side.signature is not None)
        return next(((name, self._told(signature)) for name, signature in found), None)

    def _told(self, signature: Signature) -> Signature:
        """Return a signature with the roles, limits of lengths and ranges that the user gave; a source's axes may have other names."""
        sourcing = self._sourcing_options
        signature = with_roles(signature, sourcing.roles)
        sources = bool(self.opened) or any(side.is_source for side in self._sides)
        least, largest = (
            {label: n for label, n in limits.items() if label in signature.axes or not sources}
            for limits in (sourcing.minimums, sourcing.maximums)
        )
        signature = with_given_limits(signature, least, largest)
        return replace(signature, inputs=with_ranges(signature.inputs, sourcing.ranges))

    def _made(self) -> list[Batch]:
        """Generate samples of two sizes for a source that has none, from the signature of another side."""
        found = self._described()
        if found is None:
            return []
        name, signature = found
        sizes = default_sizes(signature)
        larger = {label: _another(signature.axes[label], n) for label, n in sizes.items()}
        made = [generate(signature, sizes), generate(signature, larger)] if sizes else [generate(signature)]
        return [replace(batch, name=f"a sample generated for {name}", origin="given") for batch in made]

    def recorded(self) -> list[Batch]:
        """Return the first goldens of any side, as inputs alone."""
        for side in self._sides:
            if side.recorded:
                return [replace(batch, expected=None, name=f"golden {batch.name}") for batch in side.recorded]
        return []

    def best(self) -> tuple[int, Signature]:
        """Return number and signature of the side with the most known axes and roles; a server's only if there is no other."""
        known = [(k, s.described, s.signature) for k, s in enumerate(self._sides) if s.signature is not None]
        number, _, signature = max(known, key=lambda side: (side[1], *_knowledge(side[2])))
        return number, self._told(_limited(signature, [other for _, _, other in known]))

    def __iter__(self) -> Iterator[Batch]:
        """Yield what is compared: the samples, then other sizes of them."""
        if self.replays:
            yield from self._sides[0].recorded
            return
        number, signature = self.best()
        opened = self.opened.get(number) if self.files else None
        beyond = (
            {} if opened is None else {k: a.maximum for k, a in signature.axes.items() if a != opened.signature.axes.get(k)}
        )
        self._say(
            [
                f"no case is generated beyond {label}={n}, the largest length of one of the models"
                for label, n in beyond.items()
                if n
            ]
        )
        cases = CaseSet(
            signature,
            bound(self.files, signature),
            ranges=self._sourcing_options.ranges,
            columns=self._wanted,
            samples=() if self.files else self.recorded(),
        )
        self._say(cases.left_out if opened is None else opened.left_out)
        yield from cases if opened is None else chain(cases.rows(), self._made_within(opened, signature))
        self.files = cases.files  # their notes are of this reading

    def _made_within(self, opened: OpenedSource, signature: Signature) -> Iterator[Batch]:
        """Yield the generated cases of a source, whose answers are remembered, within the limits of all sides."""
        for batch in opened.cases:
            sizes = opened.signature.sizes(shapes_of(batch.inputs))
            beyond = any(signature.axes[label].refusal(n) for label, n in sizes.items() if label in signature.axes)
            if batch.origin == "generated" and not beyond:
                yield batch


def _limited(signature: Signature, others: Sequence[Signature]) -> Signature:
    """Return a signature with the largest lengths and multiples of the other sides: beyond them these are not right."""
    for other in others:
        for spec in other.inputs:
            mine = next((own for own in signature.inputs if own.name == spec.name), None)
            for axis, place in zip(spec.shape or (), (mine.shape if mine is not None else None) or (), strict=False):
                if axis.label is None or place.label is None:
                    continue
                known = signature.axes[place.label]
                limits = {"multiple": max(known.multiple, axis.multiple)}
                if axis.maximum is not None:
                    limits["maximum"] = min(axis.maximum, axis.maximum if known.maximum is None else known.maximum)
                signature = signature.with_limits(place.label, **limits)
    return signature


def _another(axis: Axis, length: int) -> int:
    """Return the next length that an axis accepts, the one before where there is none."""
    longer = axis.fit(length + axis.multiple)
    return longer if longer > length else axis.fit(max(0, length - axis.multiple))


def _knowledge(signature: Signature) -> tuple[int, int, int]:
    """Rank a signature: inputs with a role other than plain values, then dynamic axes, then ties between them."""
    roles = sum(spec.role.kind != "value" for spec in signature.inputs)
    places = sum(len(spec.labels) for spec in signature.inputs)
    return roles, places, -len(signature.axes)
