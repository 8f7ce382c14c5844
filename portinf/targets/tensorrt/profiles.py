"""Turns a signature and the lengths in its samples into the min, opt and max shape of every dynamic input."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from portinf.core.errors import CannotError, UsageError
from portinf.core.signature import Axis, Signature, TensorSpec

__all__ = ["Profile", "Span", "parse_span", "profile_of"]

HEADROOM = 2  # times the longest sample: the longest request that an engine takes, where nobody says otherwise
USUAL, MOST = 32, 128  # lengths of an axis of which no sample and no option says anything
UNSAFE = ",'\"*\\"  # trtexec splits its shapes at these, or writes the name into JSON without escaping it


@dataclass(frozen=True, kw_only=True)
class Span:
    """Lengths of one axis: an engine takes every length from ``least`` to ``most`` and is fastest at ``usual``.

    Attributes:
        guessed: no sample and no option said how long the axis gets.
    """

    min: int
    opt: int
    max: int
    guessed: bool = False

    def __str__(self) -> str:
        """Show it as ``--axis-range`` takes it."""
        return f"{self.min}:{self.opt}:{self.max}"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One optimization profile: a span per axis label, so that tied axes have equal lengths in all three shapes.

    Attributes:
        spans: by label, in the order of the signature.
        inputs: the dynamic inputs, in the order of the signature.
    """

    spans: Mapping[str, Span]
    inputs: tuple[TensorSpec, ...]

    def sizes(self, which: str) -> dict[str, int]:
        """Return the length of every axis: ``which`` is ``least``, ``usual`` or ``most``."""
        return {label: int(getattr(span, which)) for label, span in self.spans.items()}

    def shapes(self, which: str) -> dict[str, tuple[int, ...]]:
        """Return the shape of every dynamic input."""
        sizes = self.sizes(which)
        return {spec.name: tuple(_length(axis, sizes) for axis in spec.shape or ()) for spec in self.inputs}

    def text(self, which: str) -> str:
        """Return the shapes as trtexec and ONNX Runtime read them: ``in1:1x3x224x224,in2:...``."""
        return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in self.shapes(which).items())


def _length(axis: Axis, sizes: Mapping[str, int]) -> int:
    return sizes[axis.label] if axis.label is not None else int(axis.size or 0)


def parse_span(text: str) -> tuple[str, Span]:
    """Read ``LABEL=MIN:OPT:MAX``.

    Raises:
        UsageError: it is of another form.
    """
    found = re.fullmatch(r"(.+)=(\d+):(\d+):(\d+)", text)
    if found is None:
        raise UsageError(f"--axis-range {text}: expected LABEL=MIN:OPT:MAX, for example batch=1:8:64")
    return found[1], Span(min=int(found[2]), opt=int(found[3]), max=int(found[4]))


def profile_of(
    signature: Signature, samples: Sequence[Mapping[str, int]], max_batch_size: int, given: Mapping[str, Span]
) -> Profile:
    """Choose the shapes of an engine.

    The rule, per axis: least is the smallest length that the axis takes, 1 or more, or a shorter one that a sample has; usual is
    the median of the samples; most is twice the longest sample. Without samples: 32 and 128. All are multiples, and no more
    than the largest length, where the axis asks for it. The batch axis of a batching model goes from 1 to ``max_batch_size``.
    ``given`` comes before the rule.

    Args:
        signature: axes with minimum and multiple.
        samples: lengths by label, one mapping a sample.
        max_batch_size: 0 without batching; else axis 0 of the first input is the batch.
        given: spans that the user chose, by label.

    Raises:
        UsageError: a chosen span names no axis, is out of order, breaks a minimum or multiple, or leaves a sample outside.
        CannotError: an input's rank is unknown, or its name cannot be written on trtexec's command line.
    """
    for label in given:
        if label not in signature.axes:
            raise UsageError(f"--axis-range {label}=...: no such axis; there are: {', '.join(signature.axes) or 'none'}")
    batch = signature.inputs[0].labels[0] if max_batch_size else None
    spans: dict[str, Span] = {}
    for label, axis in signature.axes.items():
        lengths = [sizes[label] for sizes in samples if label in sizes]
        if label in given:
            spans[label] = _checked(label, axis, given[label], lengths, max_batch_size if label == batch else 0)
        elif label == batch:
            usual = min(max((n for n in lengths if n), default=max_batch_size), max_batch_size)
            spans[label] = Span(min=1, opt=usual, max=max_batch_size)
        else:
            spans[label] = _by_rule(axis, lengths)
    return Profile(spans=spans, inputs=tuple(_dynamic(signature.inputs)))


def _dynamic(inputs: Iterable[TensorSpec]) -> Iterable[TensorSpec]:
    for spec in inputs:
        if spec.shape is None:
            raise CannotError(
                f"input '{spec.name}': its rank is not known, and TensorRT needs it; give samples when converting"
            )
        unsafe = [mark for mark in UNSAFE if mark in spec.name]
        if unsafe:
            raise CannotError(
                f"input '{spec.name}': trtexec cannot be given a name with {unsafe[0]}: convert again with --input-name"
            )
        if spec.labels:
            yield spec


def _by_rule(axis: Axis, lengths: Sequence[int]) -> Span:
    least = axis.fit(1)
    if not lengths:
        return Span(min=least, opt=max(least, axis.fit(USUAL)), max=max(least, axis.fit(MOST)), guessed=True)
    usual = max(statistics.median_high(lengths), least)  # tuned for no empty request
    most = max(axis.fit(HEADROOM * max(lengths)), least)
    return Span(min=min(least, *lengths), opt=usual, max=most)


def _checked(label: str, axis: Axis, span: Span, lengths: Sequence[int], max_batch_size: int) -> Span:
    shown = f"--axis-range {label}={span}"
    if not span.min <= span.opt <= span.max or span.max < 1:
        raise UsageError(f"{shown}: expected MIN <= OPT <= MAX, and MAX of at least 1")
    if span.min < axis.minimum:
        raise UsageError(f"{shown}: the model needs at least {axis.minimum}")
    if axis.maximum is not None and span.max > axis.maximum:
        raise UsageError(f"{shown}: the model is valid up to {axis.maximum} only")
    if any(n % axis.multiple for n in (span.min, span.opt, span.max)):
        raise UsageError(f"{shown}: the model takes multiples of {axis.multiple}")
    if max_batch_size and (span.min != 1 or span.max != max_batch_size):
        raise UsageError(f"{shown}: the server batches 1 to {max_batch_size} rows: expected {label}=1:...:{max_batch_size}")
    outside = [n for n in lengths if not span.min <= n <= span.max and not max_batch_size]
    if outside:
        raise UsageError(f"{shown}: a sample has length {outside[0]} there: widen the range, or leave that sample out")
    return span
