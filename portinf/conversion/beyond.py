"""Lengths beyond what an exporter assumed: tried on source and file, and recorded as the largest where nothing answers there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from portinf.conversion.open_source import OpenedSource
from portinf.core.batch import Arrays, shapes_of
from portinf.core.signature import Signature
from portinf.samples.generate import MAX_BYTES, bytes_needed, generate, request_bytes, resample, start_of
from portinf.sources.routes import Assumption
from portinf.validation import Comparison

__all__ = ["cause", "narrowed", "other_examples", "way_out", "with_lengths_beyond"]

MORE = 16  # cases at most beside those of the nearest lengths
REASON = MAX_BYTES, 4 * MAX_BYTES  # what is tried: bytes of the inputs, and by the estimate of `bytes_needed`
HINT = MAX_BYTES // 16, MAX_BYTES  # the same where the reason is a hint


def with_lengths_beyond(opened: OpenedSource, assumptions: Sequence[Assumption]) -> OpenedSource:
    """Add cases at which the assumptions do not hold: of each the nearest lengths first, then those further off."""
    signature = opened.signature
    start, _, rows = start_of(signature, opened.given)
    nearest: list[dict[str, int]] = []
    others: list[dict[str, int]] = []
    for assumption in assumptions:
        for rank, sizes in enumerate(assumption.elsewhere):
            moved = _from(start, sizes, assumption)
            if moved not in (*nearest, *others) and _can_be_tried(signature, moved, sure=assumption.sure):
                (others if rank else nearest).append(moved)
    settings = [*nearest, *others[:MORE]]
    more = [generate(signature, sizes) if rows is None else resample(signature, rows, sizes) for sizes in settings]
    return opened.with_cases([replace(batch, name="generated, other than exported") for batch in more])


def _from(start: Mapping[str, int], sizes: Mapping[str, int], assumption: Assumption) -> dict[str, int]:
    """Return the samples' lengths with that of one axis moved where an assumption is about one axis alone, else all of them."""
    return {**start, assumption.label: sizes[assumption.label]} if assumption.label is not None else dict(sizes)


def _can_be_tried(signature: Signature, sizes: Mapping[str, int], *, sure: bool) -> bool:
    inputs, needed = REASON if sure else HINT
    fits = not any(axis.refusal(sizes[label]) for label, axis in signature.axes.items())
    small = request_bytes(signature, sizes) <= inputs
    return fits and small and all(bytes_needed(signature, sizes, label) <= needed for label in sizes)


def narrowed(opened: OpenedSource, comparison: Comparison, assumptions: Sequence[Assumption]) -> tuple[OpenedSource, list[str]]:
    """Record as limits what the source itself has no answer to, or what is too large to be tried, with notes.

    Args:
        opened: with the cases of `with_lengths_beyond`.
        comparison: the comparison of the file on them.
        assumptions: of the exporter that wrote the file.
    """
    notes = []
    for assumption in assumptions:
        label, largest = assumption.label, assumption.largest
        if label is None:
            continue
        axis, cases = opened.signature.axes[label], [case for case in comparison.cases if not assumption.holds(case.sizes)]
        if assumption.fixed:
            largest = max((case.sizes[label] for case in comparison.cases if case.status == "equal"), default=largest)
            why = f"the exporter replaced it by a number: {assumption}; the file was correct wherever it was tested"
        elif any(case.status != "outside domain" for case in cases):
            continue
        elif cases:
            why = f"the model fails where this does not hold: {assumption}"
        else:
            why = (
                f"not tested where this does not hold, because the inputs are too large: {assumption}; "
                "to test it, give a longer sample with --inputs"
            )
        if largest is not None and (axis.maximum is None or largest < axis.maximum):
            opened = opened.with_limits(label, maximum=largest)
            notes.append(f"the largest length {label}={largest} is recorded: {why}")
        elif cases and assumption.multiple > 1 and axis.multiple == 1:
            opened = opened.with_limits(label, multiple=assumption.multiple)
            notes.append(f"recorded: {label} is a multiple of {assumption.multiple}: {why}")
    return opened, notes


def cause(comparison: Comparison, assumptions: Sequence[Assumption]) -> str:
    """Say which assumption is behind a comparison that failed: one that fails in most of the wrong cases, and in few right ones."""
    bad = [case.sizes for case in comparison.cases if case.status == "disagrees"]
    good = [case.sizes for case in comparison.cases if case.status == "equal"]

    def fails(one: Assumption, cases: Sequence[Mapping[str, int]]) -> int:
        return sum(not one.holds(sizes) for sizes in cases)

    behind = [one for one in assumptions if fails(one, bad) == len(bad) > 0 or fails(one, bad) > fails(one, good)]
    best = max(behind, key=lambda one: (fails(one, bad), -fails(one, good), bool(one.place)), default=None)
    if best is None:
        return ""
    if best.fixed:
        where = f" ({best.place})" if best.place else ""
        return f"the exporter fixed the length of {best.label} at {best.least}{where}: "
    return f"it was exported for {best}: "


def way_out(comparison: Comparison, assumptions: Sequence[Assumption]) -> str:
    """Return the options that leave out every wrong case, where each is longer than any right one, or at most 1 long."""
    bad = [case for case in comparison.cases if case.status == "disagrees"]
    good = [case for case in comparison.cases if case.status == "equal"]
    if not bad or not good or any(case.origin == "given" for case in bad):
        return ""
    for label in bad[0].sizes:
        right, wrong = [case.sizes[label] for case in good], [case.sizes[label] for case in bad]
        short, long = [n for n in wrong if n < 2 and n not in right], [n for n in wrong if n > max(right)]
        if len(short) + len(long) < len(wrong):
            continue
        said = [one.largest for one in assumptions if one.label == label and one.largest is not None]
        largest = max((n for n in said if max(right) <= n < min(long, default=0)), default=max(right))
        least = f"--minimum {label}={max(short) + 1}" if short else ""
        return f"{least} --maximum {label}={largest}".strip() if long else least
    return ""


def other_examples(opened: OpenedSource, assumptions: Sequence[Assumption]) -> Iterator[tuple[bool, Arrays]]:
    """Yield inputs to export at instead, where the model branches on a size, and whether they are a sample: other sides of branches.

    Args:
        opened: the source, with its samples.
        assumptions: of the routes that gave wrong files.
    """
    branches = [one for one in assumptions if one.sure and not one.fixed]
    samples = [(opened.signature.sizes(shapes_of(batch.inputs)), batch) for batch in opened.given]
    exportable = [(sizes, batch) for sizes, batch in samples if _can_be_exported(sizes)]
    if exportable and any(not one.holds(sizes) for one in branches for sizes, _ in samples):
        yield True, max(exportable, key=lambda pair: min(pair[0].values()))[1].inputs
    start, _, rows = start_of(opened.signature, opened.given)
    settings = [_from(start, sizes, one) for one in branches for sizes in one.elsewhere]
    beyond = [s for s in settings if _can_be_exported(s) and _can_be_tried(opened.signature, s, sure=True)]
    if beyond:
        sizes = max(beyond, key=lambda setting: sum(setting.values()))
        yield False, (generate(opened.signature, sizes) if rows is None else resample(opened.signature, rows, sizes)).inputs


def _can_be_exported(sizes: Mapping[str, int]) -> bool:
    """Whether lengths say nothing by chance: none 0 or 1, no two equal."""
    return min(sizes.values(), default=0) > 1 and len(set(sizes.values())) == len(sizes)
